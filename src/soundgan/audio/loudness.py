"""Loudness of short sounds and true peak, after ITU-R BS.1770-5 and EBU Tech 3341."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import ArrayLike, NDArray

from soundgan.audio.levels import decibels, peak_db
from soundgan.audio.reader import resample

MOMENTARY_SECONDS = 0.4
OVERSAMPLING = 4  # of the true peak
_OFFSET_DB = -0.691  # gain of the K-weighting at 997 Hz
_PADDING_SECONDS = 0.01  # around a wave, as its true peak may lie outside of it


def loudness_lufs(wave: ArrayLike, sample_rate: int) -> float:
    """Return the maximum momentary loudness in LUFS; -inf for silence.

    It is the K-weighted mean power of the loudest 400 ms. A shorter sound has silence around it: of two sounds of equal
    power, the longer one is louder.

    Shape: wave (samples,).

    Examples:
        >>> sine = np.sin(2 * np.pi * 997 * np.arange(48_000) / 48_000)
        >>> round(loudness_lufs(sine, 48_000), 2)
        -3.01
    """
    import scipy.signal  # takes longer to import than to generate a sound

    window = round(MOMENTARY_SECONDS * sample_rate)
    padded = np.pad(np.asarray(wave, np.float64), (0, window))  # the filters ring
    energy = np.cumsum(np.square(scipy.signal.sosfilt(_k_weighting(sample_rate), padded)))
    loudest = np.max(energy - np.pad(energy[:-window], (window, 0)))
    return decibels(math.sqrt(max(float(loudest), 0.0) / window)) + _OFFSET_DB


def true_peak_db(wave: ArrayLike, sample_rate: int) -> float:
    """Return the highest magnitude between the samples as well, in dBTP; -inf for silence. Shape: wave (samples,)."""
    padded = np.pad(np.asarray(wave, np.float32), round(_PADDING_SECONDS * sample_rate))
    return peak_db(resample(padded, sample_rate, OVERSAMPLING * sample_rate))


def _k_weighting(sample_rate: int) -> NDArray[np.float64]:
    """Second-order sections of the K-weighting: a high shelf and a high-pass.

    The standard lists coefficients at 48 kHz. They are bilinear transforms of the analog filters below (De Man 2014,
    "Evaluation of implementations of the EBU R128 loudness measurement"), which fit other sample rates as well.
    """
    k, q = math.tan(math.pi * 1681.974450955533 / sample_rate), 0.7071752369554196
    high = 10 ** (3.999843853973347 / 20)
    band = high**0.4996667741545416
    shelf = [high + band * k / q + k * k, 2 * (k * k - high), high - band * k / q + k * k, *_denominator(k, q)]
    k, q = math.tan(math.pi * 38.13547087602444 / sample_rate), 0.5003270373238773
    denominator = _denominator(k, q)
    # The standard leaves out the gain of the high-pass.
    high_pass = [denominator[0], -2 * denominator[0], denominator[0], *denominator]
    return np.array([np.array(section) / section[3] for section in (shelf, high_pass)])


def _denominator(k: float, q: float) -> list[float]:
    return [1 + k / q + k * k, 2 * (k * k - 1), 1 - k / q + k * k]
