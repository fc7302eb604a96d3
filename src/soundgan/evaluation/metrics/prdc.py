"""Precision, recall, density and coverage of generated points, counted with nearest neighbors."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.spatial.distance import cdist

from soundgan.errors import DataError

Points = NDArray[np.float64]


class PRDC(NamedTuple):
    """Overlap of two sets; two samples of one distribution have a coverage of about 1 - 2⁻ᵏ, a density of 1.

    The radius of a point is the distance to its k-th nearest neighbor in its own set.

    Attributes:
        precision: share of the generated points within the radius of a real point (quality).
        recall: share of the real points within the radius of a generated point (variety).
        density: mean number of real points within whose radius a generated point lies, divided by k; may exceed 1.
        coverage: share of the real points with a generated point within their radius; copies do not raise it.
    """

    precision: float
    recall: float
    density: float
    coverage: float


def prdc(real: Points, generated: Points, k: int = 5) -> PRDC:
    """Precision and recall (Kynkäänniemi et al. 2019), density and coverage (Naeem et al. 2020).

    All four depend on the number of points: compare values of sets of equal sizes only.

    Shape: (n, d), (m, d). Raises `DataError` unless both have more than `k` points of the same dimension.
    """
    if real.ndim != 2 or generated.ndim != 2 or real.shape[1] != generated.shape[1]:
        raise DataError(f"embeddings of shape {real.shape} and {generated.shape} cannot be compared; use one embedding")
    if not 1 <= k < min(len(real), len(generated)):
        raise DataError(
            f"{len(real)} and {len(generated)} sounds have no {k} nearest neighbors each; use more sounds or a smaller "
            "k, from 1"
        )
    distances = cdist(real, generated)
    in_real = distances <= _radii(real, k)[:, None]
    in_generated = distances <= _radii(generated, k)[None, :]
    return PRDC(
        precision=float(in_real.any(axis=0).mean()),
        recall=float(in_generated.any(axis=1).mean()),
        density=float(in_real.sum(axis=0).mean() / k),
        coverage=float(in_real.any(axis=1).mean()),
    )


def _radii(points: Points, k: int) -> NDArray[np.float64]:
    """Distance of each point to its k-th nearest neighbor. Shape: (n, d) → (n,)."""
    distances = np.asarray(cdist(points, points), dtype=np.float64)
    return np.partition(distances, k, axis=1)[:, k]  # the first is the point itself, at distance 0
