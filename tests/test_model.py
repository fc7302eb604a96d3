"""Generation: reproducible by seed and label, within range, and with clear errors for invalid arguments."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
from hypothesis import given
from hypothesis import settings as examples
from hypothesis import strategies as st

from soundgan import audio
from soundgan.data.dataset import Dataset
from soundgan.errors import ModelError
from soundgan.model import SEEDS, Sound, SoundGAN
from soundgan.sound import limit_and_fade
from soundgan.spectral.noise_texture import NoiseTexture
from soundgan.spectral.representation import synthesize

LABELS = ("kick", "noise", "tone")


@pytest.fixture(scope="session")
def flat_model(flat_model_folder: Path) -> SoundGAN:
    return SoundGAN.load(flat_model_folder)


@pytest.fixture(scope="session")
def smooth_model(model_folder: Path) -> SoundGAN:
    """Return the model without noise texture on its spectrograms."""
    model = SoundGAN.load(model_folder)
    model._noise_texture = NoiseTexture(model.representation)
    model._noise_texture.levels[:] = 0
    return model


def assert_same(first: Sound, second: Sound) -> None:
    for name in ("seed", "label", "sample_rate", "tags"):
        assert getattr(first, name) == getattr(second, name)
    np.testing.assert_array_equal(first.samples, second.samples)
    np.testing.assert_array_equal(first.spectrogram, second.spectrogram)


# The same sound for the same seed


@given(
    seed=st.integers(0, SEEDS - 1),
    n=st.integers(1, 6),
    label=st.sampled_from([None, *LABELS]),
    truncation=st.sampled_from([0.0, 0.7, 1.0]),
)
@examples(max_examples=15)
def test_sound_i_of_a_batch_has_seed_plus_i(
    model: SoundGAN, seed: int, n: int, label: str | None, truncation: float
) -> None:
    together = model.generate(n, label=label, seed=seed, truncation=truncation)
    assert [sound.seed for sound in together] == [(seed + i) % 2**32 for i in range(n)]
    for sound in reversed(together):
        assert_same(model.generate(label=label, seed=sound.seed, truncation=truncation)[0], sound)


def test_seeds_wrap_after_the_largest(model: SoundGAN) -> None:
    sounds = model.generate(3, seed=2**32 - 2)
    assert [sound.seed for sound in sounds] == [2**32 - 2, 2**32 - 1, 0]
    assert_same(sounds[2], model.generate(seed=0)[0])


def test_reloaded_model_generates_the_same_sounds(model: SoundGAN, model_folder: Path) -> None:
    for first, second in zip(model.generate(3, seed=5), SoundGAN.load(model_folder).generate(3, seed=5), strict=True):
        assert_same(first, second)


@pytest.mark.parametrize("kind", [np.int32, np.int64, np.uint32])
def test_numpy_seeds_equal_python_seeds(model: SoundGAN, kind: Callable[[int], Any]) -> None:
    for first, second in zip(model.generate(2, seed=kind(7)), model.generate(2, seed=7), strict=True):
        assert_same(first, second)


def test_largest_numpy_seed_wraps(model: SoundGAN) -> None:
    sounds = model.generate(2, seed=np.uint32(SEEDS - 1))  # type: ignore[arg-type]
    assert [sound.seed for sound in sounds] == [SEEDS - 1, 0]


def test_seeds_differ_and_default_to_new_ones(model: SoundGAN) -> None:
    sounds = [model.generate(label="tone")[0] for _ in range(4)] + model.generate(4, label="tone", seed=1)
    assert len({sound.spectrogram.tobytes() for sound in sounds}) == len({sound.seed for sound in sounds}) == 8
    repeated = model.generate(label="tone", seed=sounds[0].seed)[0]
    assert_same(repeated, sounds[0])


def test_seed_determines_the_label_when_none_is_given(model: SoundGAN) -> None:
    sounds = model.generate(60, seed=100)
    assert {sound.label for sound in sounds} == set(LABELS)
    # Naming the label that a seed chose changes nothing.
    for sound in sounds[:6]:
        assert_same(model.generate(label=sound.label, seed=sound.seed)[0], sound)


def test_labels_give_different_spectrograms(model: SoundGAN) -> None:
    spectrograms = [model.generate(label=label, seed=4)[0].spectrogram for label in LABELS]
    assert len({spectrogram.tobytes() for spectrogram in spectrograms}) == len(LABELS)
    for index, spectrogram in enumerate(spectrograms):
        np.testing.assert_array_equal(model.spectrogram(4, index), spectrogram)


def test_unlabeled_model_generates_without_label_and_refuses_labels(flat_model: SoundGAN) -> None:
    assert flat_model.labels == ()
    sounds = flat_model.generate(2, seed=3)
    assert [sound.label for sound in sounds] == [None, None]
    assert "label" not in sounds[0].tags["comment"]
    assert sounds[0].spectrogram.ndim == 2  # of its three channels, the first is the sound
    for quality in ("perfect", ["fast"]):
        with pytest.raises(ModelError, match=r"quality = .*: must be one of fast, balanced, best"):
            flat_model.generate(quality=quality)  # type: ignore[arg-type]
    with pytest.raises(ModelError, match=r"label = 'kick'.*it has no labels"):
        flat_model.generate(label="kick")


def test_sounds_are_compared_by_identity(flat_model: SoundGAN) -> None:
    first, second = flat_model.generate(seed=3)[0], flat_model.generate(seed=3)[0]
    assert first == first and first != second and len({first, second}) == 2


# Truncation


@pytest.mark.parametrize("label", LABELS)
def test_truncation_0_gives_one_spectrogram_per_label_except_noise_texture(
    model: SoundGAN, smooth_model: SoundGAN, label: str
) -> None:
    index = model.labels.index(label)
    typical = {smooth_model.spectrogram(seed, index, 0.0).tobytes() for seed in range(6)}
    assert len(typical) == 1
    assert typical != {smooth_model.spectrogram(0, (index + 1) % 3, 0.0).tobytes()}
    # Every seed has a noise texture of its own.
    assert len({model.spectrogram(seed, index, 0.0).tobytes() for seed in range(6)}) == 6


def test_truncation_increases_variety(smooth_model: SoundGAN) -> None:
    def variety(truncation: float) -> float:
        return float(np.std([smooth_model.spectrogram(seed, 0, truncation) for seed in range(24)], axis=0).mean())

    varieties = [variety(truncation) for truncation in (0.0, 0.25, 0.5, 1.0, 1.5)]
    assert varieties[0] == pytest.approx(0, abs=1e-6)
    assert all(less < more for less, more in pairwise(varieties))


def test_noise_offset_is_unique_to_a_seed(model: SoundGAN) -> None:
    offsets = [inputs.noise_offset for inputs in model._draw_inputs(range(20))]
    assert len(set(offsets)) == 20
    assert [inputs.noise_offset for inputs in model._draw_inputs([3, 7])] == [offsets[3], offsets[7]]


def test_truncation_1_is_the_default(model: SoundGAN) -> None:
    assert_same(model.generate(seed=3, truncation=1.0)[0], model.generate(seed=3)[0])


# Sounds


@pytest.mark.parametrize("fixture", ["model", "flat_model"])
def test_sounds_stay_within_full_scale_and_keep_their_length_on_request(
    fixture: str, request: pytest.FixtureRequest
) -> None:
    model: SoundGAN = request.getfixturevalue(fixture)
    rep = model.representation
    for truncation in (0.5, 1.0, 2.0):
        for sound in model.generate(4, seed=9, truncation=truncation, keep_length=True):
            assert sound.samples.dtype == sound.spectrogram.dtype == np.float32
            assert sound.samples.shape == (rep.samples,)
            assert sound.spectrogram.shape == rep.shape
            assert np.isfinite(sound.samples).all()
            assert np.abs(sound.samples).max() <= 1
            assert np.abs(sound.spectrogram).max() <= 1
            assert sound.duration == pytest.approx(rep.duration) == pytest.approx(len(sound.samples) / 8000)


def test_too_loud_sound_is_attenuated_without_clipping(flat_model: SoundGAN) -> None:
    louder = flat_model.representation.with_changes(ceiling_db=120.0)
    config = flat_model.config.model_copy(update={"representation": louder})
    loud = SoundGAN(config, flat_model._mapping, flat_model._generator)
    sound, quiet = loud.generate(seed=1)[0], flat_model.generate(seed=1)[0]
    assert np.abs(sound.samples).max() == 1
    assert np.count_nonzero(np.abs(sound.samples) == 1) <= 2  # no flat tops
    assert_same(quiet, flat_model.generate(seed=1)[0])


@given(seed=st.integers(0, 1000), label=st.sampled_from(LABELS))
@examples(max_examples=10)
def test_sounds_end_and_peak_where_the_generator_says(model: SoundGAN, seed: int, label: str) -> None:
    rep = model.representation
    sound, kept = (model.generate(label=label, seed=seed, keep_length=keep)[0] for keep in (False, True))
    outputs = model._run_generator(model._draw_inputs([seed])[0], LABELS.index(label), 1.0)
    assert outputs.length is not None and outputs.level is not None
    assert len(sound.samples) == rep.fade_in_samples + round(outputs.length * rep.sample_rate)
    assert len(kept.samples) == rep.samples
    np.testing.assert_array_equal(kept.samples[: len(sound.samples)], sound.samples)
    assert not kept.samples[len(sound.samples) :].any()
    if sound.samples.any():
        assert audio.peak_db(sound.samples) == pytest.approx(min(outputs.level, 0), abs=1e-3)


def test_lengths_and_levels_are_those_of_the_recordings(model: SoundGAN, tiny_dataset: Dataset) -> None:
    for index, label in enumerate(LABELS):
        rows = tiny_dataset.labels == index
        sounds = model.generate(60, label=label, seed=0)
        durations, levels = [s.duration for s in sounds], [audio.peak_db(s.samples) for s in sounds if s.samples.any()]
        lengths = tiny_dataset.lengths[rows]
        assert lengths.min() - 1e-3 <= np.median(durations) <= lengths.max() + 1e-3
        real = tiny_dataset.levels[rows]
        assert real.min() - 0.1 <= np.median(levels) <= real.max() + 0.1


@pytest.mark.parametrize("fixture", ["model", "flat_model"])
def test_level_is_that_of_the_request(fixture: str, request: pytest.FixtureRequest) -> None:
    model: SoundGAN = request.getfixturevalue(fixture)
    for peak, loud in zip(*(model.generate(4, seed=2, level=level) for level in ("peak", "loudness")), strict=True):
        assert audio.peak_db(peak.samples) == pytest.approx(-1, abs=1e-3)
        loudness, true_peak = (measure(loud.samples, 8000) for measure in (audio.loudness_lufs, audio.true_peak_db))
        assert loudness == pytest.approx(-23, abs=0.01) or (loudness < -23 and true_peak == pytest.approx(-1, abs=0.01))
        assert len(peak.samples) == len(loud.samples) and "level=loudness" in loud.tags["comment"]


def test_model_without_lengths_and_levels_keeps_the_level_of_its_spectrograms_and_ends_in_silence(
    flat_model: SoundGAN,
) -> None:
    for sound, kept in zip(*(flat_model.generate(4, seed=2, keep_length=keep) for keep in (False, True)), strict=True):
        wave = synthesize(sound.spectrogram, flat_model.representation)[0]
        np.testing.assert_array_equal(kept.samples, limit_and_fade(wave, 8000))
        unfaded = len(sound.samples) - 40
        np.testing.assert_array_equal(sound.samples[:unfaded], kept.samples[:unfaded])
        if len(sound.samples) < len(kept.samples):
            assert np.abs(kept.samples[unfaded:]).max() <= 1.001e-3 * np.abs(sound.samples).max()


@pytest.mark.parametrize("suffix", [".wav", ".flac"])
def test_saved_sound_is_read_back_with_its_tags(model: SoundGAN, tmp_path: Path, suffix: str) -> None:
    sound = model.generate(label="noise", seed=11, truncation=0.5)[0]
    path = sound.save(tmp_path / f"sound{suffix}", subtype="PCM_24")
    wave, rate = audio.read(path)
    assert rate == sound.sample_rate
    np.testing.assert_allclose(wave, sound.samples, atol=2**-22)
    with soundfile.SoundFile(path) as file:
        assert "SoundGAN" in file.software
        for tag in ("generated", "model=tiny", "label=noise", "seed=11", "truncation=0.5"):
            assert tag in file.comment
        assert "CC0-1.0" in file.copyright


def test_picture_has_a_pixel_per_cell(model: SoundGAN) -> None:
    rep = model.representation
    sound = model.generate(seed=1)[0]
    assert sound.picture().size == (rep.frames, rep.bands)
    assert sound.picture(zoom=3).size == (3 * rep.frames, 3 * rep.bands)


# Invalid arguments


@pytest.mark.parametrize(
    ("method", "arguments", "message"),
    [
        ("generate", {"label": "snare"}, r"label = 'snare': .*tiny; it has kick, noise, tone"),
        ("generate", {"label": ""}, r"label = '': .*it has kick, noise, tone"),
        ("generate", {"label": "a\nb"}, r"label = 'a\\nb': "),
        ("generate", {"label": 3}, r"label = 3: .*it has kick, noise, tone"),
        ("generate", {"n": 0}, r"n = 0: must be an integer from 1 to "),
        ("generate", {"n": -3}, r"n = -3: must be an integer from 1 to "),
        ("generate", {"n": 2.5}, r"n = 2\.5: must be an integer from 1 to "),
        ("generate", {"seed": -1}, r"seed = -1: must be an integer from 0 to 4294967295"),
        ("generate", {"seed": 2**32}, r"seed = 4294967296: must be an integer from 0 to 4294967295"),
        ("generate", {"seed": 7.5}, r"seed = 7\.5: must be an integer from 0 to 4294967295"),
        ("generate", {"seed": "7"}, r"seed = '7': must be an integer"),
        ("generate", {"level": "loud"}, r"level = 'loud': must be one of recorded, peak, loudness"),
        ("generate", {"level": ["peak"]}, r"level = \['peak'\]: must be one of"),
        ("generate", {"truncation": -0.1}, r"truncation = -0\.1: must be from 0 to 2"),
        ("generate", {"truncation": 2.5}, r"truncation = 2\.5: must be from 0 to 2"),
        ("generate", {"truncation": "x"}, r"truncation = 'x': must be from 0 to 2"),
        ("generate", {"truncation": float("nan")}, r"truncation = nan: must be from 0 to 2"),
        ("spectrogram", {"seed": -1}, r"seed = -1: must be an integer from 0 to 4294967295"),
        ("spectrogram", {"seed": 2**32}, r"seed = 4294967296: must be"),
        ("spectrogram", {"label_index": 3}, r"label_index = 3: must be an integer from 0 to 2"),
        ("spectrogram", {"label_index": -1}, r"label_index = -1: must be"),  # the graph would count from the end
        ("spectrogram", {"label_index": 1.0}, r"label_index = 1\.0: must be"),
        ("spectrogram", {"truncation": 3.0}, r"truncation = 3\.0: must be from 0 to 2"),
    ],
)
def test_invalid_arguments_are_refused_with_their_range(
    model: SoundGAN, method: str, arguments: dict[str, Any], message: str
) -> None:
    with pytest.raises(ModelError, match=message):
        getattr(model, method)(**{"seed": 1, **arguments})


def test_unlabeled_model_accepts_only_label_index_0(flat_model: SoundGAN) -> None:
    assert flat_model.spectrogram(1, 0).shape == flat_model.representation.shape
    with pytest.raises(ModelError, match=r"label_index = 1: must be an integer from 0 to 0"):
        flat_model.spectrogram(1, 1)


@pytest.mark.parametrize("kind", [int, np.int64])
def test_numeric_label_is_accepted_as_integer(model: SoundGAN, kind: Callable[[int], Any]) -> None:
    config = model.config.model_copy(update={"labels": ("1", "2", "3")})
    numbered = SoundGAN(config, model._mapping, model._generator)
    assert numbered.generate(label=kind(3), seed=1)[0].label == "3"
    assert_same(numbered.generate(label=kind(3), seed=1)[0], numbered.generate(label="3", seed=1)[0])


def test_onnx_runtime_leaves_no_telemetry_file(tmp_path: Path) -> None:
    """By default, ONNX Runtime stores a machine identifier for telemetry in the home folder."""
    code = "from soundgan import SoundGAN; SoundGAN.load('digits').generate(1)"
    homes = {name: str(tmp_path) for name in ("HOME", "XDG_CACHE_HOME", "XDG_DATA_HOME")}
    variables = {name: value for name, value in os.environ.items() if name != "ORT_DISABLE_TELEMETRY"} | homes
    completed = subprocess.run([sys.executable, "-c", code], env=variables, capture_output=True, text=True)
    assert (completed.returncode, completed.stderr, list(tmp_path.iterdir())) == (0, "", [])


# Without PyTorch


SCRIPT = """
import hashlib, sys
import soundgan
sound = soundgan.SoundGAN.load(sys.argv[1]).generate(2, seed=1)[1]
sound.save(sys.argv[2])
heavy = {"torch", "onnx", "safetensors", "tensorboard", "soundgan.training"} & set(sys.modules)
assert not heavy, heavy
print(hashlib.sha256(sound.samples.tobytes()).hexdigest())
"""


def test_new_process_generates_the_same_sound_without_pytorch(
    model: SoundGAN, model_folder: Path, tmp_path: Path
) -> None:
    completed = subprocess.run(
        [sys.executable, "-c", SCRIPT, model_folder, tmp_path / "sound.wav"], check=True, capture_output=True, text=True
    )
    assert completed.stdout.strip() == hashlib.sha256(model.generate(seed=2)[0].samples.tobytes()).hexdigest()
    assert completed.stderr == ""
    assert (tmp_path / "sound.wav").is_file()
