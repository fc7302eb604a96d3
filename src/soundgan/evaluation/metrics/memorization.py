"""Memorization: the distance of each generated sound to the most similar training sound."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from soundgan.errors import DataError
from soundgan.evaluation.features.logmel import Floats, LogMel, Waves

MAX_SHIFT = 8  # frames of 10 ms between a sound and its copy
RANGE_DB = 50.0  # below the loudest bin; softer differences are ignored


@dataclass(frozen=True)
class NearestTraining:
    """The most similar training sound of each sound.

    Attributes:
        index: (n,), its index among the training sounds.
        distance: (n,), from 0 for a copy to 1 for two sounds whose spectrograms do not overlap.
    """

    index: NDArray[np.intp]
    distance: NDArray[np.float64]


def nearest_training_sounds(generated: Waves, training: Waves, sample_rate: int) -> NearestTraining:
    """Find the most similar training sound of each sound, independent of loudness and of shifts of up to 80 ms.

    The distance of two log-mel spectrograms a and b, in dB above silence, is |a - b| / √(|a|² + |b|²), at the shift
    that minimizes it. A copy has 0 (0.001 by rounding). Of 2,700 spoken digits, copies with noise at -30 dB have a
    median distance of 0.07, unseen digits of the same speakers 0.11 to 0.38.

    Args:
        generated: n waves of any lengths.
        training: waves of any lengths.
        sample_rate: of all waves, in Hz.

    Raises:
        DataError: one of them has no waves.
    """
    if not len(generated) or not len(training):
        raise DataError(f"{len(generated)} sounds and {len(training)} training sounds: pass at least one of both")
    half_hop = round(0.005 * sample_rate)
    longest = max(1, *(len(wave) for waves in (generated, training) for wave in waves)) + half_hop
    frontend = LogMel(sample_rate, longest / sample_rate, range_db=RANGE_DB)
    real = _rows(frontend, training)
    squared = np.full((len(generated), len(training)), np.inf, np.float32)
    for delay in (0, half_hop):  # frames 10 ms apart would miss the start of a copy by up to 5 ms
        rows = _rows(frontend, [np.pad(wave, (delay, 0)) for wave in generated])
        np.minimum(squared, _squared_distances(rows, real, frontend.bands), out=squared)
    index = squared.argmin(axis=1)
    return NearestTraining(index, np.sqrt(squared[np.arange(len(generated)), index].astype(np.float64)))


def memorized_fraction(generated: NDArray[np.float64], held_out: NDArray[np.float64], quantile: float = 0.05) -> float:
    """Share of generated sounds that are as near to a training sound as the nearest `quantile` of held-out real sounds.

    Held-out real sounds have 0.05 by definition; a model that generates new sounds has about as much, one that copies
    its training sounds has more, up to 1.

    Args:
        generated: (n,), distances of generated sounds to their nearest training sounds; see `nearest_training_sounds`.
        held_out: (m,), distances of held-out real sounds to the same training sounds.
        quantile: between 0 and 1.

    Raises:
        DataError: there are no distances.
    """
    if not len(generated) or not len(held_out):
        raise DataError(
            f"{len(generated)} distances of generated and {len(held_out)} of held-out sounds: pass at least one of both"
        )
    return float(np.mean(generated <= np.quantile(held_out, quantile)))


def _rows(frontend: LogMel, waves: Waves) -> Floats:
    """Levels, frame after frame, so that a shift in time is one along the row. Shape: (n, frames · bands)."""
    return frontend.levels(waves).swapaxes(1, 2).reshape(len(waves), -1)


def _squared_distances(a: Floats, b: Floats, bands: int) -> Floats:
    """Squared distances at the best shift by whole frames. Shape: (n, frames · bands), (m, frames · bands) → (n, m).

    Silence is 0, also outside of the spectrogram: a shift does not change the norms, and the best one has the largest
    product.
    """
    energy = np.square(a).sum(axis=1)[:, None] + np.square(b).sum(axis=1)
    length, product = a.shape[1], a @ b.T
    for shift in range(bands, min(MAX_SHIFT * bands, length - 1) + 1, bands):
        np.maximum(product, a[:, shift:] @ b[:, : length - shift].T, out=product)
        np.maximum(product, a[:, : length - shift] @ b[:, shift:].T, out=product)
    squared = np.maximum(0, 1 - 2 * product / np.maximum(energy, 1e-9))
    return np.where(energy == 0, 0, squared)  # silence is a copy of silence
