"""The survey of recordings: usable lengths, sample rate, duration and slices."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import numpy as np
import pytest
import soundfile
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from sound_folders import RATE, prepare_folder, skipped_kinds, survey_folder, tone, write_sound

from soundgan.data import survey
from soundgan.data.caching_reader import CachingReader
from soundgan.data.report import format_report
from soundgan.spectral.presets import preset


def test_hostile_folder_is_used_or_reported_entry_by_entry(tmp_path: Path) -> None:
    folder = tmp_path / "hostile 🎧"
    noise = np.random.default_rng(1)
    names = ['it\'s a "kick".wav', "two  spaces .wav", "снейр 🥁.wav", "[bold]x.wav", "-n.wav", "UPPER.WAV"]
    for k, name in enumerate(names):
        write_sound(folder / name, tone(300 + 40 * k))
    write_sound(folder / "wide.wav", tone(500, rate=96000)[:, None] * [1, 0.5], 96000, subtype="PCM_24")
    write_sound(folder / "narrow.wav", tone(900), subtype="PCM_U8")
    write_sound(folder / "long.wav", noise.uniform(-0.5, 0.5, 600 * RATE))

    (folder / "zero.wav").touch()
    (folder / "header.wav").write_bytes((folder / "long.wav").read_bytes()[:20])
    (folder / "text.wav").write_text("I am a text that is called a sound\n" * 50)
    (folder / "cover.png").write_bytes(b"\x89PNG")
    (folder / ".DS_Store").write_bytes(b"\0")
    (folder / "._UPPER.WAV").write_bytes(b"\0")
    shutil.copy(folder / "narrow.wav", folder / "narrow copy.wav")
    write_sound(folder / "narrow as.flac", soundfile.read(folder / "narrow.wav")[0])
    write_sound(folder / "silent.wav", np.zeros(RATE))
    write_sound(folder / "whisper.wav", tone(440, amplitude=0.0009), subtype="FLOAT")
    write_sound(folder / "click.wav", tone(440, 0.015))
    write_sound(folder / "empty.wav", np.zeros(0))
    (folder / "loop").symlink_to(folder, target_is_directory=True)
    (folder / "self.wav").symlink_to(folder / "self.wav")
    (folder / "dangling.wav").symlink_to(tmp_path / "gone.wav")
    expected = {
        "zero.wav": "unreadable",
        "header.wav": "unreadable",
        "text.wav": "unreadable",
        "cover.png": "not audio",
        # The first by name of several equal sounds is used.
        "narrow.wav": "duplicate",
        "narrow copy.wav": "duplicate",
        "silent.wav": "silent",
        "whisper.wav": "silent",
        "click.wav": "too short",
        "empty.wav": "unreadable",
        "loop": "symlink loop",
        "self.wav": "symlink loop",
        "dangling.wav": "unreadable",
    }
    used = {*names, "wide.wav", "narrow as.flac", "long.wav"}
    if hasattr(os, "geteuid") and os.geteuid() != 0:
        write_sound(folder / "forbidden.wav", tone(700)).chmod(0)
        expected["forbidden.wav"] = "unreadable"

    surveyed = survey_folder(folder)
    assert {file.path.name for file in surveyed.files} == used
    assert skipped_kinds(surveyed) == expected and surveyed.scanned.hidden == 2
    text = format_report(surveyed, max_listed=None)
    for name in expected:
        assert name in text
    data = prepare_folder(folder)
    assert len(data) == len(used) and np.isfinite(data.spectrograms).all()


def test_truncated_file_counts_with_its_readable_length(flat: Path) -> None:
    whole = write_sound(flat / "whole.wav", tone(2000, 2.0)).read_bytes()
    (flat / "whole.wav").write_bytes(whole[: len(whole) // 2])
    surveyed = survey_folder(flat, duration=4.0)
    (file,) = (file for file in surveyed.files if file.path.name == "whole.wav")
    assert file.seconds == pytest.approx(1.0, abs=0.02)


@pytest.mark.parametrize(("slicing", "kept"), [(False, 4.2), (True, 110.6)])
def test_damaged_file_is_used_up_to_the_damage_and_reported(flat: Path, slicing: bool, kept: float) -> None:
    noise = np.random.default_rng(0).uniform(-0.5, 0.5, 300 * RATE)
    # In slices, the damage lies in the third of five minutes; the first two are used.
    whole = write_sound(flat / "x.flac", noise if slicing else noise[: 6 * RATE]).read_bytes()
    (flat / "x.flac").write_bytes(whole[: len(whole) * (4 if slicing else 7) // 10])
    surveyed = survey_folder(flat, duration=6.0, slice=slicing)
    file = surveyed.files[-1]
    assert file.path.name == "x.flac" and file.seconds == pytest.approx(kept, abs=0.6)
    assert "Used in part (1)\n  x.flac: " in format_report(surveyed)
    data = prepare_folder(flat, duration=6.0, slice=slicing)
    assert len(data) == 9 + len(file.slices)
    last = data.spectrograms[-1, 0].mean(axis=0)
    assert last[0] > 0 and (last[-1] > 0 if slicing else np.all(last[-10:] == -1))


@pytest.mark.parametrize(
    ("common", "chosen"), [(8000, 8000), (6000, 8000), (11025, 8000), (32000, 22050), (48000, 48000), (96000, 48000)]
)
def test_sample_rate_is_the_preset_not_above_the_most_common_one(tmp_path: Path, common: int, chosen: int) -> None:
    for k in range(5):
        write_sound(tmp_path / f"{k}.wav", tone(300 + k, rate=common), common)
    for k in range(4):
        write_sound(tmp_path / f"other{k}.wav", tone(400 + k, rate=16000), 16000)
    assert survey_folder(tmp_path).representation.sample_rate == chosen
    assert survey_folder(tmp_path, sample_rate=22050).representation.sample_rate == 22050


@pytest.mark.parametrize(("short", "expected"), [(8, 0.65), (40, 1.27)])
def test_duration_fits_95_percent_of_the_recordings(tmp_path: Path, short: int, expected: float) -> None:
    for k in range(short):
        write_sound(tmp_path / f"{k:02}.wav", tone(300 + 20 * k, 0.51 + 0.02 * k))
    write_sound(tmp_path / "long.wav", tone(2000, 9.0))
    surveyed = survey_folder(tmp_path)
    assert surveyed.representation == preset(RATE, expected)
    assert "nearly all recordings are no longer" in format_report(surveyed)
    median = 0.51 + 0.02 * (short // 2)
    assert survey_folder(tmp_path, slice=True).representation == preset(RATE, median)
    surveyed = survey_folder(tmp_path, duration=2.0)
    assert surveyed.representation == preset(RATE, 2.0) and "Duration" not in format_report(surveyed)
    surveyed = survey_folder(tmp_path, image_size=(64, 32), range_db=50)
    rep = surveyed.representation
    assert rep.shape == (64, 32) and rep.ceiling_db - rep.floor_db == 50 and "Duration" not in format_report(surveyed)


class RecordingReader(CachingReader):
    """A reader that records which parts are read."""

    def __init__(self, seconds: float) -> None:
        super().__init__(seconds)
        self.parts: list[tuple[str, float, float]] = []

    def read(self, path: Path, sample_rate: int, start: float, seconds: float) -> NDArray[np.float32]:
        self.parts.append((path.name, start, seconds))
        return super().read(path, sample_rate, start, seconds)


def test_long_file_is_read_in_chunks_and_only_as_far_as_needed(flat: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(survey, "CachingReader", RecordingReader)
    write_sound(flat / "long.wav", np.random.default_rng(0).uniform(-0.5, 0.5, 600 * RATE))
    surveyed = survey_folder(flat, duration=0.5)
    duration = surveyed.representation.duration
    assert isinstance(surveyed.reader, RecordingReader) and len(surveyed.reader.parts) == 10
    assert all(seconds == pytest.approx(duration) for _, _, seconds in surveyed.reader.parts)
    reader = survey_folder(flat, duration=0.5, slice=True).reader
    assert isinstance(reader, RecordingReader)
    long = sorted(part for name, *part in reader.parts if name == "long.wav")
    assert len(long) >= 10 and max(seconds for _, seconds in long) <= 60
    ends = [start + seconds for start, seconds in long]
    assert np.allclose(ends[:-1], [start for start, _ in long[1:]]) and ends[-1] > 600 - duration


def test_slices_are_counted_leveled_together_and_silent_ones_skipped(flat: Path) -> None:
    samples = preset(RATE, 0.5).samples
    loud, quiet = (tone(500, 1, amplitude=amplitude)[:samples] for amplitude in (0.8, 0.08))
    end = tone(900, 1)
    x, y = [loud, np.zeros(samples), quiet, end[: samples // 3]], [loud[::-1] * 0.9, end[: 2 * samples // 3]]
    write_sound(flat / "x.wav", np.concatenate(x), subtype="FLOAT")
    write_sound(flat / "y.wav", np.concatenate(y), subtype="FLOAT")
    surveyed = survey_folder(flat, duration=0.5, slice=True)
    x, y = surveyed.files[-2:]
    assert x.slices == (0, 2) and x.silent_slices == 1
    assert x.unused_seconds == pytest.approx(samples / 3 / RATE, abs=1e-3)
    assert y.slices == (0, 1) and y.silent_slices == 0 and y.unused_seconds == 0
    assert surveyed.sounds == 13 and "13 slices" in format_report(surveyed)
    assert f"1 silent slice, 1 remainder under half a slice ({x.unused_seconds:.2f} s)" in format_report(surveyed)
    data = prepare_folder(flat, duration=0.5, slice=True)
    assert len(data) == 13
    rep = data.representation
    levels = (data.spectrograms[9:11, 0].max(axis=(1, 2)) + 1) / 2 * (rep.ceiling_db - rep.floor_db)
    assert levels[0] - levels[1] == pytest.approx(20, abs=0.5)  # the slices of one recording keep their difference


@given(seconds=st.floats(0.02, 500), duration=st.floats(0.25, 10))
def test_slices_and_remainder_add_up_to_the_recording(seconds: float, duration: float) -> None:
    count, unused = survey._slice_count(seconds, duration)
    padding = count * duration + unused - seconds
    assert count >= 1 and 0 <= unused < duration / 2
    assert padding == pytest.approx(0, abs=1e-6) or (unused == 0 and (0 < padding <= duration / 2 or count == 1))
