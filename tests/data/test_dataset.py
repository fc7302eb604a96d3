"""A folder of sounds: what is found in it, what is left out and why, what is painted, and what the cache promises."""

from __future__ import annotations

import os
import re
import shutil
import threading
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import soundfile
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from soundgan import audio
from soundgan.data import dataset, survey
from soundgan.data.reader import CachingReader
from soundgan.data.report import format_report
from soundgan.data.scan import SkippedFile, scan
from soundgan.errors import DataError
from soundgan.settings import Settings
from soundgan.spectral.presets import preset
from soundgan.spectral.representation import analyze

RATE = 8000


def tone(frequency: float, seconds: float = 0.3, rate: int = RATE, amplitude: float = 0.5) -> NDArray[np.float32]:
    """A sine; every frequency is another sound."""
    return (amplitude * np.sin(2 * np.pi * frequency * np.arange(round(seconds * rate)) / rate)).astype(np.float32)


def put(path: Path, wave: np.ndarray, rate: int = RATE, subtype: str | None = None) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    soundfile.write(path, wave, rate, subtype)
    return path


@pytest.fixture
def flat(tmp_path: Path) -> Path:
    """Nine different tones of 0.3 s, unlabelled."""
    for k in range(9):
        put(tmp_path / "flat" / f"{k}.wav", tone(200 + 50 * k))
    return tmp_path / "flat"


@pytest.fixture
def labelled(tmp_path: Path) -> Path:
    """Four kicks and five snares, some of them in a deeper folder."""
    for k in range(4):
        put(tmp_path / "drums" / "kick" / f"{k}.wav", tone(200 + 50 * k))
    for k in range(5):
        put(tmp_path / "drums" / "snare" / ("1 deep/er" if k % 2 else "") / f"{k}.flac", tone(1000 + 50 * k))
    return tmp_path / "drums"


def surveyed(folder: Path, settings: Settings, reader: CachingReader | None = None) -> survey.Survey:
    return survey.survey(scan(folder, settings.data.exclude), settings.data, settings.spectrogram, reader)


def prepared(
    folder: Path, settings: Settings, cache: Path, progress: survey.ProgressCallback | None = None
) -> dataset.Dataset:
    return dataset.prepare(folder, settings.data, settings.spectrogram, cache, progress)


def kinds(found: survey.Survey) -> dict[str, str]:
    return {item.path.relative_to(found.folder).as_posix(): item.kind for item in found.skipped}


def test_flat_folder_has_no_labels(flat: Path, tmp_path: Path) -> None:
    data = prepared(flat, Settings(), tmp_path / "cache")
    assert data.label_names == [] and data.labels.tolist() == [0] * 9
    assert data.spectrograms.shape == (9, 1, *data.representation.shape) and data.spectrograms.dtype == np.float32
    assert data.spectrograms.min() >= -1 and data.spectrograms.max() <= 1


def test_first_level_folders_are_the_labels(labelled: Path, tmp_path: Path) -> None:
    found = surveyed(labelled, Settings())
    assert found.labels == ["kick", "snare"] and found.skipped == []
    data = prepared(labelled, Settings(), tmp_path / "cache")
    assert data.label_names == ["kick", "snare"] and data.labels.tolist() == [0] * 4 + [1] * 5
    # Files are ordered by name, so the rows of the spectrograms are known: the tones rise within each label.
    loudest = data.spectrograms[:, 0].mean(axis=2).argmax(axis=1)
    assert np.all(np.diff(loudest[:4]) > 0) and loudest[:4].max() < loudest[4:].min()


