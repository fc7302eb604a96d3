from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sets import DEGRADED, LABELS, RATE, fresh, sound
from waves import hat, sine

from soundgan.evaluation.features.kernel_classifier import KernelClassifier
from soundgan.evaluation.features.linear_cepstra import LinearCepstra
from soundgan.evaluation.features.logmel import Floats
from soundgan.evaluation.metrics.set_metrics import kernel_distance


@pytest.fixture(scope="module")
def cepstra() -> LinearCepstra:
    return LinearCepstra(fresh(80, seed=0)[0], RATE)


def test_features_are_in_units_of_the_reference(cepstra: LinearCepstra) -> None:
    np.testing.assert_allclose(cepstra.reference.mean(axis=0), 0, atol=1e-9)
    assert np.median(cepstra.reference.std(axis=0)) == pytest.approx(1, abs=0.05)
    assert cepstra.reference.std(axis=0).max() <= 1
    np.testing.assert_allclose(cepstra.embed(fresh(80, seed=0)[0]), cepstra.reference)


@given(gain_db=st.floats(-30, 20), seed=st.integers(0, 99), label=st.sampled_from(LABELS))
def test_points_are_independent_of_loudness_and_of_silence_around(
    cepstra: LinearCepstra, gain_db: float, seed: int, label: str
) -> None:
    wave = sound(label, np.random.default_rng(seed))
    padded = np.pad(wave, (20 * 6 * RATE // 1000, 777))  # by whole hops before the sound
    point, louder, later = cepstra.embed([wave, wave * np.float32(10 ** (gain_db / 20)), padded])
    np.testing.assert_allclose(louder, point, atol=0.02)
    np.testing.assert_allclose(later, point, atol=1e-3)


def test_labels_are_recognized_and_degraded_sounds_have_a_distance(cepstra: LinearCepstra) -> None:
    classifier = KernelClassifier(cepstra.reference, fresh(80, seed=0)[1])
    waves, labels = fresh(80, seed=1)
    predicted = [classifier.labels[i] for i in classifier.predict(cepstra.embed(waves)).argmax(axis=1)]
    assert np.mean([a == b for a, b in zip(predicted, labels, strict=True)]) > 0.95
    same = kernel_distance(cepstra.reference, cepstra.embed(waves))
    for degrade in DEGRADED.values():
        assert kernel_distance(cepstra.reference, cepstra.embed(degrade(waves))) > 5 * abs(same)


def test_partials_between_high_frequencies_are_resolved_as_finely_as_between_low_ones() -> None:
    """Bands are linear: mel bands of 4 kHz and above would be wider than a difference of 300 Hz."""
    reference = [sine(4000, 16_000, hertz) for hertz in np.linspace(300, 7700, 40)]
    space = LinearCepstra(reference, 16_000)
    low, low_next, high, high_next = space.embed([sine(4000, 16_000, hertz) for hertz in (700, 1000, 6700, 7000)])
    assert np.linalg.norm(high - high_next) > 0.7 * np.linalg.norm(low - low_next)


@pytest.mark.parametrize("rate", [1000, 8000, 44100])
@pytest.mark.parametrize("wave", [np.zeros(300, np.float32), np.zeros(1, np.float32), hat(20, 8000)])
def test_silence_and_sounds_shorter_than_a_window_have_finite_points(rate: int, wave: Floats) -> None:
    space = LinearCepstra([sine(rate, rate, rate / 10), hat(rate, rate)], rate)
    assert np.isfinite(space.embed([wave])).all()
