"""The documentation is true: its Python and shell examples run, in an empty folder with sounds, and its links work."""

from __future__ import annotations

import importlib.util
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", ROOT / "CHANGELOG.md", *sorted((ROOT / "docs").rglob("*.md"))]
PLACEHOLDER = re.compile(r"@[A-Z_]+@")


def examples(language: str) -> list[object]:
    """Return the code blocks of a language, each with its page and line as the test's id."""
    blocks = []
    for page in PAGES:
        text = page.read_text(encoding="utf-8")
        for match in re.finditer(rf"^```{language}\n(.*?)^```$", text, re.DOTALL | re.MULTILINE):
            line = text.count("\n", 0, match.start()) + 1
            blocks.append(pytest.param(match[1], id=f"{page.relative_to(ROOT)}:{line}"))
    return blocks


PYTHON, SHELL = examples("python"), examples("sh")


@pytest.fixture
def workdir(tmp_path: Path, sounds_folder: Path) -> Path:
    """A working folder with what the examples assume: the checkout's entry point, and a folder of sounds."""
    for name in ("main.py", "gan_config.json"):
        shutil.copy(ROOT / name, tmp_path)
    shutil.copytree(sounds_folder, tmp_path / "footsteps")
    (tmp_path / "footsteps" / "kick").rename(tmp_path / "footsteps" / "gravel")
    return tmp_path


def test_documentation_has_examples() -> None:
    assert len(PYTHON) >= 4 and len(SHELL) >= 5


@pytest.mark.parametrize("code", PYTHON)
def test_python_example_runs_and_writes_a_sound(code: str, workdir: Path) -> None:
    before = set(workdir.iterdir())
    done = subprocess.run([sys.executable, "-c", code], cwd=workdir, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    assert {path.suffix for path in set(workdir.iterdir()) - before} & {".wav", ".flac"}


@pytest.mark.parametrize("commands", SHELL)
def test_shell_example_runs(commands: str, workdir: Path) -> None:
    bin_folder = Path(sys.executable).parent
    environment = {**os.environ, "PATH": f"{bin_folder}{os.pathsep}{os.environ['PATH']}"}
    for command in commands.strip().splitlines():
        if command.startswith(("pip install", "python -m venv")):
            continue  # the environment of these tests was installed in this way
        # The examples train for an hour and evaluate every metric; a few steps and metrics take the same commands.
        shortened = re.sub(r"--minutes \d+", "--max-samples 48 --size 8", command)
        shortened = shortened.replace("soundgan evaluate", "soundgan evaluate --quick")
        done = subprocess.run(shortened, shell=True, cwd=workdir, env=environment, capture_output=True, text=True)
        assert done.returncode == 0, f"{command}: {done.stderr}"
        assert done.stdout


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_page_has_no_placeholder_and_no_broken_link(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    assert not PLACEHOLDER.search(text), "a placeholder is not filled in"
    for target in re.findall(r"\]\(((?!http|#)[^)#]+)", text):
        assert (page.parent / target).is_file(), target


def test_modules_of_the_glossary_exist() -> None:
    text = (ROOT / "docs" / "glossary.md").read_text(encoding="utf-8")
    modules = re.findall(r"`(soundgan(?:\.\w+)+)`", text)
    assert len(modules) > 40
    assert [name for name in modules if importlib.util.find_spec(name) is None] == []
