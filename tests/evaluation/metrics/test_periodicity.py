"""Periodicity of sounds whose periodicity is known."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from soundgan.evaluation.metrics.periodicity import periodicity

RATE = 8000


def float32(wave: NDArray[np.float64]) -> NDArray[np.float32]:
    return wave.astype(np.float32)


def test_periodicity_of_a_tone_is_high_of_noise_low_and_of_a_mix_between() -> None:
    rng = np.random.default_rng(0)
    t = np.arange(RATE) / RATE
    tone = np.sum([np.sin(2 * np.pi * k * 130 * t) / k for k in range(1, 8)], axis=0)
    noise = rng.standard_normal(RATE)
    sounds = [float32(sound) for sound in (tone, tone + noise, noise, np.zeros(RATE))]
    clear, mixed, hiss, silent = periodicity(sounds, RATE)
    assert clear > 0.97
    assert hiss < 0.5
    assert hiss + 0.1 < mixed < clear - 0.1
    assert silent == 0


def test_periodicity_counts_loud_parts_only_and_accepts_any_lengths() -> None:
    rng = np.random.default_rng(0)
    t = np.arange(RATE // 2) / RATE
    tone, hiss = np.sin(2 * np.pi * 200 * t), 0.03 * rng.standard_normal(RATE // 2)
    both, short = periodicity([float32(np.concatenate([tone, hiss])), float32(tone[:1501])], RATE)
    assert both > 0.9
    assert short > 0.9


@pytest.mark.parametrize("gain", [1e-4, 3.0])
def test_periodicity_is_independent_of_the_level(gain: float) -> None:
    wave = float32(np.random.default_rng(1).standard_normal(RATE))
    assert periodicity([np.float32(gain) * wave], RATE) == pytest.approx(periodicity([wave], RATE), rel=1e-3)


def test_periodicity_separates_voiced_from_whispered_sounds() -> None:
    """Sounds of the same envelopes, once with harmonics and once with noise."""
    rng = np.random.default_rng(2)
    t = np.arange(RATE // 2) / RATE
    spoken, whispered = [], []
    for hz in rng.uniform(90, 240, 8):
        harmonics = np.mean([np.cos(2 * np.pi * k * hz * t + rng.uniform(0, 6)) for k in range(1, int(3500 / hz))], 0)
        hiss = rng.standard_normal(len(t))
        spoken.append(float32(np.exp(-3 * t) * harmonics))
        whispered.append(float32(np.exp(-3 * t) * hiss * harmonics.std()))
    assert np.median(periodicity(spoken, RATE)) > np.median(periodicity(whispered, RATE)) + 0.3
