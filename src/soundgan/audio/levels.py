"""Levels of waves in dBFS: a full-scale sine has a peak of 0 dBFS and an RMS of -3.01 dBFS."""

from __future__ import annotations

import math
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

LevelMethod = Literal["peak", "rms", "none"]
PEAK_DB = -1.0  # dBFS, peak of a leveled sound
FADE_SECONDS = 0.005  # s, fade at a cut, to avoid a click
END_DB = -60.0  # relative to the peak: a sound ends where its samples last exceed this


def peak_db(wave: ArrayLike) -> float:
    """Return the highest magnitude in dBFS; -inf for silence."""
    return decibels(float(np.max(np.abs(np.asarray(wave, dtype=np.float64)), initial=0.0)))


def rms_db(wave: ArrayLike) -> float:
    """Return the root mean square in dBFS; -inf for silence. A square wave of full scale has 0 dBFS."""
    samples = np.asarray(wave, dtype=np.float64)
    return decibels(math.sqrt(np.mean(np.square(samples))) if samples.size else 0.0)


def end_of_sound(wave: ArrayLike) -> int:
    """Return the number of samples up to the last one within 60 dB of the peak; 0 for silence.

    Shape: wave (samples,).
    """
    magnitudes = np.abs(np.asarray(wave))
    threshold = magnitudes.max(initial=0.0) * 10 ** (END_DB / 20)
    above = np.flatnonzero(magnitudes > threshold)
    return int(above[-1]) + 1 if above.size else 0


def gain_db(peak_db: float, rms_db: float, method: LevelMethod, target_db: float) -> float:
    """Return the gain in dB that brings a sound of these levels to the target level; RMS gain stops at full scale."""
    if method == "peak":
        return target_db - peak_db
    return min(target_db - rms_db, -peak_db) if method == "rms" else 0.0


def level(wave: ArrayLike, method: LevelMethod, target_db: float = PEAK_DB) -> NDArray[np.float32]:
    """Scale a wave, (samples,), as a whole to a target level; silence is returned unchanged.

    Args:
        method: "peak" sets the highest magnitude, "rms" the root mean square, "none" changes nothing. RMS leveling
            stops where the peak reaches 0 dBFS: a sound with sharp peaks stays softer than requested, but never clips.
        target_db: in dBFS, at most 0.

    Raises:
        ValueError: another method or target.
    """
    if method not in ("peak", "rms", "none"):
        raise ValueError(f"method must be 'peak', 'rms' or 'none', not {method!r}")
    if not -math.inf < target_db <= 0:
        raise ValueError(f"target_db must be at most 0 dBFS, and finite, not {target_db}")
    samples = np.asarray(wave, dtype=np.float32)
    peak = peak_db(samples)
    if method == "none" or peak == -math.inf:
        return samples
    gain = 10 ** (gain_db(peak, rms_db(samples), method, target_db) / 20)
    return (samples.astype(np.float64) * gain).astype(np.float32)


def decibels(amplitude: float) -> float:
    """Return an amplitude in dB, relative to 1; -inf for 0."""
    return 20 * math.log10(amplitude) if amplitude > 0 else -math.inf
