"""Command `about`: origin of a sound file."""

from __future__ import annotations

from pathlib import Path

import pytest
from commands import ROOT, assert_one_line_error, invoke, soundgan


@pytest.mark.parametrize("suffix", ["wav", "flac", "ogg"])
def test_about_prints_the_origin_from_tags_of_every_format(tmp_path: Path, suffix: str) -> None:
    result = invoke("generate", "-n", "1", "--seed", "5", "-o", tmp_path, "--format", suffix, "--keep-length")
    assert result.exit_code == 0
    output = invoke("about", result.stdout.strip()).stdout
    assert "1.024 s, 8000 Hz" in output and "model=digits" in output and "seed=5" in output
    assert "level=recorded keep_length" in output


def test_about_continues_after_an_unreadable_file(sounds_folder: Path) -> None:
    sound, text_file = sounds_folder / "tone" / "7.wav", ROOT / "main.py"
    result = soundgan("about", text_file, sound, cwd=sounds_folder)
    assert_one_line_error(result, "main.py")
    assert result.stdout.startswith(f"{sound}: ") and result.stderr.startswith("soundgan: ")
