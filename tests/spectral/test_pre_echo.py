"""Pre-echo is removed before hits, and nothing else changes."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from soundgan.spectral.pre_echo import suppress_pre_echo
from soundgan.spectral.representation import Representation, analyze, synthesize
from soundgan.spectral.stft import STFT

RATE = 44100


def hit(start: int, samples: int, seed: int = 0) -> NDArray[np.float32]:
    """Return silence, and then noise that decays by a factor e in 20 ms."""
    wave = np.zeros(samples, np.float32)
    time = np.arange(samples - start) / RATE
    wave[start:] = 0.3 * np.random.default_rng(seed).standard_normal(len(time)) * np.exp(-time / 0.02)
    return wave


def level_before(wave: NDArray[np.float32], start: int, seconds: float) -> float:
    """Return the level of the 2 ms around `seconds` before a sample, in dB below the peak."""
    middle, half = start - round(seconds * RATE), round(0.001 * RATE)
    power = np.mean(np.square(wave[middle - half : middle + half], dtype=np.float64))
    return 10 * float(np.log10(power + 1e-20)) - 20 * float(np.log10(np.abs(wave).max()))


@settings(max_examples=40, deadline=None)
@given(
    stft=st.sampled_from([STFT(256, 128), STFT(256, 64), STFT(1024, 256, "gaussian"), STFT(96, 12), STFT(30, 10)]),
    frames=st.integers(1, 40),
    seed=st.integers(0, 99),
)
def test_wave_with_these_magnitudes_is_unchanged(stft: STFT, frames: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    wave = (rng.standard_normal(frames * stft.hop_length) * rng.exponential() ** 3).astype(np.float32)
    wave[: rng.integers(len(wave))] = 0
    np.testing.assert_allclose(suppress_pre_echo(wave, np.abs(stft.forward(wave)), stft), wave, rtol=1e-4)


def test_synthesized_hits_have_little_pre_echo() -> None:
    """Where frames end within 2 ms of the hit, silence before it is known; elsewhere they begin to contain the hit."""
    rep = Representation(
        sample_rate=RATE, n_fft=1024, hop_length=256, bands=512, frames=48, scale="linear", floor_db=-80, ceiling_db=0
    )
    starts = [5000, 5037, 5064, 5128, 5200, 5255]
    waves = np.stack([hit(start, rep.samples, seed) for start in starts for seed in range(6)])
    back = synthesize(analyze(waves, rep), rep).reshape(len(starts), 6, -1)
    levels = np.array([
        [[level_before(wave, start, seconds) for wave in waves] for start, waves in zip(starts, back, strict=True)]
        for seconds in (0.010, 0.005)
    ])  # fmt: skip
    assert levels[0].max() < -80, "10 ms before"
    assert np.median(levels[1]) < -80 and np.median(levels[1], axis=1).max() < -45, "5 ms before"


def test_steady_sound_before_a_hit_keeps_its_level() -> None:
    stft = STFT(1024, 256)
    tone = 0.01 * np.sin(2 * np.pi * 1000 / RATE * np.arange(40 * 256))
    wave, echo = (tone + hit(5000, len(tone))).astype(np.float32), hit(4700, len(tone), 1)
    retrieved = (wave + 0.001 * echo).astype(np.float32)
    clean = suppress_pre_echo(retrieved, np.abs(stft.forward(wave)), stft)
    before = slice(1000, 4600)
    assert np.mean(clean[before] ** 2) == pytest.approx(np.mean(tone[before] ** 2), rel=0.02)
