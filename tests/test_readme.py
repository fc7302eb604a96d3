"""The README is true: its Python runs, and so does every shell command, in an empty folder with a few sounds."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
BLOCKS = re.findall(r"```(python|sh)\n(.*?)```", (ROOT / "README.md").read_text(encoding="utf-8"), re.DOTALL)
PYTHON = [text for kind, text in BLOCKS if kind == "python"]
SHELL = [text for kind, text in BLOCKS if kind == "sh"]


@pytest.fixture
def desk(tmp_path: Path, sounds_folder: Path) -> Path:
    """A working folder with what the README takes for granted: the checkout's front door, and a folder of sounds."""
    for name in ("main.py", "gan_config.json"):
        shutil.copy(ROOT / name, tmp_path)
    shutil.copytree(sounds_folder, tmp_path / "footsteps")
    (tmp_path / "footsteps" / "kick").rename(tmp_path / "footsteps" / "gravel")
    return tmp_path


def test_there_is_something_to_run() -> None:
    assert len(PYTHON) >= 3 and len(SHELL) >= 3


@pytest.mark.parametrize("code", PYTHON)
def test_python(code: str, desk: Path) -> None:
    before = set(desk.iterdir())
    done = subprocess.run([sys.executable, "-c", code], cwd=desk, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    assert {path.suffix for path in set(desk.iterdir()) - before} & {".wav", ".flac"}


@pytest.mark.parametrize("commands", SHELL)
def test_shell(commands: str, desk: Path) -> None:
    bin_folder = Path(sys.executable).parent
    environment = {**os.environ, "PATH": f"{bin_folder}{os.pathsep}{os.environ['PATH']}"}
    for command in commands.strip().splitlines():
        if command.startswith("pip install"):
            continue  # what runs these tests is installed by just that
        # The README trains for an hour; the commands are the same after a few steps.
        shortened = re.sub(r"--minutes \d+", "--max-samples 48 --size 8", command)
        done = subprocess.run(shortened, shell=True, cwd=desk, env=environment, capture_output=True, text=True)
        assert done.returncode == 0, f"{command}: {done.stderr}"
        assert done.stdout


def test_the_figures_of_the_first_screen_have_a_picture_that_exists() -> None:
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    assert not re.search(r"@[A-Z]+@", text), "a place is left open"
    for target in re.findall(r"\]\(((?!http)[^)#]+)\)", text):
        assert (ROOT / target).is_file(), target
