"""Synthesized sounds for the tests, (samples,) in float32 each, and measures of their fit and level."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from soundgan.spectral.representation import Representation
from soundgan.spectral.stft import STFT

Floats = NDArray[np.float32]


def sine(samples: int, sample_rate: int, hertz: float = 440.0, level: float = 0.5, start: float = 0.0) -> Floats:
    """A steady tone of amplitude `level`; `start` is the phase of the first sample, in rad."""
    return (level * np.sin(2 * np.pi * hertz * _seconds(samples, sample_rate) + start)).astype(np.float32)


def kick(samples: int, sample_rate: int) -> Floats:
    """A decaying drum that glides from 215 Hz to 50 Hz within a tenth of a second."""
    time = _seconds(samples, sample_rate)
    wave = 0.8 * np.sin(2 * np.pi * (50 * time - 5 * np.exp(-time / 0.03))) * np.exp(-time / 0.15)
    return wave.astype(np.float32)


def chirp(samples: int, sample_rate: int, low: float = 100.0, high: float | None = None) -> Floats:
    """A tone that rises steadily from `low` to `high`, in Hz; by default 0.4 times the sample rate."""
    time = _seconds(samples, sample_rate)
    rise = ((0.4 * sample_rate if high is None else high) - low) * sample_rate / samples
    return (0.5 * np.sin(2 * np.pi * (low * time + rise / 2 * time**2))).astype(np.float32)


def noise(samples: int, sample_rate: int, seed: int = 0, level: float = 0.2) -> Floats:
    """White noise of standard deviation `level`, independent of the sample rate."""
    return np.random.default_rng(seed).normal(0, level, samples).astype(np.float32)


def burst(samples: int, sample_rate: int, seed: int = 0) -> Floats:
    """White noise in the second quarter, and silence around it."""
    wave = np.zeros(samples, np.float32)
    wave[samples // 4 : samples // 2] = noise(samples // 2 - samples // 4, sample_rate, seed)
    return wave


def click(samples: int, sample_rate: int, at: int | None = None) -> Floats:
    """A single sample of 1 at `at`; by default near the middle, and at no frame's center."""
    wave = np.zeros(samples, np.float32)
    wave[samples // 2 + 37 if at is None else at] = 1
    return wave


def hat(samples: int, sample_rate: int, seconds: float = 0.05, seed: int = 0) -> Floats:
    """A cymbal: white noise from the first sample on, which decays by a factor of e in `seconds`."""
    wave = noise(samples, sample_rate, seed) * np.exp(-_seconds(samples, sample_rate) / seconds)
    return wave.astype(np.float32)


def sounds(samples: int, sample_rate: int) -> dict[str, Floats]:
    """One sound of each kind; two where the position between bins or frames matters."""
    return {
        "tone": sine(samples, sample_rate),
        "high tone": sine(samples, sample_rate, 5003.7),
        "chord": sine(samples, sample_rate, 700, 0.3) + sine(samples, sample_rate, 2300, 0.2),
        "chirp": chirp(samples, sample_rate),
        "slow chirp": chirp(samples, sample_rate, 1000, 2000),
        "kick": kick(samples, sample_rate),
        "click": click(samples, sample_rate),
        "another click": click(samples, sample_rate, samples // 3 + 11),
        "hat": hat(samples, sample_rate),
        "burst": burst(samples, sample_rate),
        "noise": noise(samples, sample_rate),
    }


def fit_db(wave: Floats, magnitudes: Floats, stft: STFT) -> float:
    """Spectral convergence: level of the magnitudes over that of the wave's error in them, in dB."""
    error = np.abs(stft.forward(wave)) - magnitudes
    return float(20 * np.log10(np.linalg.norm(magnitudes) / np.linalg.norm(error)))


def denormalize(spectrograms: Floats, rep: Representation) -> Floats:
    """Levels in dBFS of spectrograms."""
    return (spectrograms + 1) * np.float32((rep.ceiling_db - rep.floor_db) / 2) + np.float32(rep.floor_db)


def db(energy: float) -> float:
    return float(10 * np.log10(energy + 1e-30))


def _seconds(samples: int, sample_rate: int) -> NDArray[np.float64]:
    return np.arange(samples) / sample_rate
