"""The reader: every file is opened once, parts are those of `audio.read`, and memory is bounded."""

from __future__ import annotations

import os
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
from sound_folders import RATE, prepare_folder

from soundgan import audio
from soundgan.data import caching_reader as reader_module
from soundgan.data.caching_reader import CachingReader

OPENINGS = Counter[str]()
WATCHED: list[Path] = []


def _count_opening(event: str, arguments: tuple[Any, ...]) -> None:
    if event == "open" and WATCHED and isinstance(arguments[0], str | Path):
        path = Path(os.fspath(arguments[0]))
        if WATCHED[0] in path.parents:
            OPENINGS[path.name] += 1


@pytest.fixture(scope="module", autouse=True)
def _hook() -> None:
    sys.addaudithook(_count_opening)


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Path]:
    """Nine sounds of four formats and rates, one of them of 90 s, and a text file; its openings are counted."""
    rng = np.random.default_rng(0)
    folder = tmp_path / "sounds"
    folder.mkdir()
    for k, (suffix, rate, seconds) in enumerate(
        [("wav", 8000, 0.3), ("flac", 16000, 0.4), ("ogg", 22050, 0.5), ("mp3", 44100, 0.6)] * 2 + [("wav", 8000, 90.0)]
    ):
        soundfile.write(folder / f"{k}.{suffix}", rng.uniform(-0.5, 0.5, round(rate * seconds)), rate)
    (folder / "notes.txt").write_text("recorded on a Tuesday")
    OPENINGS.clear()
    WATCHED.append(folder)
    yield folder
    WATCHED.clear()


@pytest.mark.parametrize("values", [{}, {"duration": 2.0}, {"sample_rate": 16000, "level": "rms"}])
def test_preparation_opens_every_file_once(folder: Path, values: dict[str, Any]) -> None:
    prepare_folder(folder, **values)
    assert Counter({path.name: 1 for path in folder.iterdir() if path.suffix != ".txt"}) == OPENINGS
    prepare_folder(folder, **values)
    assert OPENINGS.total() == 9, "the cache opens none"


def test_preparation_opens_files_up_to_a_minute_once_when_slicing(folder: Path) -> None:
    prepare_folder(folder, slice=True)
    assert OPENINGS.pop("8.wav") > 1, "90 s are read in chunks"
    assert set(OPENINGS.values()) == {1} and len(OPENINGS) == 8


def test_reader_opens_files_again_beyond_its_memory_bound(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reader_module, "MAX_KEPT_SAMPLES", 10_000)
    reader = CachingReader()
    for path in sorted(folder.glob("?.*")):
        reader.probe(path)
    assert sum(kept.samples.size for kept in reader._kept.values()) <= 10_000
    OPENINGS.clear()
    prepare_folder(folder)
    assert {1, 3} <= set(OPENINGS.values())


@pytest.mark.parametrize("kept", [0.2, 60.0])
def test_reader_returns_the_parts_of_audio_read(folder: Path, kept: float) -> None:
    reader = CachingReader(kept)
    for path in sorted(folder.glob("?.*")):
        assert reader.probe(path) == audio.probe(path)
        for start, seconds in [(0.0, 0.1), (0.05, 0.1), (0.1, 60.0), (0.0, 0.25)]:
            part, _ = audio.read(path, RATE, start=start, seconds=seconds)
            # An OGG or MP3 that is entered in the middle decodes slightly differently.
            tolerance = 0.0 if path.suffix in (".wav", ".flac") or start == 0 else 0.1
            np.testing.assert_allclose(reader.read(path, RATE, start, seconds), part, atol=tolerance)


def test_reader_leaves_damaged_files_to_audio_read(tmp_path: Path) -> None:
    path = tmp_path / "x.flac"
    soundfile.write(path, np.random.default_rng(0).uniform(-0.5, 0.5, 6 * RATE), RATE)
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) * 7 // 10])
    reader = CachingReader()
    with pytest.warns(audio.TruncatedWarning):
        assert reader.probe(path).seconds == 6.0
    np.testing.assert_array_equal(reader.read(path, RATE, 0.0, 1.0), audio.read(path, RATE, seconds=1.0)[0])
    with pytest.warns(audio.TruncatedWarning, match="damaged or cut short at 4"):
        assert reader.read(path, RATE, 0.0, 6.0).size == pytest.approx(4.2 * RATE, rel=0.1)
