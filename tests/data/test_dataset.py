"""Datasets: spectrograms, labels and levels of a folder, and their cache."""

from __future__ import annotations

import errno
import os
import shutil
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Barrier
from typing import Any

import numpy as np
import pytest
from sound_folders import RATE, prepare_folder, skipped_kinds, survey_folder, tone, write_sound

from soundgan import audio
from soundgan.data import dataset
from soundgan.data.caching_reader import CachingReader
from soundgan.errors import DataError
from soundgan.settings import DataSettings, SpectrogramSettings
from soundgan.spectral.presets import preset
from soundgan.spectral.representation import analyze


def test_flat_folder_has_no_labels(flat: Path) -> None:
    data = prepare_folder(flat)
    assert data.label_names == [] and data.labels.tolist() == [0] * 9
    assert data.spectrograms.shape == (9, 1, *data.representation.shape) and data.spectrograms.dtype == np.float32
    assert data.spectrograms.min() >= -1 and data.spectrograms.max() <= 1


def test_first_level_folders_are_the_labels(labeled: Path) -> None:
    surveyed = survey_folder(labeled)
    assert surveyed.labels == ["kick", "snare"] and surveyed.skipped == []
    data = prepare_folder(labeled)
    assert data.label_names == ["kick", "snare"] and data.labels.tolist() == [0] * 4 + [1] * 5
    # Files are ordered by name, so the rows of the spectrograms are known: the tones rise within each label.
    loudest = data.spectrograms[:, 0].mean(axis=2).argmax(axis=1)
    assert np.all(np.diff(loudest[:4]) > 0) and loudest[:4].max() < loudest[4:].min()


def test_excluded_files_are_left_out_by_name_and_belong_to_the_key(labeled: Path) -> None:
    surveyed = survey_folder(labeled, exclude=("*/0.*",))
    assert skipped_kinds(surveyed) == {"kick/0.wav": "excluded", "snare/0.flac": "excluded"}
    assert len(surveyed.files) == 7
    write_sound(labeled / "kick" / "4.wav", tone(3000))
    whole = prepare_folder(labeled)
    part = prepare_folder(labeled, exclude=("*/0.*",))
    assert len(whole) == 10 and len(part) == 8 and whole.digest != part.digest


def test_excluded_pattern_may_have_bytes_that_are_not_utf8(labeled: Path) -> None:
    assert len(prepare_folder(labeled, exclude=(os.fsdecode(b"\xff*"),))) == 9


def test_spectrograms_grow_as_they_are_written(labeled: Path, tmp_path: Path) -> None:
    sizes: list[int] = []

    def progress(done: int, total: int) -> None:
        sizes.extend(file.stat().st_size for file in tmp_path.glob("cache/.unfinished-*/spectrograms.npy"))

    assert len(prepare_folder(labeled, progress)) == 9
    assert len(sizes) == 9 and sizes[0] < sizes[-1], "a file of holes would be filled through a mapping: SIGBUS"


