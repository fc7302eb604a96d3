from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from sets import LABELS, RATE, copies, fresh
from waves import hat, sine

from soundgan.errors import DataError
from soundgan.evaluation.metrics.memorization import memorized_fraction, nearest_training_sounds

Floats = NDArray[np.float32]


@pytest.fixture(scope="module")
def training() -> list[Floats]:
    return fresh(120, seed=0)[0]


def delayed(wave: Floats, samples: int) -> Floats:
    return np.concatenate([np.zeros(samples, np.float32), wave])


def faint_noise(wave: Floats) -> Floats:
    return wave + np.random.default_rng(0).normal(0, wave.std() / 100, len(wave)).astype(np.float32)


@pytest.mark.parametrize(
    ("change", "max_distance"),
    [
        (lambda wave: wave, 0.002),
        (lambda wave: wave / np.float32(50), 0.002),
        (lambda wave: delayed(wave, 4 * 80), 0.02),
        (lambda wave: delayed(wave, 8 * 80), 0.02),
        (lambda wave: delayed(wave, 437), 0.1),
        (lambda wave: delayed(wave, 440), 0.02),
        (lambda wave: np.pad(wave, (0, 1000)), 0.02),
        (faint_noise, 0.1),
    ],
    ids=[
        "unchanged",
        "34 dB softer",
        "40 ms later",
        "80 ms later",
        "54.6 ms later",
        "55 ms later",
        "longer",
        "noise at -40 dB",
    ],
)
def test_nearest_finds_copies_despite_gain_shift_padding_and_noise(
    training: list[Floats], change: Callable[[Floats], Floats], max_distance: float
) -> None:
    indices = [i for i in range(0, 120, 7) if i % 4 != LABELS.index("kick")]  # all kicks are similar
    # They fade out, so that a shift moves nothing audible beyond the end.
    original = [wave * np.linspace(1, 0, len(wave), dtype=np.float32) for wave in training]
    result = nearest_training_sounds([change(original[i]) for i in indices], original, RATE)
    assert np.mean(result.index == indices) > 0.9, "by chance another may be as near"
    assert result.distance.max() <= max_distance


def test_new_sounds_are_nearest_to_sounds_of_their_label_and_no_copies(training: list[Floats]) -> None:
    waves, labels = fresh(60, seed=1)
    result = nearest_training_sounds(waves, training, RATE)
    assert result.distance.min() > 0.01
    nearest_labels = [LABELS[i % len(LABELS)] for i in result.index]
    assert np.mean([a == b for a, b in zip(nearest_labels, labels, strict=True)]) > 0.9


@given(seed=st.integers(0, 99), shift=st.integers(-8, 8))
def test_distance_is_between_0_and_1_and_nearly_symmetric(seed: int, shift: int) -> None:
    a, b = hat(2400, RATE, seed=seed), sine(1600, RATE, 300 + 20 * seed)
    a = delayed(a, 80 * shift) if shift > 0 else a
    forward, backward = nearest_training_sounds([a], [b], RATE), nearest_training_sounds([b], [a], RATE)
    assert 0 < forward.distance[0] <= 1
    assert forward.distance[0] == pytest.approx(backward.distance[0], abs=0.03)


def test_distance_is_that_of_the_spectrograms_at_the_best_shift() -> None:
    # A tone twice as long: half of its spectrogram is unmatched, so |a - b|² is about |b|² = |a|² / 2.
    short, long = sine(4000, RATE, 1000), sine(8000, RATE, 1000)
    result = nearest_training_sounds([short], [long], RATE)
    assert result.distance[0] == pytest.approx(np.sqrt(1 / 3), abs=0.03)
    # Pitches in different bands: only their onsets overlap.
    assert nearest_training_sounds([short], [sine(4000, RATE, 3000)], RATE).distance[0] > 0.8


def test_silence_is_a_copy_of_silence_only() -> None:
    silence, tone = np.zeros(800, np.float32), sine(1600, RATE)
    result = nearest_training_sounds([silence, tone], [tone, silence], RATE)
    np.testing.assert_array_equal(result.index, [1, 0])
    np.testing.assert_allclose(result.distance, 0, atol=2e-3)
    assert nearest_training_sounds([silence], [tone], RATE).distance[0] == pytest.approx(1)


def test_nearest_accepts_waves_shorter_than_all_shifts() -> None:
    click = np.array([1.0], np.float32)
    assert nearest_training_sounds([click], [click], RATE).distance[0] < 2e-3


def test_memorized_fraction_of_copies_and_of_fresh_sounds(training: list[Floats]) -> None:
    held_out = nearest_training_sounds(fresh(100, seed=1)[0], training, RATE).distance
    new = nearest_training_sounds(fresh(100, seed=2)[0], training, RATE).distance
    exact = nearest_training_sounds(copies(training, 16), training, RATE).distance
    assert memorized_fraction(held_out, held_out) == pytest.approx(0.05)
    assert memorized_fraction(new, held_out) < 0.15
    assert memorized_fraction(exact, held_out) == 1
    half = np.concatenate([exact, new[:16]])
    assert 0.5 <= memorized_fraction(half, held_out) < 0.65


@given(
    values=st.lists(st.floats(0, 1), min_size=1, max_size=50), quantile=st.sampled_from([0.01, 0.05, 0.5])
)  # fmt: skip
def test_memorized_fraction_falls_with_distance(values: list[float], quantile: float) -> None:
    generated, held_out = np.array(values), np.linspace(0, 1, 101)
    share = memorized_fraction(generated, held_out, quantile)
    assert share == pytest.approx(np.mean(generated <= quantile), abs=1e-9)
    assert memorized_fraction(generated + 0.1, held_out, quantile) <= share


def test_memorization_refuses_empty_sets() -> None:
    for generated, training in (([], [sine(80, RATE)]), ([sine(80, RATE)], [])):
        with pytest.raises(DataError, match="at least one"):
            nearest_training_sounds(generated, training, RATE)
    with pytest.raises(DataError, match="distances"):
        memorized_fraction(np.zeros(0), np.zeros(3))
