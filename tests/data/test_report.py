"""The report of a folder: skipped files, patterns and levels."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from sound_folders import prepare_folder, survey_folder, tone, write_sound

from soundgan.data.report import format_report


def test_unmatched_pattern_is_reported_also_from_the_cache(labeled: Path) -> None:
    reports = {}
    for exclude in ((), ("1.*",), ("k*/0.*", "[x"), ("1.*",)):
        surveyed = survey_folder(labeled, exclude=exclude)
        assert surveyed.scanned.unmatched_patterns == [pattern for pattern in exclude if pattern != "k*/0.*"]
        reports[exclude] = prepare_folder(labeled, exclude=exclude).report
    assert "Excluded" not in reports[()]
    assert "nothing by 1.*: no file matches" in reports[("1.*",)]
    assert "nothing by [x: no file matches" in reports[("k*/0.*", "[x")]


def test_sounds_far_above_the_ceiling_are_reported(tmp_path: Path) -> None:
    folder, changes = tmp_path / "in", {"level": "none", "duration": 0.25}
    for number in range(250):
        write_sound(folder / f"{number}.wav", tone(400 + number, 0.05, amplitude=0.005))
    assert "Clipped" not in prepare_folder(folder, **changes).report
    for number in range(2):
        write_sound(folder / f"loud{number}.wav", tone(500 + number, 0.05))
    limited = prepare_folder(folder, **changes)
    row = re.search(r"Clipped +(\d+) louder than the ceiling of (-\d+) dB, by up to (\d+) dB", limited.report)
    assert row and (int(row[1]), int(row[2])) == (2, limited.representation.ceiling_db)
    assert int(row[3]) == pytest.approx(40, abs=1.5), "0.5 beside 0.005"
    assert (limited.spectrograms == 1).any(axis=(1, 2, 3)).nonzero()[0].tolist() == [250, 251]


def test_long_list_of_skipped_files_is_shortened_but_counted(flat: Path) -> None:
    for k in range(30):
        (flat / f"note{k:02}.txt").touch()
    surveyed = survey_folder(flat)
    report = format_report(surveyed)
    assert "Left out, not audio (30)" in report and "and 20 more" in report
    assert "note29.txt" not in report and "note29.txt" in format_report(surveyed, max_listed=None)


def test_unprintable_names_are_escaped_in_the_report(flat: Path) -> None:
    (flat / "a\nb\x1b[1m\udcff.txt").touch()
    (flat / "🥁 [x].txt").touch()
    lines = format_report(survey_folder(flat)).splitlines()
    assert lines[-2:] == ["  'a\\nb\\x1b[1m\\udcff.txt'", "  🥁 [x].txt"]
