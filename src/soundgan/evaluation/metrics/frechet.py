"""Fréchet distance and kernel distance between two sets of embeddings."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from soundgan.errors import DataError

Points = NDArray[np.float64]


def frechet_distance(real: Points, generated: Points) -> float:
    """Squared Fréchet (2-Wasserstein) distance of the Gaussians with the means and covariances of two sets.

    Heusel et al. 2017 (FID), Kilgour et al. 2019 (FAD): |μ₁ - μ₂|² + tr(Σ₁ + Σ₂ - 2 (Σ₁ Σ₂)^½). The estimate is biased
    upward, the more so the smaller the sets: compare values of sets of equal sizes only.

    The trace of the root is the sum of singular values of R₁ R₂ᵀ, where Rᵀ R = Σ: no matrix root is computed, and
    sets of fewer points than dimensions are as exact as others.

    Shape: (n, d), (m, d), both of at least two points. Raises `DataError` for others.
    """
    _check(real, generated)
    roots, variance = [], 0.0
    for points in (real, generated):
        centered = (points - points.mean(axis=0)) / np.sqrt(len(points) - 1)
        variance += float(np.square(centered).sum())
        roots.append(np.linalg.qr(centered, mode="r"))
    covariance_overlap = np.linalg.svd(roots[0] @ roots[1].T, compute_uv=False).sum()
    mean_distance = float(np.square(real.mean(axis=0) - generated.mean(axis=0)).sum())
    return max(0.0, mean_distance + variance - 2 * float(covariance_overlap))


def kernel_distance(real: Points, generated: Points) -> float:
    """Unbiased squared maximum mean discrepancy under the kernel (x·y / d + 1)³ (Bińkowski et al. 2018: KID).

    Its expectation is 0 for two sets of one distribution at any size, so an estimate may be a little below 0.

    Shape: (n, d), (m, d), both of at least two points. Raises `DataError` for others.
    """
    _check(real, generated)
    (n, dimensions), m = real.shape, len(generated)
    within_real, within_generated, between = (
        (a @ b.T / dimensions + 1) ** 3 for a, b in ((real, real), (generated, generated), (real, generated))
    )
    within = [(gram.sum() - np.trace(gram)) / (k * (k - 1)) for gram, k in ((within_real, n), (within_generated, m))]
    return float(sum(within) - 2 * between.mean())


def _check(real: Points, generated: Points) -> None:
    if (
        real.ndim != 2
        or generated.ndim != 2
        or real.shape[1] != generated.shape[1]
        or min(len(real), len(generated)) < 2
    ):
        raise DataError(
            f"embeddings of shape {real.shape} and {generated.shape} have no distance; use two sets of at least two "
            "points each, of one embedding"
        )
