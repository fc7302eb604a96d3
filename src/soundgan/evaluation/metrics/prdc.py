"""Is what is generated like the real, and is all of the real generated? Counted with nearest neighbours."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.spatial.distance import cdist

from soundgan.errors import DataError

Points = NDArray[np.float64]


class Manifold(NamedTuple):
    """How two sets overlap; a set of real sounds has about 1 - 2⁻ᵏ coverage and a density of 1 in another of its size.

    Attributes:
        precision: share of the made that lie within reach of a real sound (quality).
        recall: share of the real that lie within reach of a made sound (variety).
        density: within reach of how many real sounds the made lie, in units of k; may exceed 1.
        coverage: share of the real that have a made sound within their reach; copies do not raise it.
    """

    precision: float
    recall: float
    density: float
    coverage: float


def compare(real: Points, made: Points, k: int = 5) -> Manifold:
    """Precision and recall (Kynkäänniemi et al. 2019), density and coverage (Naeem et al. 2020).

    The reach of a point is the distance to its k-th nearest neighbour in its own set. All four depend on how many
    points there are; compare figures of equal sizes only.

    Shape: (n, d), (m, d). Raises `DataError` unless both have more than `k` points of the same dimension.
    """
    if real.ndim != 2 or made.ndim != 2 or real.shape[1] != made.shape[1]:
        raise DataError(f"embeddings of shape {real.shape} and {made.shape} cannot be compared; take one embedding")
    if not 1 <= k < min(len(real), len(made)):
        told = "take more sounds or a smaller k, from 1"
        raise DataError(f"{len(real)} and {len(made)} sounds have no {k} nearest neighbours each; {told}")
    apart = cdist(real, made)
    in_real = apart <= _reach(real, k)[:, None]
    in_made = apart <= _reach(made, k)[None, :]
    return Manifold(
        precision=float(in_real.any(axis=0).mean()),
        recall=float(in_made.any(axis=1).mean()),
        density=float(in_real.sum(axis=0).mean() / k),
        coverage=float(in_real.any(axis=1).mean()),
    )


def _reach(points: Points, k: int) -> NDArray[np.float64]:
    """Distance of each point to its k-th nearest neighbour. Shape: (n, d) → (n,)."""
    apart = np.asarray(cdist(points, points), dtype=np.float64)
    return np.partition(apart, k, axis=1)[:, k]  # the first is the point itself, at distance 0
