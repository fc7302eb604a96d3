"""Command line: errors, help and version."""

from __future__ import annotations

from pathlib import Path

import pytest
from commands import assert_one_line_error, run_python, soundgan

from soundgan.version import __version__


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["generate", "nowhere"], "digits"),
        (["generate", "--label", "eleven"], "0, 1, 2"),
        (["generate", "--seed=4294967296"], "4294967295"),
        (["generate", "--device", "toaster"], "'toaster': must be cuda, mps, cpu"),
        (["models", "nowhere"], "nowhere: no such folder"),
        (["models", "file"], "file: no such folder"),
        (["generate", "--subtype", "PCM_8"], "PCM_16, PCM_24, FLOAT"),
        (["generate", "-o", "file/below"], "file/below"),
        (["generate", "-o", "x.wav"], "x.wav: names a folder"),
        (["serve", "--output-folder", "file/below"], "file/below"),
        (["generate", "begun"], "soundgan export begun"),
        (["export", "begun"], "no training/checkpoint.safetensors yet"),
        (["inspect", "nowhere"], "nowhere"),
        (["train"], "FOLDER"),
        (["train", "nowhere"], "nowhere"),
        (["train", "file", "--size", "7"], "size = 7"),
        (["train", "file", "--threads", "257"], "threads = 257"),
        (["export", "."], "checkpoint"),
        (["import", "file", "--config", "config.json"], "file"),
        (["about", "file"], "file"),
    ],
)
def test_failed_command_gives_one_line_and_status_2(tmp_path: Path, arguments: list[str], message: str) -> None:
    (tmp_path / "file").write_text("not a sound")
    (tmp_path / "config.json").write_text("{}")
    (tmp_path / "begun" / "training").mkdir(parents=True)
    result = soundgan(*arguments, cwd=tmp_path)
    assert_one_line_error(result, message)
    assert result.stderr.startswith("soundgan: ")


def test_help_imports_no_heavy_library(tmp_path: Path) -> None:
    script = (
        "import sys; from soundgan.cli.app import app\ntry:\n  app(['--help'])\nexcept SystemExit: pass\n"
        "heavy = {'numpy', 'scipy', 'onnxruntime', 'torch', 'pydantic', 'PIL', 'soundfile'} & set(sys.modules)\n"
        "sys.exit(str(heavy) if heavy else 0)"
    )
    result = run_python("-c", script, cwd=tmp_path)
    assert result.returncode == 0, result.stderr


def test_version_is_printed(tmp_path: Path) -> None:
    result = soundgan("--version", cwd=tmp_path)
    assert result.returncode == 0 and result.stdout == f"soundgan {__version__}\n"
    assert run_python("-m", "soundgan", "--version", cwd=tmp_path).stdout == result.stdout
