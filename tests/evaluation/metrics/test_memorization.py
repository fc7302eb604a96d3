from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from sets import LABELS, RATE, fresh, near_duplicate_rate
from waves import hat, sine

from soundgan.errors import DataError
from soundgan.evaluation.metrics.memorization import memorized_fraction, nearest

Floats = NDArray[np.float32]


@pytest.fixture(scope="module")
def training() -> list[Floats]:
    return fresh(120, seed=0)[0]


def late(wave: Floats, samples: int) -> Floats:
    return np.concatenate([np.zeros(samples, np.float32), wave])


def faint_noise(wave: Floats) -> Floats:
    return wave + np.random.default_rng(0).normal(0, wave.std() / 100, len(wave)).astype(np.float32)


@pytest.mark.parametrize(
    ("disguise", "at_most"),
    [
        (lambda wave: wave, 0.002),
        (lambda wave: wave / np.float32(50), 0.002),
        (lambda wave: late(wave, 4 * 80), 0.02),
        (lambda wave: late(wave, 8 * 80), 0.02),
        (lambda wave: late(wave, 437), 0.1),
        (lambda wave: late(wave, 440), 0.02),
        (lambda wave: np.pad(wave, (0, 1000)), 0.02),
        (faint_noise, 0.1),
    ],
    ids=[
        "as it is",
        "34 dB softer",
        "40 ms later",
        "80 ms later",
        "54.6 ms later",
        "55 ms later",
        "longer",
        "noise at -40 dB",
    ],
)
def test_copies_are_found_in_disguise(
    training: list[Floats], disguise: Callable[[Floats], Floats], at_most: float
) -> None:
    some = [i for i in range(0, 120, 7) if i % 4 != LABELS.index("kick")]  # one kick is much like another
    # They fade out, so that a shift pushes nothing that can be heard over the end.
    original = [wave * np.linspace(1, 0, len(wave), dtype=np.float32) for wave in training]
    found = nearest([disguise(original[i]) for i in some], original, RATE)
    assert np.mean(found.index == some) > 0.9, "by chance another may be as near"
    assert found.distance.max() <= at_most


def test_new_sounds_are_nearest_to_their_kind_and_no_copies(training: list[Floats]) -> None:
    waves, labels = fresh(60, seed=1)
    found = nearest(waves, training, RATE)
    assert found.distance.min() > 0.01
    heard = [LABELS[i % len(LABELS)] for i in found.index]
    assert np.mean([a == b for a, b in zip(heard, labels, strict=True)]) > 0.9


@given(seed=st.integers(0, 99), shift=st.integers(-8, 8))
def test_distance_is_a_share_and_nearly_the_same_both_ways(seed: int, shift: int) -> None:
    a, b = hat(2400, RATE, seed=seed), sine(1600, RATE, 300 + 20 * seed)
    a = late(a, 80 * shift) if shift > 0 else a
    there, back = nearest([a], [b], RATE), nearest([b], [a], RATE)
    assert 0 < there.distance[0] <= 1
    assert there.distance[0] == pytest.approx(back.distance[0], abs=0.03)


def test_the_distance_is_that_of_the_pictures_at_the_best_shift() -> None:
    # A tone that sounds twice as long: half of the longer picture has no partner, so |a - b|² is about |b|² = |a|² / 2.
    short, long = sine(4000, RATE, 1000), sine(8000, RATE, 1000)
    found = nearest([short], [long], RATE)
    assert found.distance[0] == pytest.approx(np.sqrt(1 / 3), abs=0.03)
    # Pitches so far apart that no band hears both: nothing is shared but their starts.
    assert nearest([short], [sine(4000, RATE, 3000)], RATE).distance[0] > 0.8


def test_silence_is_a_copy_of_silence_only() -> None:
    silence, tone = np.zeros(800, np.float32), sine(1600, RATE)
    found = nearest([silence, tone], [tone, silence], RATE)
    np.testing.assert_array_equal(found.index, [1, 0])
    np.testing.assert_allclose(found.distance, 0, atol=2e-3)
    assert nearest([silence], [tone], RATE).distance[0] == pytest.approx(1)


def test_a_wave_shorter_than_all_shifts() -> None:
    click = np.array([1.0], np.float32)
    assert nearest([click], [click], RATE).distance[0] < 2e-3


def test_memorised_share_of_copies_and_of_fresh_sounds(training: list[Floats]) -> None:
    test = nearest(fresh(100, seed=1)[0], training, RATE).distance
    new = nearest(fresh(100, seed=2)[0], training, RATE).distance
    exact = nearest(near_duplicate_rate(training, 16), training, RATE).distance
    assert memorized_fraction(test, test) == pytest.approx(0.05)
    assert memorized_fraction(new, test) < 0.15
    assert memorized_fraction(exact, test) == 1
    half = np.concatenate([exact, new[:16]])
    assert 0.5 <= memorized_fraction(half, test) < 0.65


@given(
    values=st.lists(st.floats(0, 1), min_size=1, max_size=50), quantile=st.sampled_from([0.01, 0.05, 0.5])
)  # fmt: skip
def test_memorised_share_falls_with_distance(values: list[float], quantile: float) -> None:
    made, test = np.array(values), np.linspace(0, 1, 101)
    share = memorized_fraction(made, test, quantile)
    assert share == pytest.approx(np.mean(made <= quantile), abs=1e-9)
    assert memorized_fraction(made + 0.1, test, quantile) <= share


def test_nothing_to_compare_is_refused() -> None:
    for made, training in (([], [sine(80, RATE)]), ([sine(80, RATE)], [])):
        with pytest.raises(DataError, match="at least one"):
            nearest(made, training, RATE)
    with pytest.raises(DataError, match="distances"):
        memorized_fraction(np.zeros(0), np.zeros(3))
