"""Metrics of two sets of points, shared by validation during training and `soundgan evaluate`."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from soundgan.evaluation.metrics.frechet import frechet_distance, kernel_distance
from soundgan.evaluation.metrics.prdc import prdc

Points = NDArray[np.float64]

N_NEIGHBORS = 5


class SetMetrics(NamedTuple):
    """Distances between real and generated points, and their overlap; see `frechet` and `prdc`."""

    frechet_distance: float
    kernel_distance: float
    precision: float
    recall: float
    density: float
    coverage: float


def set_metrics(real: Points, generated: Points, k: int = N_NEIGHBORS) -> SetMetrics:
    """Compare real and generated points with `k` nearest neighbors, or fewer where a set has at most `k` points.

    Shape: (n, d), (m, d), both of at least two points. Raises `DataError` for others.
    """
    distances = frechet_distance(real, generated), kernel_distance(real, generated)
    return SetMetrics(*distances, *prdc(real, generated, min(k, len(real) - 1, len(generated) - 1)))
