"""Reading, splitting and sampling of the sounds of an evaluation."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import soundfile
from hypothesis import given
from hypothesis import strategies as st
from toy_sounds import RATE, SECONDS, fill, tone

from soundgan import audio
from soundgan.errors import DataError
from soundgan.evaluation.options import EvaluationOptions
from soundgan.evaluation.sounds import (
    RealSplit,
    as_file,
    read_generated_sounds,
    read_real_sounds,
    stratified_indices,
)

OPTIONS = EvaluationOptions()


@given(st.lists(st.sampled_from("abc"), min_size=1, max_size=40), st.integers(1, 90), st.integers(0, 9))
def test_stratified_indices_keep_label_proportions_and_repeat_none_before_all_are_taken(
    labels: list[str], n: int, seed: int
) -> None:
    indices = stratified_indices(labels, n, seed)
    assert len(indices) == n
    times = Counter(indices.tolist())
    assert max(times.values()) - min((times[i] for i in range(len(labels))), default=0) <= 1
    for label, count in Counter(labels).items():
        assert abs(sum(labels[i] == label for i in indices) - count * n / len(labels)) < 1 + 1e-9
    np.testing.assert_array_equal(indices, stratified_indices(labels, n, seed))


@given(st.floats(-60, 20), st.integers(0, 99))
def test_as_file_maps_any_gain_to_the_same_16_bit_sound(gain_db: float, seed: int) -> None:
    wave = tone(np.random.default_rng(seed)).astype(np.float32)
    sound = as_file(wave * np.float32(10 ** (gain_db / 20)))
    assert audio.peak_db(sound) == pytest.approx(-1, abs=1e-3)
    np.testing.assert_array_equal(sound * 2**15, np.rint(sound * 2**15))
    np.testing.assert_allclose(sound, as_file(wave), atol=1.01 / 2**15)


def test_real_sounds_are_split_by_name_without_silence_damage_and_duplicates(tmp_path: Path) -> None:
    folder = fill(tmp_path, n=8, seed=0)
    soundfile.write(folder / "3" / "silent.flac", np.zeros(RATE), RATE)
    soundfile.write(folder / "3" / "click.flac", np.ones(RATE // 60), RATE)
    (folder / "3" / "broken.flac").write_bytes(b"no sound")
    (folder / "7" / "7_00.flac").write_bytes(
        (folder / "7" / "7_06.flac").read_bytes()
    )  # a training sound: not held out
    real = read_real_sounds(folder, 4000, 0.2, OPTIONS, excluded=["*_0[01].flac", "7/*_02.flac"])
    assert real.held_out_is_unseen
    assert sorted(real.held_out.names) == ["3/3_00.flac", "3/3_01.flac", "7/7_01.flac", "7/7_02.flac"]
    assert Counter(real.train.labels) == {"3": 6, "7": 5}
    assert {(item.path.name, item.reason) for item in real.skipped} == {
        ("silent.flac", "silent"), ("broken.flac", "unreadable"), ("7_00.flac", "duplicate"),
        ("click.flac", "too short"),
    }  # fmt: skip
    assert [path.name for path, _ in real.train_files] == [name[2:] for name in real.train.names]
    for wave in (*real.train.waves, *real.held_out.waves):
        assert len(wave) == 800 and audio.peak_db(wave) == pytest.approx(-1, abs=1e-3)


def test_random_halves_are_stratified_and_both_count_as_seen(real_folder: Path) -> None:
    real = read_real_sounds(real_folder, RATE, SECONDS, EvaluationOptions(seed=1), excluded=["never"])
    assert not real.held_out_is_unseen
    assert Counter(real.train.labels) == Counter(real.held_out.labels) == {"3": 10, "7": 10}
    assert not set(real.train.names) & set(real.held_out.names)
    assert len(real.possible_training_sounds) == 40
    other = read_real_sounds(real_folder, RATE, SECONDS, EvaluationOptions(seed=2))
    assert set(other.held_out.names) != set(real.held_out.names)


def test_held_out_sounds_are_unseen_only_if_all_were_excluded_from_training(real_folder: Path) -> None:
    def split(excluded: str) -> RealSplit:
        options = EvaluationOptions(test_pattern="*_0[0-4].flac")
        return read_real_sounds(real_folder, RATE, SECONDS, options, excluded=[excluded])

    assert split("*_0?.flac").held_out_is_unseen
    real = split("*_0[0-3].flac")
    assert not real.held_out_is_unseen and len(real.possible_training_sounds) == 40
    # As in trainings, patterns are matched with the path below the folder, not with the file name alone.
    assert not split("3_*").held_out_is_unseen


def test_explicit_test_pattern_without_a_match_is_refused(real_folder: Path) -> None:
    with pytest.raises(DataError, match=r"no sound in it matches the test pattern \*_9\*"):
        read_real_sounds(real_folder, RATE, SECONDS, EvaluationOptions(test_pattern="*_9*"))


def test_long_recordings_are_sliced_and_flat_folders_have_no_labels(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    for take in range(4):
        soundfile.write(tmp_path / f"{take}.wav", rng.uniform(-0.5, 0.5, round(2.6 * RATE)), RATE)
    real = read_real_sounds(tmp_path, RATE, 1.0, OPTIONS, slices=True)
    assert len(real.train) == len(real.held_out) == 6  # two files of two seconds and more than a half each
    assert [len(wave) for wave in real.held_out.waves] == [RATE, RATE, round(0.6 * RATE)] * 2
    assert not real.held_out.labels
    files = {name.split()[0] for name in real.held_out.names}
    assert not any(name.split()[0] in files for name in real.train.names)


def test_missing_and_too_small_folders_are_refused(real_folder: Path, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="nowhere"):
        read_real_sounds(tmp_path / "nowhere", RATE, SECONDS, OPTIONS)
    with pytest.raises(DataError, match="at least 8"):
        read_real_sounds(fill(tmp_path / "few", n=3, seed=0), RATE, SECONDS, OPTIONS)
    soundfile.write(tmp_path / "one.wav", tone(np.random.default_rng(0)), RATE)
    (tmp_path / "few").rename(tmp_path / ".hidden")
    with pytest.raises(DataError, match="1 usable sound, at least 8"):
        read_real_sounds(tmp_path, RATE, SECONDS, OPTIONS)
    with pytest.raises(DataError, match=r"\*\.flac leaves 0 sounds for the training"):
        read_real_sounds(real_folder, RATE, SECONDS, EvaluationOptions(test_pattern="*.flac"))
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError, match="no sound files"):
        read_generated_sounds(tmp_path / "empty", RATE, SECONDS, [])


def test_label_of_a_generated_sound_is_its_folder_or_the_longest_prefix_of_its_name(tmp_path: Path) -> None:
    for name in ("dog_0.wav", "dog_bark_1.wav", "dog.wav", "dog_bark/any name.wav"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        soundfile.write(tmp_path / name, tone(np.random.default_rng(0)), RATE)
    generated = read_generated_sounds(tmp_path, RATE, SECONDS, ["dog", "dog_bark"])
    assert dict(zip(generated.names, generated.labels, strict=True)) == {
        "dog.wav": "dog", "dog_0.wav": "dog", "dog_bark/any name.wav": "dog_bark", "dog_bark_1.wav": "dog_bark",
    }  # fmt: skip
    with pytest.raises(DataError, match=r"dog\.wav: neither"):
        read_generated_sounds(tmp_path, RATE, SECONDS, ["cat"])


def test_generated_sounds_of_any_format_are_read_except_hidden_files(tmp_path: Path) -> None:
    names = {"dog_0.wav": "WAV", "dog_1.FLAC": "FLAC", "dog_2.mp3": "MP3", "dog_3.aiff": "AIFF", "dog_4.oga": "OGG"}
    for name, kind in names.items():
        soundfile.write(tmp_path / name, tone(np.random.default_rng(0)), RATE, format=kind)
    for name in ("._dog_5.wav", ".cache/dog_6.wav", "dog_7.txt"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(b"no sound")
    generated = read_generated_sounds(tmp_path, RATE, SECONDS, ["dog"])
    assert generated.names == [*names] and len(generated.waves) == 5
