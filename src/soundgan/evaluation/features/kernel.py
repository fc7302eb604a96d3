"""Gaussian kernel of the kernel audio distance and of the kernel classifier."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.spatial.distance import cdist, pdist

Points = NDArray[np.float64]


def median_distance(points: Points) -> float:
    """Return the median of the distances between two of the points: the usual bandwidth of a Gaussian kernel.

    Shape: (n, d), at least two points.
    """
    return float(np.median(pdist(points)))


def gaussian_kernel(a: Points, b: Points, bandwidth: float) -> Points:
    """Return exp(-|x - y|² / (2 σ²)) for each x of `a` and y of `b`, where σ is the bandwidth.

    Shape: (n, d), (m, d) → (n, m). With a bandwidth of 0 the kernel is 1 for equal points, and 0 for others.
    """
    squared = cdist(a, b, "sqeuclidean")
    return np.exp(-squared / max(2 * bandwidth**2, 1e-200))
