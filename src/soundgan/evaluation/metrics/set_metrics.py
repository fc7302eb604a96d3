"""Distances and overlap of two sets of points, shared by validation and `soundgan evaluate`.

All but the kernel distance depend on the number of points: compare values of sets of equal sizes only.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from scipy.spatial.distance import cdist

from soundgan.errors import DataError
from soundgan.evaluation.features.kernel import Points, gaussian_kernel, median_distance

N_NEIGHBORS = 5
KERNEL_DISTANCE_SCALE = 100.0  # as in the paper


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


class SetMetrics(NamedTuple):
    """Distances between real and generated points, and their overlap as in `PRDC`."""

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


def frechet_distance(real: Points, generated: Points) -> float:
    """Squared Fréchet (2-Wasserstein) distance of the Gaussians with the means and covariances of two sets.

    Heusel et al. 2017 (FID), Kilgour et al. 2019 (FAD): |μ₁ - μ₂|² + tr(Σ₁ + Σ₂ - 2 (Σ₁ Σ₂)^½). The estimate is biased
    upward, the more so the smaller the sets.

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
    """Kernel audio distance (KAD, Chung et al. 2025): 100 times the unbiased squared maximum mean discrepancy.

    Its kernel is Gaussian, and the bandwidth the median distance of two real points, so that neither the scale of the
    embedding nor a few outliers count. The expectation for two sets of one distribution is about 0 at any size, so an
    estimate may be a little below 0; sets without overlap have up to 200.

    Shape: (n, d), (m, d), both of at least two points. Raises `DataError` for others.
    """
    _check(real, generated)
    n, m, bandwidth = len(real), len(generated), median_distance(real)
    within_real, within_generated, between = (
        gaussian_kernel(a, b, bandwidth) for a, b in ((real, real), (generated, generated), (real, generated))
    )
    within = [(gram.sum() - np.trace(gram)) / (k * (k - 1)) for gram, k in ((within_real, n), (within_generated, m))]
    return KERNEL_DISTANCE_SCALE * float(sum(within) - 2 * between.mean())


def prdc(real: Points, generated: Points, k: int = N_NEIGHBORS) -> PRDC:
    """Precision and recall (Kynkäänniemi et al. 2019), density and coverage (Naeem et al. 2020).

    Shape: (n, d), (m, d). Raises `DataError` unless both have more than `k` points of the same dimension.
    """
    _check(real, generated)
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


def _radii(points: Points, k: int) -> Points:
    """Distance of each point to its k-th nearest neighbor. Shape: (n, d) → (n,)."""
    distances = np.asarray(cdist(points, points), dtype=np.float64)
    return np.partition(distances, k, axis=1)[:, k]  # the first is the point itself, at distance 0


def _check(real: Points, generated: Points) -> None:
    shapes = real.shape, generated.shape
    if any(len(shape) != 2 or shape[0] < 2 for shape in shapes) or shapes[0][1] != shapes[1][1]:
        raise DataError(
            f"embeddings of shape {real.shape} and {generated.shape} have no distance; use two sets of at least two "
            "points each, of one embedding"
        )
