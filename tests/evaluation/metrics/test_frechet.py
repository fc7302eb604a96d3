from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy.linalg import sqrtm
from sets import RATE, SECONDS, SPOILT, fresh, near_duplicate_rate, one_class

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


def test_frechet_of_known_gaussians() -> None:
    # Covariances that commute: |Δμ|² + Σ (σ₁ - σ₂)².
    real = with_moments(np.array([0.0, 0, 0]), np.diag([1.0, 4, 9]), 40, 0)
    made = with_moments(np.array([1.0, -2, 2]), np.diag([4.0, 4, 1]), 90, 1)
    assert frechet_distance(real, made) == pytest.approx(9 + 1 + 0 + 4)


@given(seed=seeds, dimensions=st.integers(1, 6))
def test_frechet_is_the_formula_with_a_root_of_the_product(seed: int, dimensions: int) -> None:
    rng = np.random.default_rng(seed)
    real, made = (rng.normal(size=(30, dimensions)) @ rng.normal(size=(dimensions, dimensions)) for _ in range(2))
    first, second = (np.cov(points.T).reshape(dimensions, dimensions) for points in (real, made))
    root = np.real(np.asarray(sqrtm(first @ second)))
    expected = np.square(real.mean(axis=0) - made.mean(axis=0)).sum() + np.trace(first + second - 2 * root)
    assert frechet_distance(real, made) == pytest.approx(expected, rel=1e-5, abs=1e-5)


@given(seed=seeds, n=st.integers(2, 30), m=st.integers(2, 30), dimensions=st.integers(1, 40))
def test_frechet_of_few_points_in_many_dimensions(seed: int, n: int, m: int, dimensions: int) -> None:
    rng = np.random.default_rng(seed)
    real, made = rng.normal(size=(n, dimensions)), rng.normal(size=(m, dimensions))
    away = frechet_distance(real, made)
    assert away == pytest.approx(frechet_distance(made, real), abs=1e-8)
    turn = np.linalg.qr(rng.normal(size=(dimensions, dimensions)))[0]
    assert away == pytest.approx(frechet_distance(real @ turn + 3, made @ turn + 3), abs=1e-8)
    assert frechet_distance(real, real[rng.permutation(n)]) == pytest.approx(0, abs=1e-8)
    # A set and the same set moved differ by the way squared, and nothing else.
    assert frechet_distance(real, real + 2) == pytest.approx(4 * dimensions)


def test_kernel_distance_is_unbiased() -> None:
    rng = np.random.default_rng(0)
    figures = [kernel_distance(rng.normal(size=(12, 4)), rng.normal(size=(20, 4))) for _ in range(2000)]
    error = np.std(figures) / np.sqrt(len(figures))
    assert abs(np.mean(figures)) < 3 * error
    assert min(figures) < 0 < max(figures)


def test_kernel_distance_of_single_places_is_closed() -> None:
    # All of a set at one place: the kernels of the places alone, (x² + 1)³ + (y² + 1)³ - 2 (xy + 1)³.
    real, made = np.full((5, 1), 2.0), np.full((7, 1), -1.0)
    assert kernel_distance(real, made) == pytest.approx(5**3 + 2**3 - 2 * (-1) ** 3)
    assert kernel_distance(real, real) == pytest.approx(0)


@given(seed=seeds, n=st.integers(2, 6), m=st.integers(2, 6))
def test_kernel_distance_is_the_sum_over_pairs(seed: int, n: int, m: int) -> None:
    rng = np.random.default_rng(seed)
    real, made = rng.normal(size=(n, 3)), rng.normal(size=(m, 3))

    def kernel(x: Points, y: Points) -> float:
        return float((x @ y / 3 + 1) ** 3)

    within = [
        np.mean([kernel(x, y) for i, x in enumerate(points) for j, y in enumerate(points) if i != j])
        for points in (real, made)
    ]
    between = np.mean([kernel(x, y) for x in real for y in made])
    assert kernel_distance(real, made) == pytest.approx(sum(within) - 2 * between)


@pytest.mark.parametrize("distance", [frechet_distance, kernel_distance])
@pytest.mark.parametrize("shapes", [((1, 3), (5, 3)), ((5, 3), (1, 3)), ((5, 3), (5, 4)), ((5,), (5,))])
def test_what_has_no_distance_is_refused(
    distance: Callable[[Points, Points], float], shapes: tuple[tuple[int, ...], tuple[int, ...]]
) -> None:
    with pytest.raises(DataError, match="no distance"):
        distance(np.zeros(shapes[0]), np.zeros(shapes[1]))


@pytest.mark.parametrize("distance", [frechet_distance, kernel_distance])
def test_bad_sets_lie_farther_from_the_real_than_fresh_ones(distance: Callable[[Points, Points], float]) -> None:
    ear = LogMelStatistics(SECONDS)
    real, other = ear.embed(fresh(160, seed=0)[0], RATE), fresh(160, seed=1)[0]
    likely = [distance(real, ear.embed(fresh(160, seed=seed)[0], RATE)) for seed in range(2, 7)]
    bad = {name: spoil(other) for name, spoil in SPOILT.items()}
    bad |= {"one class": one_class(160, seed=1), "near_duplicate_rate": near_duplicate_rate(other, 160)}
    least = np.mean(likely) + 5 * np.std(likely)
    figures = {name: distance(real, ear.embed(waves, RATE)) for name, waves in bad.items()}
    if distance is kernel_distance:
        del figures["near_duplicate_rate"]  # a few sounds, well chosen, have the moments of all
    assert all(figure > least for figure in figures.values()), (least, figures)