def test_order_does_not_depend_on_the_order_of_the_disk(labelled: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = [file.path for file in surveyed(labelled, Settings()).files]
    assert before == sorted(before, key=lambda path: path.relative_to(labelled).as_posix())
    scandir = os.scandir
    monkeypatch.setattr(os, "scandir", lambda path: sorted(scandir(path), key=lambda e: e.name, reverse=True))
    assert [file.path for file in surveyed(labelled, Settings()).files] == before


def test_loose_files_beside_labels_are_skipped_with_a_hint(labelled: Path) -> None:
    put(labelled / "loose.wav", tone(3000))
    found = surveyed(labelled, Settings())
    (item,) = found.skipped
    assert item.path.name == "loose.wav" and item.kind == "without a label" and "move it" in item.reason
    assert len(found.files) == 9


def test_excluded_files_are_left_out_by_name_and_belong_to_the_key(labelled: Path, tmp_path: Path) -> None:
    settings = Settings.from_flat(exclude=("*/0.*",))
    found = surveyed(labelled, settings)
    assert kinds(found) == {"kick/0.wav": "excluded", "snare/0.flac": "excluded"} and len(found.files) == 7
    put(labelled / "kick" / "4.wav", tone(3000))
    whole = prepared(labelled, Settings(), tmp_path / "cache")
    part = prepared(labelled, settings, tmp_path / "cache")
    assert len(whole) == 10 and len(part) == 8 and whole.digest != part.digest


def test_unmatched_pattern_is_reported_also_from_the_cache(labelled: Path, tmp_path: Path) -> None:
    told = {}
    for exclude in ((), ("1.*",), ("k*/0.*", "[x"), ("1.*",)):
        found = surveyed(labelled, Settings.from_flat(exclude=exclude))
        assert found.unmatched_patterns == [pattern for pattern in exclude if pattern != "k*/0.*"]
        told[exclude] = prepared(labelled, Settings.from_flat(exclude=exclude), tmp_path / "cache").report
    assert "Excluded" not in told[()]
    assert "nothing by 1.*: no file matches" in told[("1.*",)]
    assert "nothing by [x: no file matches" in told[("k*/0.*", "[x")]


def test_folder_without_audio_is_no_label(flat: Path) -> None:
    (flat / "notes").mkdir()
    (flat / "notes" / "a.txt").write_text("recorded on a Tuesday")
    found = surveyed(flat, Settings())
    assert found.labels == [] and len(found.files) == 9 and kinds(found) == {"notes/a.txt": "not audio"}


def test_hostile_folder_is_used_or_reported_entry_by_entry(tmp_path: Path) -> None:
    folder = tmp_path / "hostile 🎧"
    noise = np.random.default_rng(1)
    names = ['it\'s a "kick".wav', "two  spaces .wav", "снейр 🥁.wav", "[bold]x.wav", "-n.wav", "UPPER.WAV"]
    for k, name in enumerate(names):
        put(folder / name, tone(300 + 40 * k))
    put(folder / "wide.wav", tone(500, rate=96000)[:, None] * [1, 0.5], 96000, subtype="PCM_24")
    put(folder / "narrow.wav", tone(900), subtype="PCM_U8")
    put(folder / "long.wav", noise.uniform(-0.5, 0.5, 600 * RATE))
    used = {*names, "wide.wav", "narrow.wav", "long.wav"}

    (folder / "zero.wav").touch()
    (folder / "header.wav").write_bytes((folder / "long.wav").read_bytes()[:20])
    (folder / "text.wav").write_text("I am a text that is called a sound\n" * 50)
    (folder / "cover.png").write_bytes(b"\x89PNG")
    (folder / ".DS_Store").write_bytes(b"\0")
    (folder / "._UPPER.WAV").write_bytes(b"\0")
    shutil.copy(folder / "narrow.wav", folder / "narrow copy.wav")
    put(folder / "narrow as.flac", soundfile.read(folder / "narrow.wav")[0])
    put(folder / "silent.wav", np.zeros(RATE))
    put(folder / "whisper.wav", tone(440, amplitude=0.0009), subtype="FLOAT")
    put(folder / "click.wav", tone(440, 0.015))
    put(folder / "empty.wav", np.zeros(0))
    (folder / "loop").symlink_to(folder, target_is_directory=True)
    (folder / "self.wav").symlink_to(folder / "self.wav")
    (folder / "dangling.wav").symlink_to(tmp_path / "gone.wav")
    expected = {
        "zero.wav": "unreadable",
        "header.wav": "unreadable",
        "text.wav": "unreadable",
        "cover.png": "not audio",
        # Of equal sounds the first by name is used.
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
    used = used - {"narrow.wav"} | {"narrow as.flac"}
    if hasattr(os, "geteuid") and os.geteuid() != 0:
        put(folder / "forbidden.wav", tone(700)).chmod(0)
        expected["forbidden.wav"] = "unreadable"

    found = surveyed(folder, Settings())
    assert {file.path.name for file in found.files} == used
    assert kinds(found) == expected and found.hidden == 2
    text = format_report(found, max_listed=None)
    for name in expected:
        assert name in text
    data = prepared(folder, Settings(), tmp_path / "cache")
    assert len(data) == len(used) and np.isfinite(data.spectrograms).all()


def test_truncated_file_counts_with_its_readable_length(flat: Path) -> None:
    whole = put(flat / "whole.wav", tone(2000, 2.0)).read_bytes()
    (flat / "whole.wav").write_bytes(whole[: len(whole) // 2])
    found = surveyed(flat, Settings.from_flat(duration=4.0))
    (file,) = (file for file in found.files if file.path.name == "whole.wav")
    assert file.seconds == pytest.approx(1.0, abs=0.02)


@pytest.mark.parametrize(("slicing", "kept"), [(False, 4.2), (True, 110.6)])
def test_damaged_file_is_used_up_to_the_damage_and_reported(
    flat: Path, tmp_path: Path, slicing: bool, kept: float
) -> None:
    noise = np.random.default_rng(0).uniform(-0.5, 0.5, 300 * RATE)
    # In slices, the damage lies in the third of five minutes; the first two are used.
    whole = put(flat / "x.flac", noise if slicing else noise[: 6 * RATE]).read_bytes()
    (flat / "x.flac").write_bytes(whole[: len(whole) * (4 if slicing else 7) // 10])
    settings = Settings.from_flat(duration=6.0, slice=slicing)
    found = surveyed(flat, settings)
    file = found.files[-1]
    assert file.path.name == "x.flac" and file.seconds == pytest.approx(kept, abs=0.6)
    assert "Used in part (1)\n  x.flac: " in format_report(found)
    data = prepared(flat, settings, tmp_path / "cache")
    assert len(data) == 9 + len(file.slices)
    last = data.spectrograms[-1, 0].mean(axis=0)
    assert last[0] > 0 and (last[-1] > 0 if slicing else np.all(last[-10:] == -1))


def test_linked_folder_is_read_once_under_its_own_name(labelled: Path) -> None:
    (labelled / "a link").symlink_to(labelled / "snare", target_is_directory=True)
    found = surveyed(labelled, Settings())
    assert found.labels == ["kick", "snare"] and kinds(found) == {"a link": "second link to a folder"}


def test_links_to_files_and_folders_elsewhere_are_followed(labelled: Path, tmp_path: Path) -> None:
    links = tmp_path / "links"
    links.mkdir()
    (links / "snare").symlink_to(labelled / "snare", target_is_directory=True)
    (links / "kick").mkdir()
    for path in (labelled / "kick").iterdir():
        (links / "kick" / path.name).symlink_to(path)
    found = surveyed(links, Settings())
    assert Counter(file.label for file in found.files) == {"kick": 4, "snare": 5} and not found.skipped


@pytest.mark.parametrize("make", [lambda p: None, lambda p: p.touch(), lambda p: p.mkdir()])
def test_missing_or_empty_folder_is_refused_by_name(tmp_path: Path, make) -> None:
    make(tmp_path / "sounds")
    with pytest.raises(DataError, match="sounds"):
        surveyed(tmp_path / "sounds", Settings())


def test_too_few_sounds_are_refused_with_counts_and_reasons(flat: Path, tmp_path: Path) -> None:
    put(flat / "0.wav", np.zeros(RATE))
    put(flat / "1.wav", tone(250)[:100])
    with pytest.raises(
        DataError, match=r"7 usable sounds.*at least 8.*1 silent \(0\.wav.*1 too short \(1\.wav"
    ) as error:
        prepared(flat, Settings(), tmp_path / "cache")
    assert "\n" not in str(error.value)
    assert not list(tmp_path.glob("cache/*"))


@pytest.mark.parametrize(
    ("common", "chosen"), [(8000, 8000), (6000, 8000), (11025, 8000), (32000, 22050), (48000, 44100), (96000, 44100)]
)
def test_sample_rate_is_the_preset_not_above_the_most_common_one(tmp_path: Path, common: int, chosen: int) -> None:
    for k in range(5):
        put(tmp_path / f"{k}.wav", tone(300 + k, rate=common), common)
    for k in range(4):
        put(tmp_path / f"other{k}.wav", tone(400 + k, rate=16000), 16000)
    assert surveyed(tmp_path, Settings()).representation.sample_rate == chosen
    assert surveyed(tmp_path, Settings.from_flat(sample_rate=22050)).representation.sample_rate == 22050


@pytest.mark.parametrize(("short", "expected"), [(8, 0.65), (40, 1.27)])
def test_duration_fits_95_percent_of_the_recordings(tmp_path: Path, short: int, expected: float) -> None:
    for k in range(short):
        put(tmp_path / f"{k:02}.wav", tone(300 + 20 * k, 0.51 + 0.02 * k))
    put(tmp_path / "long.wav", tone(2000, 9.0))
    found = surveyed(tmp_path, Settings())
    assert found.representation == preset(RATE, expected) and "nearly all recordings are no longer" in format_report(
        found
    )
    median = 0.51 + 0.02 * (short // 2)
    assert surveyed(tmp_path, Settings.from_flat(slice=True)).representation == preset(RATE, median)
    asked = surveyed(tmp_path, Settings.from_flat(duration=2.0))
    assert asked.representation == preset(RATE, 2.0) and "Duration" not in format_report(asked)
    found = surveyed(tmp_path, Settings.from_flat(image_size=(64, 32), range_db=50))
    sized = found.representation
    assert (
        sized.shape == (64, 32) and sized.ceiling_db - sized.floor_db == 50 and "Duration" not in format_report(found)
    )


def test_long_recordings_are_cut_with_a_fade_and_short_ones_padded(flat: Path, tmp_path: Path) -> None:
    put(flat / "long.wav", tone(1000, 3.0), subtype="FLOAT")
    settings = Settings.from_flat(duration=1.0)
    found = surveyed(flat, settings)
    rep = found.representation
    text = format_report(found)
    assert "9 shorter than" in text and f"1 to their first {rep.duration:.2f} s ({3 - rep.duration:.2f} s" in text
    data = prepared(flat, settings, tmp_path / "cache")
    rep = data.representation
    # A tone that is cut hard splashes over all bands of the last frame; faded, bands far away stay quiet.
    hard = analyze(tone(1000, 3.0, amplitude=10 ** (-1 / 20))[: rep.samples], rep)[0, 0]
    far = slice(rep.bands // 2, None)
    drop = (hard[far, -1].max() - data.spectrograms[-1, 0, far, -1].max()) / 2 * (rep.ceiling_db - rep.floor_db)
    assert drop > 10  # dB
    assert np.allclose(data.spectrograms[-1, 0, :, :-2], hard[:, :-2], atol=1e-3)  # and nothing else changes
    # The nine short ones end at 0.3 s, and silence lies exactly on the floor.
    after = round(0.3 * RATE / rep.hop_length) + 3
    assert np.all(data.spectrograms[:9, 0, :, after:] == -1) and np.all(data.spectrograms[:9, 0].max(axis=(1, 2)) > 0.5)


def test_slices_are_faded_where_they_begin_and_end_but_not_at_the_ends_of_the_recording(tmp_path: Path) -> None:
    settings = Settings.from_flat(duration=0.25, slice=True, level="none")
    rep = preset(RATE, 0.25)
    wave = tone(1000, 8 * rep.duration)
    wave[: rep.hop_length // 2] = 0  # it begins hard, at the centre of the first frame, and ends hard
    put(tmp_path / "in" / "x.wav", wave, subtype="FLOAT")
    data = prepared(tmp_path / "in", settings, tmp_path / "cache")
    rep = data.representation
    hard = analyze(wave.reshape(8, rep.samples), rep)[:, 0]
    drop = (hard - data.spectrograms[:, 0])[:, rep.bands // 2 :].max(axis=1) / 2 * (rep.ceiling_db - rep.floor_db)
    assert np.all(drop[1:, 0] > 10) and np.all(drop[:-1, -1] > 10)  # dB, in the first and last frames at a cut
    assert drop[0, 0] == 0 and drop[-1, -1] == 0 and np.abs(drop[:, 2:-2]).max() == 0


class RecordingReader(CachingReader):
    """A reader that records which parts are read."""

    def __init__(self, seconds: float) -> None:
        super().__init__(seconds)
        self.parts: list[tuple[str, float, float]] = []

    def read(self, path: Path, sample_rate: int, start: float, seconds: float) -> NDArray[np.float32]:
        self.parts.append((path.name, start, seconds))
        return super().read(path, sample_rate, start, seconds)


def test_long_file_is_read_in_chunks_and_only_as_far_as_needed(flat: Path) -> None:
    put(flat / "long.wav", np.random.default_rng(0).uniform(-0.5, 0.5, 600 * RATE))
    reader = RecordingReader(1.0)
    found = surveyed(flat, Settings.from_flat(duration=0.5), reader)
    duration = found.representation.duration
    assert len(reader.parts) == 10 and all(seconds == pytest.approx(duration) for _, _, seconds in reader.parts)
    reader = RecordingReader(60.0)
    surveyed(flat, Settings.from_flat(duration=0.5, slice=True), reader)
    long = sorted(part for name, *part in reader.parts if name == "long.wav")
    assert len(long) >= 10 and max(seconds for _, seconds in long) <= 60
    ends = [start + seconds for start, seconds in long]
    assert np.allclose(ends[:-1], [start for start, _ in long[1:]]) and ends[-1] > 600 - duration


def test_slices_are_counted_levelled_together_and_silent_ones_skipped(flat: Path, tmp_path: Path) -> None:
    settings = Settings.from_flat(duration=0.5, slice=True)
    samples = preset(RATE, 0.5).samples
    loud, quiet, silence = (
        tone(500, 1, amplitude=0.8)[:samples],
        tone(500, 1, amplitude=0.08)[:samples],
        np.zeros(samples),
    )
    put(flat / "x.wav", np.concatenate([loud, silence, quiet, tone(900, 1)[: samples // 3]]), subtype="FLOAT")
    put(flat / "y.wav", np.concatenate([loud[::-1] * 0.9, tone(900, 1)[: 2 * samples // 3]]), subtype="FLOAT")
    found = surveyed(flat, settings)
    x, y = found.files[-2:]
    assert (
        x.slices == (0, 2) and x.silent_slices == 1 and x.unused_seconds == pytest.approx(samples / 3 / RATE, abs=1e-3)
    )
    assert y.slices == (0, 1) and y.silent_slices == 0 and y.unused_seconds == 0
    assert found.sounds == 13 and "13 slices" in format_report(found)
    assert f"1 silent slice, 1 remainder under half a slice ({x.unused_seconds:.2f} s)" in format_report(found)
    data = prepared(flat, settings, tmp_path / "cache")
    assert len(data) == 13
    rep = data.representation
    levels = (data.spectrograms[9:11, 0].max(axis=(1, 2)) + 1) / 2 * (rep.ceiling_db - rep.floor_db)
    assert levels[0] - levels[1] == pytest.approx(20, abs=0.5)  # the slices of one recording keep their difference


def test_one_long_recording_is_enough_when_sliced(tmp_path: Path) -> None:
    put(tmp_path / "in" / "rain.wav", np.random.default_rng(0).uniform(-0.5, 0.5, 10 * RATE))
    settings = Settings.from_flat(duration=0.5, slice=True)
    data = prepared(tmp_path / "in", settings, tmp_path / "cache")
    assert len(data) == round(10 / data.representation.duration)
    with pytest.raises(DataError, match="1 usable sound found"):
        prepared(tmp_path / "in", Settings.from_flat(duration=0.5), tmp_path / "cache")


@given(seconds=st.floats(0.02, 500), duration=st.floats(0.25, 10))
def test_slices_and_remainder_add_up_to_the_recording(seconds: float, duration: float) -> None:
    count, unused = survey._slice_count(seconds, duration)
    padding = count * duration + unused - seconds
    assert count >= 1 and 0 <= unused < duration / 2
    assert padding == pytest.approx(0, abs=1e-6) or (unused == 0 and (0 < padding <= duration / 2 or count == 1))


def test_sounds_far_above_the_ceiling_are_reported(tmp_path: Path) -> None:
    folder, settings = tmp_path / "in", Settings.from_flat(level="none", duration=0.25)
    for number in range(250):
        put(folder / f"{number}.wav", tone(400 + number, 0.05, amplitude=0.005))
    assert "Limited" not in prepared(folder, settings, tmp_path / "cache").report
    for number in range(2):
        put(folder / f"loud{number}.wav", tone(500 + number, 0.05))
    limited = prepared(folder, settings, tmp_path / "cache")
    found = re.search(r"Limited +(\d+) louder than the ceiling of (-\d+) dB, by up to (\d+) dB", limited.report)
    assert found and (int(found[1]), int(found[2])) == (2, limited.representation.ceiling_db)
    assert int(found[3]) == pytest.approx(40, abs=1.5), "0.5 beside 0.005"
    assert (limited.spectrograms == 1).any(axis=(1, 2, 3)).nonzero()[0].tolist() == [250, 251]


@pytest.mark.parametrize("level", ["peak", "rms", "none"])
def test_level_setting_sets_the_level_of_spectrograms(tmp_path: Path, level: str) -> None:
    folder = tmp_path / "in"
    for k in range(9):
        put(folder / f"{k}.wav", tone(300 + 100 * k, 0.5, amplitude=0.5 / 2**k), subtype="FLOAT")
    data = prepared(folder, Settings.from_flat(level=level), tmp_path / "cache")
    rep = data.representation
    peaks = rep.floor_db + (data.spectrograms[:, 0].max(axis=(1, 2)) + 1) / 2 * (rep.ceiling_db - rep.floor_db)
    # A sine of amplitude a is 20 log10 a dBFS in its band, and a little less between two bands.
    first, step = {"peak": (-1, 0.0), "rms": (-20 + 3, 0.0), "none": (-6, -6.02)}[level]
    expected = first + step * np.arange(9)
    assert np.all(peaks <= expected + 0.5) and np.all(peaks >= expected - 3.5)
    assert rep.ceiling_db - rep.floor_db == 70 and rep.ceiling_db - 1 <= peaks.max() <= rep.ceiling_db


def test_cached_dataset_decodes_nothing(labelled: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    steps: list[tuple[int, int]] = []
    first = prepared(labelled, Settings(), tmp_path / "cache", lambda *step: steps.append(step))
    assert steps[-1][0] == steps[-1][1] and all(done <= total for done, total in steps)
    shares = [done / total for done, total in steps]
    assert shares == sorted(shares)

    def refuse(*_args, **_kwargs):
        raise AssertionError("the cache must serve without opening a sound")

    monkeypatch.setattr(audio, "read", refuse)
    monkeypatch.setattr(CachingReader, "probe", refuse)
    second = prepared(labelled, Settings.from_flat(minutes=5), tmp_path / "cache")
    assert second.digest == first.digest and second.report == first.report
    assert second.representation == first.representation and second.label_names == first.label_names
    assert np.array_equal(second.spectrograms, first.spectrograms) and np.array_equal(second.labels, first.labels)
    shutil.copytree(labelled, tmp_path / "moved", copy_function=shutil.copy2)
    assert prepared(tmp_path / "moved", Settings(), tmp_path / "cache").digest == first.digest


@pytest.mark.parametrize(
    "change",
    [
        lambda folder: put(folder / "3.wav", tone(3000)),
        lambda folder: (folder / "3.wav").unlink(),
        lambda folder: put(folder / "new.wav", tone(3000)),
    ],
)
def test_changed_sounds_invalidate_the_cache(flat: Path, tmp_path: Path, change) -> None:
    before = prepared(flat, Settings(), tmp_path / "cache")
    change(flat)
    after = prepared(flat, Settings(), tmp_path / "cache")
    assert after.digest != before.digest and len(after) == len(list(flat.iterdir()))


@pytest.mark.parametrize(
    "change",
    [
        lambda folder: (folder / "3.wav").rename(folder / "3b.wav"),
        lambda folder: os.utime(folder / "3.wav", ns=(0, 0)),
        lambda folder: (folder / ".DS_Store").touch(),
        lambda folder: (folder / "about.txt").write_text("Recorded in the garden."),
    ],
)
def test_other_changes_keep_the_digest(flat: Path, tmp_path: Path, change) -> None:
    before = prepared(flat, Settings(), tmp_path / "cache")
    change(flat)
    assert prepared(flat, Settings(), tmp_path / "cache").digest == before.digest
    assert len(list((tmp_path / "cache").iterdir())) == 2


@pytest.mark.parametrize(
    "change",
    [
        {"sample_rate": 16000},
        {"duration": 1.0},
        {"range_db": 40},
        {"level": "none"},
        {"scale": "mel"},
        {"window": "gaussian"},
        {"overlap": 8},
    ],
)
def test_changed_settings_invalidate_the_cache(flat: Path, tmp_path: Path, change: dict) -> None:
    before = prepared(flat, Settings(), tmp_path / "cache")
    after = prepared(flat, Settings.from_flat(**change), tmp_path / "cache")
    assert after.digest != before.digest and after.representation != before.representation


def test_writing_to_the_spectrograms_leaves_the_cache_alone(flat: Path, tmp_path: Path) -> None:
    data = prepared(flat, Settings(), tmp_path / "cache")
    before = data.spectrograms.copy()
    data.spectrograms[:] = 0.25
    assert np.array_equal(prepared(flat, Settings(), tmp_path / "cache").spectrograms, before)


@pytest.mark.parametrize("name", ["spectrograms.npy", "pitch.npy", "labels.npy", "dataset.json"])
@pytest.mark.parametrize("damage", [lambda path: path.unlink(), lambda path: path.write_bytes(path.read_bytes()[:100])])
def test_damaged_cache_entry_is_replaced(flat: Path, tmp_path: Path, name: str, damage) -> None:
    before = prepared(flat, Settings(), tmp_path / "cache")
    spectrograms = before.spectrograms.copy()
    (entry,) = (tmp_path / "cache").iterdir()
    damage(entry / name)
    assert np.array_equal(prepared(flat, Settings(), tmp_path / "cache").spectrograms, spectrograms)
    assert list((tmp_path / "cache").iterdir()) == [entry]


def test_concurrent_preparations_share_one_cache_entry(flat: Path, tmp_path: Path) -> None:
    results: list[dataset.Dataset] = []
    barrier = threading.Barrier(4)

    def start() -> None:
        barrier.wait()
        results.append(prepared(flat, Settings(), tmp_path / "cache"))

    threads = [threading.Thread(target=start) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(results) == 4 and all(np.array_equal(data.spectrograms, results[0].spectrograms) for data in results)
    assert len({data.digest for data in results}) == 1 and len(list((tmp_path / "cache").iterdir())) == 1


def test_interrupted_preparation_leaves_no_cache_entry(
    flat: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def stop(*_args: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(dataset, "normalize", stop)
    with pytest.raises(KeyboardInterrupt):
        prepared(flat, Settings(), tmp_path / "cache")
    assert list((tmp_path / "cache").iterdir()) == []


def test_long_list_of_skipped_files_is_shortened_but_counted(flat: Path) -> None:
    for k in range(30):
        (flat / f"note{k:02}.txt").touch()
    found = surveyed(flat, Settings())
    assert "Left out, not audio (30)" in format_report(found) and "and 20 more" in format_report(found)
    assert "note29.txt" not in format_report(found) and "note29.txt" in format_report(found, max_listed=None)


def test_unprintable_names_are_escaped_in_the_report(flat: Path) -> None:
    (flat / "a\nb\x1b[1m\udcff.txt").touch()
    (flat / "🥁 [x].txt").touch()
    lines = format_report(surveyed(flat, Settings())).splitlines()
    assert lines[-2:] == ["  'a\\nb\\x1b[1m\\udcff.txt'", "  🥁 [x].txt"]


def test_scan_opens_no_file(flat: Path) -> None:
    (flat / "0.wav").unlink()
    os.mkfifo(flat / "0.wav")  # opening it would wait for ever
    found = scan(flat)
    assert len(found.candidates) == 8 and found.skipped == [
        SkippedFile(flat / "0.wav", "not audio", "not a regular file")
    ]