def test_disk_error_names_the_cache(labeled: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def save(*args: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(np, "save", save)
    with pytest.raises(OSError) as caught:
        prepare_folder(labeled)
    assert caught.value.filename == str(tmp_path / "cache") and os.listdir(tmp_path / "cache") == []


def test_too_few_sounds_are_refused_with_counts_and_reasons(flat: Path, tmp_path: Path) -> None:
    write_sound(flat / "0.wav", np.zeros(RATE))
    write_sound(flat / "1.wav", tone(250)[:100])
    message = r"7 usable sounds.*at least 8.*1 silent \(0\.wav.*1 too short \(1\.wav"
    with pytest.raises(DataError, match=message) as error:
        prepare_folder(flat)
    assert "\n" not in str(error.value)
    assert not list(tmp_path.glob("cache/*"))


def test_long_recordings_are_cut_with_a_fade_and_short_ones_padded(flat: Path) -> None:
    write_sound(flat / "long.wav", tone(1000, 3.0), subtype="FLOAT")
    data = prepare_folder(flat, duration=1.0)
    rep, text = data.representation, data.report
    assert "9 shorter than" in text and f"1 to their first {rep.duration:.2f} s ({3 - rep.duration:.2f} s" in text
    # A tone that is cut hard splashes over all bands of the last frame; faded, bands far away stay quiet.
    hard = analyze(tone(1000, 3.0, amplitude=10 ** (-1 / 20))[: rep.samples], rep)[0, 0]
    far = slice(rep.bands // 2, None)
    drop = (hard[far, -1].max() - data.spectrograms[-1, 0, far, -1].max()) / 2 * (rep.ceiling_db - rep.floor_db)
    assert drop > 10  # dB
    assert np.allclose(data.spectrograms[-1, 0, :, :-2], hard[:, :-2], atol=1e-3)  # and nothing else changes
    # The nine short ones end at 0.3 s, and silence lies exactly on the floor.
    after = round(0.3 * RATE / rep.hop_length) + 3
    assert np.all(data.spectrograms[:9, 0, :, after:] == -1) and np.all(data.spectrograms[:9, 0].max(axis=(1, 2)) > 0.5)


def test_lengths_and_levels_are_those_of_the_recordings(tmp_path: Path) -> None:
    folder = tmp_path / "in"
    for k in range(9):
        wave = np.concatenate([tone(300 + 100 * k, 0.1 + 0.03 * k, amplitude=0.5 / 2**k), np.zeros(400)])
        write_sound(folder / f"{k}.wav", wave, subtype="FLOAT")
    data = prepare_folder(folder, duration=0.25)
    assert data.representation.duration == pytest.approx(0.256)
    expected = np.minimum(0.1 + 0.03 * np.arange(9), data.representation.duration)
    np.testing.assert_allclose(data.lengths, expected, atol=1e-3)
    np.testing.assert_allclose(data.levels, -6.02 * (1 + np.arange(9)), atol=0.5)


def test_sounds_end_where_they_stay_60_db_below_their_peak(flat: Path) -> None:
    hiss = np.random.default_rng(0).uniform(-1, 1, RATE)
    wave = tone(1000, 1.0, amplitude=0.5)
    wave[RATE // 2 :] = 2e-4 * hiss[: RATE // 2]  # 68 dB below
    write_sound(flat / "x.wav", wave, subtype="FLOAT")
    wave[RATE // 2 :] = 2e-3 * hiss[: RATE // 2]
    write_sound(flat / "y.wav", wave, subtype="FLOAT")
    data = prepare_folder(flat, duration=1.0, level="none")
    np.testing.assert_allclose(data.lengths[-2:], [0.5, 1.0], atol=2e-3)
    rep = data.representation
    end = round((0.5 + audio.FADE_SECONDS) * RATE / rep.hop_length + rep.n_fft / rep.hop_length / 2)
    assert (data.spectrograms[-2, 0, :, end:] == -1).all()


def test_levels_of_slices_are_their_own(tmp_path: Path) -> None:
    wave = tone(1000, 2.048)
    wave[:RATE] *= 0.1
    write_sound(tmp_path / "in" / "x.wav", wave, subtype="FLOAT")
    data = prepare_folder(tmp_path / "in", duration=0.25, slice=True)
    np.testing.assert_allclose(data.levels[[0, -1]], [-26.02, -6.02], atol=0.05)


def test_slices_are_faded_where_they_begin_and_end_but_not_at_the_ends_of_the_recording(tmp_path: Path) -> None:
    rep = preset(RATE, 0.25)
    wave = tone(1000, 8 * rep.duration)
    wave[: rep.hop_length // 2] = 0  # it begins hard, at the center of the first frame, and ends hard
    write_sound(tmp_path / "in" / "x.wav", wave, subtype="FLOAT")
    data = prepare_folder(tmp_path / "in", duration=0.25, slice=True, level="none")
    rep = data.representation
    hard = analyze(wave.reshape(8, rep.samples), rep)[:, 0]
    drop = (hard - data.spectrograms[:, 0])[:, rep.bands // 2 :].max(axis=1) / 2 * (rep.ceiling_db - rep.floor_db)
    assert np.all(drop[1:, 0] > 10) and np.all(drop[:-1, -1] > 10)  # dB, in the first and last frames at a cut
    assert drop[0, 0] == 0 and drop[-1, -1] == 0 and np.abs(drop[:, 2:-2]).max() == 0


def test_one_long_recording_is_enough_when_sliced(tmp_path: Path) -> None:
    write_sound(tmp_path / "in" / "rain.wav", np.random.default_rng(0).uniform(-0.5, 0.5, 10 * RATE))
    data = prepare_folder(tmp_path / "in", duration=0.5, slice=True)
    assert len(data) == round(10 / data.representation.duration)
    with pytest.raises(DataError, match="1 usable sound found"):
        prepare_folder(tmp_path / "in", duration=0.5)


@pytest.mark.parametrize("level", ["peak", "rms", "none"])
def test_level_setting_sets_the_level_of_spectrograms(tmp_path: Path, level: str) -> None:
    folder = tmp_path / "in"
    for k in range(9):
        write_sound(folder / f"{k}.wav", tone(300 + 100 * k, 0.5, amplitude=0.5 / 2**k), subtype="FLOAT")
    data = prepare_folder(folder, level=level)
    rep = data.representation
    peaks = rep.floor_db + (data.spectrograms[:, 0].max(axis=(1, 2)) + 1) / 2 * (rep.ceiling_db - rep.floor_db)
    # A sine of amplitude a is 20 log10 a dBFS in its band, and a little less between two bands.
    first, step = {"peak": (-1, 0.0), "rms": (-20 + 3, 0.0), "none": (-6, -6.02)}[level]
    expected = first + step * np.arange(9)
    assert np.all(peaks <= expected + 0.5) and np.all(peaks >= expected - 3.5)
    assert rep.ceiling_db - rep.floor_db == 70 and rep.ceiling_db - 1 <= peaks.max() <= rep.ceiling_db


def test_cached_dataset_decodes_nothing(labeled: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    steps: list[tuple[int, int]] = []
    first = prepare_folder(labeled, lambda *step: steps.append(step))
    assert steps[-1][0] == steps[-1][1] and all(done <= total for done, total in steps)
    shares = [done / total for done, total in steps]
    assert shares == sorted(shares)

    def refuse(*_args, **_kwargs):
        raise AssertionError("the cache must serve without opening a sound")

    monkeypatch.setattr(audio, "read", refuse)
    monkeypatch.setattr(CachingReader, "probe", refuse)
    second = prepare_folder(labeled, minutes=5)
    assert second.digest == first.digest and second.report == first.report
    assert second.representation == first.representation and second.label_names == first.label_names
    assert np.array_equal(second.spectrograms, first.spectrograms) and np.array_equal(second.labels, first.labels)
    shutil.copytree(labeled, tmp_path / "moved", copy_function=shutil.copy2)
    assert prepare_folder(tmp_path / "moved").digest == first.digest


@pytest.mark.parametrize(
    "change",
    [
        lambda folder: write_sound(folder / "3.wav", tone(3000)),
        lambda folder: (folder / "3.wav").unlink(),
        lambda folder: write_sound(folder / "new.wav", tone(3000)),
    ],
)
def test_changed_sounds_invalidate_the_cache(flat: Path, change: Callable[[Path], object]) -> None:
    before = prepare_folder(flat)
    change(flat)
    after = prepare_folder(flat)
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
def test_other_changes_keep_the_digest(flat: Path, tmp_path: Path, change: Callable[[Path], object]) -> None:
    before = prepare_folder(flat)
    change(flat)
    assert prepare_folder(flat).digest == before.digest
    assert len(list((tmp_path / "cache").iterdir())) == 2


@pytest.mark.parametrize(
    ("name", "value"),
    [("sample_rate", 16000), ("duration", 1.0), ("range_db", 40), ("level", "none"), ("scale", "mel"),
     ("window", "gaussian"), ("overlap", 8)],
)  # fmt: skip
def test_changed_settings_invalidate_the_cache(flat: Path, name: str, value: Any) -> None:
    before = prepare_folder(flat)
    after = prepare_folder(flat, **{name: value})
    assert after.digest != before.digest and after.representation != before.representation


def test_representation_of_a_model_is_kept_but_for_its_frames(flat: Path, tmp_path: Path) -> None:
    base = preset(22050, 2.0, bands=128, overlap=2)
    base = base.with_changes(floor_db=-63.0, ceiling_db=7.0, window="gaussian")
    data, spectrogram = DataSettings(), SpectrogramSettings()
    first = dataset.prepare(flat, data, spectrogram, tmp_path, base=base)
    assert first.representation == base.with_changes(frames=32), "0.3 s and the lead-in"
    longer = dataset.prepare(flat, data, SpectrogramSettings(duration=1.0), tmp_path, base=base)
    sized = dataset.prepare(flat, data, SpectrogramSettings(image_size=(128, 48)), tmp_path, base=base)
    assert longer.representation == base.with_changes(frames=96) and sized.representation.frames == 48
    other = dataset.prepare(flat, data, spectrogram, tmp_path, base=base.with_changes(ceiling_db=0.0))
    assert other.representation.ceiling_db == 0.0 and other.digest != first.digest, "not the cache entry of the first"


def test_writing_to_the_spectrograms_leaves_the_cache_alone(flat: Path) -> None:
    data = prepare_folder(flat)
    before = data.spectrograms.copy()
    data.spectrograms[:] = 0.25
    assert np.array_equal(prepare_folder(flat).spectrograms, before)


@pytest.mark.parametrize(
    "name", ["spectrograms.npy", "pitch.npy", "lengths_and_levels.npy", "labels.npy", "dataset.json"]
)
@pytest.mark.parametrize("damage", [Path.unlink, lambda path: os.truncate(path, 100)])
def test_damaged_cache_entry_is_replaced(flat: Path, name: str, damage: Callable[[Path], object]) -> None:
    spectrograms = prepare_folder(flat).spectrograms.copy()
    (entry,) = (flat.parent / "cache").iterdir()
    damage(entry / name)
    assert np.array_equal(prepare_folder(flat).spectrograms, spectrograms)
    assert list(entry.parent.iterdir()) == [entry]


def test_concurrent_preparations_share_one_cache_entry(flat: Path, tmp_path: Path) -> None:
    barrier = Barrier(4)

    def start(_: int) -> dataset.Dataset:
        barrier.wait()
        return prepare_folder(flat)

    with ThreadPoolExecutor(4) as pool:
        results = list(pool.map(start, range(4)))
    assert len(results) == 4 and all(np.array_equal(data.spectrograms, results[0].spectrograms) for data in results)
    assert len({data.digest for data in results}) == 1 and len(list((tmp_path / "cache").iterdir())) == 1


def test_interrupted_preparation_leaves_no_cache_entry(
    flat: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def stop(*_args: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(dataset, "normalize", stop)
    with pytest.raises(KeyboardInterrupt):
        prepare_folder(flat)
    assert list((tmp_path / "cache").iterdir()) == []
