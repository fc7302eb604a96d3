"""Command `inspect`: report on a folder of sounds."""

from __future__ import annotations

import re
from pathlib import Path

from commands import invoke


def test_inspect_lists_excluded_files(sounds_folder: Path) -> None:
    result = invoke("inspect", sounds_folder, "--exclude", "kick/*", "--exclude", "*/7.wav")
    assert result.exit_code == 0 and "excluded" in result.stdout
    assert "kick/0.wav: by kick/*\n" in result.stdout and "tone/7.wav: by */7.wav\n" in result.stdout
    assert "excluded" not in invoke("inspect", sounds_folder).stdout.lower()


def test_inspect_reports_unmatched_patterns(sounds_folder: Path) -> None:
    result = invoke("inspect", sounds_folder, "--exclude", "*/7.wav", "--exclude", "7.wav")
    assert result.exit_code == 0
    assert re.search(r"^Excluded +nothing by 7\.wav: no file matches$", result.stdout, re.MULTILINE)
