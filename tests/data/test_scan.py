"""The scan of a folder: labels, order, links, and the files that are skipped."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest
from sound_folders import skipped_kinds, survey_folder, tone, write_sound

from soundgan.data.scan import SkippedFile, SkipReason, scan
from soundgan.errors import DataError


def test_file_order_does_not_depend_on_the_disk(labeled: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = [file.path for file in survey_folder(labeled).files]
    assert before == sorted(before, key=lambda path: path.relative_to(labeled).as_posix())
    scandir = os.scandir
    monkeypatch.setattr(os, "scandir", lambda path: sorted(scandir(path), key=lambda e: e.name, reverse=True))
    assert [file.path for file in survey_folder(labeled).files] == before


def test_loose_files_beside_labels_are_skipped_with_a_hint(labeled: Path) -> None:
    write_sound(labeled / "loose.wav", tone(3000))
    surveyed = survey_folder(labeled)
    (item,) = surveyed.skipped
    assert item.path.name == "loose.wav" and item.reason == "without a label" and "move it" in item.detail
    assert len(surveyed.files) == 9


def test_folder_without_audio_is_no_label(flat: Path) -> None:
    (flat / "notes").mkdir()
    (flat / "notes" / "a.txt").write_text("recorded on a Tuesday")
    surveyed = survey_folder(flat)
    assert surveyed.labels == [] and len(surveyed.files) == 9
    assert skipped_kinds(surveyed) == {"notes/a.txt": "not audio"}


def test_linked_folder_is_read_once_under_its_own_name(labeled: Path) -> None:
    (labeled / "a link").symlink_to(labeled / "snare", target_is_directory=True)
    surveyed = survey_folder(labeled)
    assert surveyed.labels == ["kick", "snare"] and skipped_kinds(surveyed) == {"a link": "second link to a folder"}


def test_links_to_files_and_folders_elsewhere_are_followed(labeled: Path, tmp_path: Path) -> None:
    links = tmp_path / "links"
    links.mkdir()
    (links / "snare").symlink_to(labeled / "snare", target_is_directory=True)
    (links / "kick").mkdir()
    for path in (labeled / "kick").iterdir():
        (links / "kick" / path.name).symlink_to(path)
    surveyed = survey_folder(links)
    assert Counter(file.label for file in surveyed.files) == {"kick": 4, "snare": 5} and not surveyed.skipped


@pytest.mark.parametrize("create", [lambda path: None, Path.touch, Path.mkdir])
def test_missing_or_empty_folder_is_refused_by_name(tmp_path: Path, create: Callable[[Path], None]) -> None:
    create(tmp_path / "sounds")
    with pytest.raises(DataError, match="sounds"):
        survey_folder(tmp_path / "sounds")


def test_scan_opens_no_file(flat: Path) -> None:
    (flat / "0.wav").unlink()
    os.mkfifo(flat / "0.wav")  # opening it would block forever
    scanned = scan(flat)
    assert len(scanned.candidates) == 8
    assert scanned.skipped == [SkippedFile(flat / "0.wav", SkipReason.NOT_AUDIO, "not a regular file")]
