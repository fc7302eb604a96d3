from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy.linalg import sqrtm
from sets import DEGRADED, RATE, SECONDS, copies, fresh, one_class

from soundgan.errors import DataError
from soundgan.evaluation.features.embedding import LogMelStatistics
from soundgan.evaluation.metrics.frechet import frechet_distance, kernel_distance

Points = NDArray[np.float64]
seeds = st.integers(0, 2**32 - 1)


def with_moments(mean: Points, covariance: Points, n: int, seed: int) -> Points:
    """Points of exactly this mean and covariance. Shape: (n, d)."""
    raw = np.random.default_rng(seed).normal(size=(n, len(mean)))
    raw -= raw.mean(axis=0)
    white = raw @ np.linalg.inv(np.linalg.cholesky(np.cov(raw.T))).T
    return white @ np.linalg.cholesky(covariance).T + mean


def test_frechet_distance_of_known_gaussians_has_a_closed_form() -> None:
    # Covariances that commute: |Δμ|² + Σ (σ₁ - σ₂)².
    real = with_moments(np.array([0.0, 0, 0]), np.diag([1.0, 4, 9]), 40, 0)
    generated = with_moments(np.array([1.0, -2, 2]), np.diag([4.0, 4, 1]), 90, 1)
    assert frechet_distance(real, generated) == pytest.approx(9 + 1 + 0 + 4)


@given(seed=seeds, dimensions=st.integers(1, 6))
def test_frechet_distance_equals_the_formula_with_a_matrix_root(seed: int, dimensions: int) -> None:
    rng = np.random.default_rng(seed)
    real, generated = (rng.normal(size=(30, dimensions)) @ rng.normal(size=(dimensions, dimensions)) for _ in range(2))
    first, second = (np.cov(points.T).reshape(dimensions, dimensions) for points in (real, generated))
    root = np.real(np.asarray(sqrtm(first @ second)))
    expected = np.square(real.mean(axis=0) - generated.mean(axis=0)).sum() + np.trace(first + second - 2 * root)
    assert frechet_distance(real, generated) == pytest.approx(expected, rel=1e-5, abs=1e-5)


@given(seed=seeds, n=st.integers(2, 30), m=st.integers(2, 30), dimensions=st.integers(1, 40))
def test_frechet_distance_of_few_points_is_symmetric_and_invariant_to_rotation(
    seed: int, n: int, m: int, dimensions: int
) -> None:
    rng = np.random.default_rng(seed)
    real, generated = rng.normal(size=(n, dimensions)), rng.normal(size=(m, dimensions))
    distance = frechet_distance(real, generated)
    assert distance == pytest.approx(frechet_distance(generated, real), abs=1e-8)
    rotation = np.linalg.qr(rng.normal(size=(dimensions, dimensions)))[0]
    assert distance == pytest.approx(frechet_distance(real @ rotation + 3, generated @ rotation + 3), abs=1e-8)
    assert frechet_distance(real, real[rng.permutation(n)]) == pytest.approx(0, abs=1e-8)
    # A translated set differs by the squared translation only.
    assert frechet_distance(real, real + 2) == pytest.approx(4 * dimensions)


def test_kernel_distance_is_unbiased() -> None:
    rng = np.random.default_rng(0)
    distances = [kernel_distance(rng.normal(size=(12, 4)), rng.normal(size=(20, 4))) for _ in range(2000)]
    error = np.std(distances) / np.sqrt(len(distances))
    assert abs(np.mean(distances)) < 3 * error
    assert min(distances) < 0 < max(distances)


def test_kernel_distance_of_constant_sets_has_a_closed_form() -> None:
    # All points of a set are equal: (x² + 1)³ + (y² + 1)³ - 2 (xy + 1)³.
    real, generated = np.full((5, 1), 2.0), np.full((7, 1), -1.0)
    assert kernel_distance(real, generated) == pytest.approx(5**3 + 2**3 - 2 * (-1) ** 3)
    assert kernel_distance(real, real) == pytest.approx(0)


@given(seed=seeds, n=st.integers(2, 6), m=st.integers(2, 6))
def test_kernel_distance_is_the_sum_over_pairs(seed: int, n: int, m: int) -> None:
    rng = np.random.default_rng(seed)
    real, generated = rng.normal(size=(n, 3)), rng.normal(size=(m, 3))

    def kernel(x: Points, y: Points) -> float:
        return float((x @ y / 3 + 1) ** 3)

    within = [
        np.mean([kernel(x, y) for i, x in enumerate(points) for j, y in enumerate(points) if i != j])
        for points in (real, generated)
    ]
    between = np.mean([kernel(x, y) for x in real for y in generated])
    assert kernel_distance(real, generated) == pytest.approx(sum(within) - 2 * between)


@pytest.mark.parametrize("distance", [frechet_distance, kernel_distance])
@pytest.mark.parametrize("shapes", [((1, 3), (5, 3)), ((5, 3), (1, 3)), ((5, 3), (5, 4)), ((5,), (5,))])
def test_distances_refuse_single_points_and_different_embeddings(
    distance: Callable[[Points, Points], float], shapes: tuple[tuple[int, ...], tuple[int, ...]]
) -> None:
    with pytest.raises(DataError, match="no distance"):
        distance(np.zeros(shapes[0]), np.zeros(shapes[1]))


@pytest.mark.parametrize("distance", [frechet_distance, kernel_distance])
def test_distance_of_bad_sets_is_larger_than_that_of_fresh_ones(distance: Callable[[Points, Points], float]) -> None:
    embedding = LogMelStatistics(SECONDS)
    real, other = embedding.embed(fresh(160, seed=0)[0], RATE), fresh(160, seed=1)[0]
    baseline = [distance(real, embedding.embed(fresh(160, seed=seed)[0], RATE)) for seed in range(2, 7)]
    bad = {name: degrade(other) for name, degrade in DEGRADED.items()}
    bad |= {"one class": one_class(160, seed=1), "copies": copies(other, 160)}
    limit = np.mean(baseline) + 5 * np.std(baseline)
    distances = {name: distance(real, embedding.embed(waves, RATE)) for name, waves in bad.items()}
    if distance is kernel_distance:
        del distances["copies"]  # a few sounds may have the moments of all
    assert all(value > limit for value in distances.values()), (limit, distances)
