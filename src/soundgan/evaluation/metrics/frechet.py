"""How far two sets of points lie apart: Fréchet distance and kernel distance of their embeddings."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from soundgan.errors import DataError

Points = NDArray[np.float64]


def frechet_distance(real: Points, made: Points) -> float:
    """Squared Fréchet (2-Wasserstein) distance of the Gaussians with the means and covariances of two sets.

    Heusel et al. 2017 (FID), Kilgour et al. 2019 (FAD): |μ₁ - μ₂|² + tr(Σ₁ + Σ₂ - 2 (Σ₁ Σ₂)^½). Finite sets look
    farther apart than what they are drawn from, the more so the fewer: compare only figures of equal sizes.

    The trace of the root is the sum of singular values of R₁ R₂ᵀ, where Rᵀ R = Σ: no root of a matrix is taken, and
    sets of fewer points than dimensions are as exact as others.

    Shape: (n, d), (m, d), both of at least two points. Raises `DataError` for others.
    """
    _check(real, made)
    roots, spread = [], 0.0
    for points in (real, made):
        centred = (points - points.mean(axis=0)) / np.sqrt(len(points) - 1)
        spread += float(np.square(centred).sum())
        roots.append(np.linalg.qr(centred, mode="r"))
    shared = np.linalg.svd(roots[0] @ roots[1].T, compute_uv=False).sum()
    apart = float(np.square(real.mean(axis=0) - made.mean(axis=0)).sum())
    return max(0.0, apart + spread - 2 * float(shared))


def kernel_distance(real: Points, made: Points) -> float:
    """Unbiased squared maximum mean discrepancy under the kernel (x·y / d + 1)³ (Bińkowski et al. 2018: KID).

    Expected to be 0 for two sets of one distribution at any size, so a figure may also be a little below 0.

    Shape: (n, d), (m, d), both of at least two points. Raises `DataError` for others.
    """
    _check(real, made)
    (n, dimensions), m = real.shape, len(made)
    within_real, within_made, between = (
        (a @ b.T / dimensions + 1) ** 3 for a, b in ((real, real), (made, made), (real, made))
    )
    alike = [(inner.sum() - np.trace(inner)) / (k * (k - 1)) for inner, k in ((within_real, n), (within_made, m))]
    return float(sum(alike) - 2 * between.mean())


def _check(real: Points, made: Points) -> None:
    if real.ndim != 2 or made.ndim != 2 or real.shape[1] != made.shape[1] or min(len(real), len(made)) < 2:
        told = "two sets of at least two points each, of one embedding"
        raise DataError(f"embeddings of shape {real.shape} and {made.shape} have no distance; it takes {told}")
