"""Sample rate conversion by the SoX resampler."""

from __future__ import annotations

import numpy as np
import soxr
from numpy.typing import ArrayLike, NDArray


def resample(wave: ArrayLike, source_rate: int, target_rate: int) -> NDArray[np.float32]:
    """Resample a wave (soxr, quality HQ); levels are kept, frequencies above the new Nyquist frequency are removed.

    Shape:
        (samples,) → (samples · target_rate / source_rate,), to the nearest integer.

    Args:
        source_rate, target_rate: in Hz.

    Raises:
        ValueError: a rate is not above 0.
    """
    if source_rate <= 0 or target_rate <= 0:
        raise ValueError(f"sample rates must be above 0 Hz, not {source_rate} and {target_rate}")
    samples = np.ascontiguousarray(wave, dtype=np.float32)
    return samples if source_rate == target_rate else soxr.resample(samples, source_rate, target_rate, quality="HQ")
