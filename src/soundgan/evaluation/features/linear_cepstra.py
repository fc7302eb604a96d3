"""Cepstra of linear frequency bands: the space of the second classifier, which no training and no choice depends on.

It differs from the log-mel spectrograms of the other metrics on purpose: in its frequency scale, window and resolution
in time, and in that the active part of a sound is stretched to one length.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import scipy.fft

from soundgan.evaluation.features.embedding import equal_parts
from soundgan.evaluation.features.kernel import Points
from soundgan.evaluation.features.logmel import Floats, Waves

WINDOW_SECONDS, HOP_SECONDS = 0.024, 0.006
BANDS = 32  # of equal width, from 0 Hz to half the sample rate
COEFFICIENTS = 16  # of the cepstrum
SEGMENTS, ENVELOPE_SEGMENTS = 8, 16  # equal parts of the active part
RANGE_DB = 60.0  # below the loudest band of a sound; softer levels are silence
ACTIVE_DB = 40.0  # below the loudest frame; the active part is between the first and the last frame above it
SILENCE_DB = -90.0  # relative to a full-scale sine: a sound below it has no loudest band
MIN_SCALE = 0.1  # in dB: features that hardly vary between the reference sounds are not enlarged any further


class LinearCepstra:
    """Sounds as points: cepstra in eight parts of the active part, band statistics, envelope and duration.

    Every feature is in units of its standard deviation over reference sounds.

    Attributes:
        reference: (n, features), points of the reference sounds.
    """

    def __init__(self, reference: Waves, sample_rate: int) -> None:
        """Measure the units on at least one reference sound, at the same rate in Hz as all others."""
        self._sample_rate = sample_rate
        features = _features(reference, sample_rate)
        self._mean, self._scale = features.mean(axis=0), np.hypot(features.std(axis=0), MIN_SCALE)
        self.reference = (features - self._mean) / self._scale

    def embed(self, waves: Waves) -> Points:
        """Shape: n waves (any,) → (n, features)."""
        return (_features(waves, self._sample_rate) - self._mean) / self._scale


def _features(waves: Waves, sample_rate: int) -> Points:
    """Features in dB. Shape: n waves (any,) → (n, features)."""
    return np.stack([_sound_features(wave, sample_rate) for wave in waves])


def _sound_features(wave: Floats, sample_rate: int) -> Points:
    power = _band_power(wave, sample_rate)
    levels = 10 * np.log10(np.maximum(power, 1e-20))
    levels = np.maximum(levels - max(levels.max(), SILENCE_DB) + RANGE_DB, 0)
    loudness = 10 * np.log10(np.maximum(power.sum(axis=0), 1e-20))
    active = np.flatnonzero(loudness >= loudness.max() - ACTIVE_DB)
    span = slice(active[0], active[-1] + 1)
    levels, loudness = levels[:, span], loudness[span] - loudness.max()
    frames = levels.shape[1]
    cepstra: Any = scipy.fft.dct(levels, axis=0, norm="ortho")
    steps = np.diff(levels, axis=1, append=levels[:, -1:])
    rise, fall = (np.sqrt(np.square(np.maximum(change, 0)).mean(axis=1)) for change in (steps, -steps))
    cepstra = cepstra[:COEFFICIENTS] @ equal_parts(frames, SEGMENTS)
    envelope, duration = loudness @ equal_parts(frames, ENVELOPE_SEGMENTS), 20 * np.log10(frames)
    return np.concatenate([cepstra.ravel(), levels.mean(axis=1), levels.std(axis=1), rise, fall, envelope, [duration]])


def _band_power(wave: Floats, sample_rate: int) -> Points:
    """Mean power of the bands, 1 for a full-scale sine in one bin. Shape: (any,) → (BANDS, frames)."""
    samples, hop_length = max(BANDS, round(WINDOW_SECONDS * sample_rate)), max(1, round(HOP_SECONDS * sample_rate))
    window = np.blackman(samples + 1)[:-1].astype(np.float32)
    padded = np.pad(np.asarray(wave, np.float32), samples)  # so that silence around a sound changes nothing
    frames = np.lib.stride_tricks.sliding_window_view(padded, samples)[::hop_length]
    spectra: Any = scipy.fft.rfft(frames * (2 * window / window.sum()), axis=1)
    power = (np.square(spectra.real) + np.square(spectra.imag)).astype(np.float64)
    return equal_parts(power.shape[1], BANDS).T @ power.T
