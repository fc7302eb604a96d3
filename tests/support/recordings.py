"""Waves and measures for the tests of audio files."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from soundgan import audio

RATE = 44_100  # Hz


def sine(
    frequency: float = 440.0, seconds: float = 0.5, rate: int = RATE, amplitude: float = 0.5
) -> NDArray[np.float32]:
    return (amplitude * np.sin(2 * np.pi * frequency * np.arange(round(seconds * rate)) / rate)).astype(np.float32)


def noise(samples: int, amplitude: float = 0.5) -> NDArray[np.float32]:
    return np.random.default_rng(0).uniform(-amplitude, amplitude, samples).astype(np.float32)


def pitch(wave: NDArray[np.float32], rate: int) -> float:
    """Frequency of the strongest partial in Hz, by a parabola through the logarithmic peak."""
    spectrum = np.log(np.abs(np.fft.rfft(wave * np.hanning(wave.size))) + 1e-12)
    k = int(np.argmax(spectrum[1:-1])) + 1
    below, peak, above = spectrum[k - 1 : k + 2]
    return (k + (below - above) / (2 * (below - 2 * peak + above))) * rate / wave.size


def middle(wave: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return a wave without its ends, where filters and coders ring."""
    return wave[wave.size // 8 : -wave.size // 8]


def difference_db(wave: NDArray[np.floating], other: NDArray[np.floating]) -> float:
    return audio.rms_db(wave.astype(np.float64) - other)
