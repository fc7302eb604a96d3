"""Pitch tracking: fundamental frequency and periodicity of each frame of a sound."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

MIN_PITCH, MAX_PITCH = 60.0, 500.0  # Hz: voices, and the low half of most instruments
_WINDOW_PERIODS = 2.5  # window length, in periods of the lowest pitch
_OCTAVE_COST = 0.04  # penalty per octave on longer periods: two periods correlate as well as one
_MIN_LAG_RATE = 32_000  # Hz: between coarser lags, a high pitch correlates less than its octave below
_SILENCE_THRESHOLD = 1e-4  # of the power of the loudest frame: softer frames are unvoiced


class Pitch(NamedTuple):
    """Pitch track of sounds. Shape of each field: (n, frames)."""

    hz: NDArray[np.float32]
    """Between the lowest and the highest pitch searched; meaningless where the periodicity is low."""
    periodicity: NDArray[np.float32]
    """Correlation of the frame with itself one period later, from 0 to 1."""


def track(
    waves: ArrayLike, sample_rate: int, hop_length: int, *, lowest: float = MIN_PITCH, highest: float = MAX_PITCH
) -> Pitch:
    """Return the pitch of each frame of sounds, from their normalized autocorrelation.

    (As Boersma 1993, "Accurate short-term analysis of the fundamental frequency and the harmonics-to-noise ratio of a
    sampled sound", without its search for the smoothest path.)

    Args:
        sample_rate: in Hz.
        hop_length: samples between frames; frame k is centered at (k + 0.5) * hop_length, as in a spectrogram.
        lowest: pitch, in Hz; the frames are 2.5 of its periods long.
        highest: pitch, in Hz.

    Shape:
        waves (n, samples) or (samples,) → (n, samples // hop_length) each

    Examples:
        >>> time = np.arange(4000) / 8000
        >>> pitch = track(np.sin(2 * np.pi * 200 * time), 8000, 128)
        >>> pitch.hz.shape, round(float(pitch.hz[0, 15])), round(float(pitch.periodicity[0, 15]), 1)
        ((1, 31), 200, 1.0)
    """
    waves = np.atleast_2d(np.asarray(waves, np.float64))
    frames = waves.shape[1] // hop_length
    window = int(_WINDOW_PERIODS * sample_rate / lowest) // 2 * 2
    padded = np.pad(waves, ((0, 0), (window // 2, window + hop_length)))
    factor = -(-_MIN_LAG_RATE // sample_rate)
    lag_rate = factor * sample_rate
    lags = np.arange(1, int(lag_rate / lowest) + 2)  # in 1 / lag_rate s
    shortest = int(lag_rate / highest) - 1
    pitch = Pitch(np.empty((len(waves), frames), np.float32), np.empty((len(waves), frames), np.float32))
    for index, wave in enumerate(padded):
        windowed = np.lib.stride_tricks.sliding_window_view(wave, window)[hop_length // 2 :: hop_length][:frames]
        windowed = windowed - windowed.mean(axis=1, keepdims=True)
        spectra = np.abs(np.fft.rfft(windowed, 2 * window)) ** 2
        products = factor * np.fft.irfft(spectra, 2 * window * factor)[:, lags]
        energy = np.repeat(windowed**2 / factor, factor, axis=1).cumsum(axis=1)
        total = energy[:, -1:]
        overlapping = energy[:, window * factor - lags - 1] * (total - energy[:, lags - 1])
        correlation = products / np.sqrt(overlapping + 1e-9 * total.max() ** 2 + 1e-30)
        # Before it first falls below 0, a smooth wave correlates with itself without being periodic.
        correlation[np.logical_and.accumulate(correlation >= 0, axis=1)] = 0
        # The first and the last lag are only neighbors, for the parabola through the best lag and those beside it.
        best = shortest + np.argmax((correlation - _OCTAVE_COST * np.log2(lags))[:, shortest:-1], axis=1)
        before, peak, after = (np.take_along_axis(correlation, best[:, None] + step, 1)[:, 0] for step in (-1, 0, 1))
        curvature = before - 2 * peak + after
        shift = np.divide(before - after, 2 * curvature, out=np.zeros_like(curvature), where=curvature < 0)
        pitch.hz[index] = np.clip(lag_rate / (lags[best] + np.clip(shift, -0.5, 0.5)), lowest, highest)
        pitch.periodicity[index] = np.clip(peak, 0, 1) * (total[:, 0] > _SILENCE_THRESHOLD * total.max())
    return pitch
