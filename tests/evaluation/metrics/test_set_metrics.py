from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy.linalg import sqrtm
from scipy.stats import chi2
from sets import DEGRADED, RATE, SECONDS, copies, fresh, one_class

from soundgan.errors import DataError
from soundgan.evaluation.features.embedding import LogMelStatistics
from soundgan.evaluation.metrics.set_metrics import PRDC, frechet_distance, kernel_distance, prdc, set_metrics

Points = NDArray[np.float64]
seeds = st.integers(0, 2**32 - 1)


@pytest.mark.parametrize(("n", "k"), [(40, 5), (4, 3), (2, 1)])
def test_set_metrics_use_fewer_neighbors_where_a_set_is_small(n: int, k: int) -> None:
    rng = np.random.default_rng(0)
    real, generated = rng.normal(size=(40, 3)), rng.normal(size=(n, 3))
    metrics = set_metrics(real, generated)
    assert metrics[:2] == (frechet_distance(real, generated), kernel_distance(real, generated))
    assert metrics[2:] == prdc(real, generated, k)


def test_set_metrics_refuse_a_single_point() -> None:
    with pytest.raises(DataError, match="at least two"):
        set_metrics(np.zeros((5, 2)), np.zeros((1, 2)))


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


@pytest.mark.parametrize("n", [12, 25, 200])
def test_kernel_distance_does_not_depend_on_the_number_of_sounds(n: int) -> None:
    rng = np.random.default_rng(0)

    def mean_and_error(shift: float) -> tuple[float, float]:
        rounds = 20_000 // n
        distances = [kernel_distance(rng.normal(size=(n, 4)), rng.normal(shift, 1, (n, 4))) for _ in range(rounds)]
        return float(np.mean(distances)), float(np.std(distances) / np.sqrt(rounds))

    same, error = mean_and_error(0)
    assert same == pytest.approx(0, abs=3 * error + 0.1), "the bandwidth is estimated, too"
    # 2 (σ² / (σ² + 2))^(d/2) (1 - exp(-|δ|² / (2 σ² + 4))), where σ² is twice the median of χ² with d degrees.
    squared = 2 * chi2.median(4)
    expected = 200 * (squared / (squared + 2)) ** 2 * (1 - np.exp(-1 / (2 * squared + 4)))
    shifted, error = mean_and_error(0.5)
    assert shifted == pytest.approx(expected, abs=3 * error + 0.1)


def test_kernel_distance_of_sets_on_two_points_has_a_closed_form() -> None:
    # The real points are 0, 2 and 2 (median distance 2), all generated ones 4.
    real, generated = np.array([[0.0], [2], [2]]), np.full((5, 1), 4.0)
    near, far = np.exp(-4 / 8), np.exp(-16 / 8)
    assert kernel_distance(real, generated) == pytest.approx(100 * ((1 + 2 * near) / 3 + 1 - 2 * (2 * near + far) / 3))
    assert kernel_distance(np.zeros((4, 2)), np.zeros((5, 2))) == pytest.approx(0), "a bandwidth of 0"
    assert kernel_distance(np.zeros((4, 2)), np.ones((5, 2))) == pytest.approx(200)


@given(seed=seeds, n=st.integers(2, 6), m=st.integers(2, 6), scale=st.floats(0.01, 100))
def test_kernel_distance_is_the_sum_over_pairs_and_independent_of_scale(
    seed: int, n: int, m: int, scale: float
) -> None:
    rng = np.random.default_rng(seed)
    real, generated = rng.normal(size=(n, 3)), rng.normal(size=(m, 3))
    bandwidth = np.median([np.linalg.norm(x - y) for i, x in enumerate(real) for y in real[:i]])

    def kernel(x: Points, y: Points) -> float:
        return float(np.exp(-np.square(x - y).sum() / (2 * bandwidth**2)))

    within = [
        np.mean([kernel(x, y) for i, x in enumerate(points) for j, y in enumerate(points) if i != j])
        for points in (real, generated)
    ]
    between = np.mean([kernel(x, y) for x in real for y in generated])
    assert kernel_distance(real * scale, generated * scale) == pytest.approx(100 * (sum(within) - 2 * between))


def test_one_outlier_hardly_changes_the_kernel_distance() -> None:
    rng = np.random.default_rng(0)
    real, generated = rng.normal(size=(100, 8)), rng.normal(size=(100, 8))
    with_outlier = np.vstack([generated[1:], np.full((1, 8), 1000.0)])
    assert kernel_distance(real, with_outlier) == pytest.approx(kernel_distance(real, generated), abs=1)
    assert frechet_distance(real, with_outlier) > 1000 * frechet_distance(real, generated)


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


def line(*positions: float) -> Points:
    return np.array(positions, dtype=np.float64)[:, None]


def test_prdc_of_points_on_a_line_matches_counts_by_hand() -> None:
    real = line(0, 1, 2, 10)  # radii for k = 1: 1, 1, 1, 8
    generated = line(0.5, 3, 30)  # radii: 2.5, 2.5, 27
    # 0.5 lies within the radii of 0 and 1 (that of 10 ends at 2); 3 within those of 2 and 10; 30 within none.
    # 0, 1 and 2 lie within the radius of 0.5; 10 within that of 30, which ends at 3.
    assert prdc(real, generated, k=1) == PRDC(precision=2 / 3, recall=1, density=4 / 3, coverage=1)
    # With two neighbors 0.5 lies within the radii of 0, 1 and 2, and all real points within its own radius of 39.5.
    assert prdc(real, line(0.5, 30, 40), k=2) == PRDC(1 / 3, 1, 3 / 6, 3 / 4)


def test_prdc_of_identical_and_of_distant_sets() -> None:
    points = np.random.default_rng(0).normal(size=(50, 3))
    same, distant = prdc(points, points), prdc(points, points + 100)
    assert same[:2] == (1, 1) and same.coverage == 1
    assert same.density == pytest.approx(6 / 5), "a point itself, and k others on average"
    assert distant == (0, 0, 0, 0)


@given(seed=seeds, n=st.integers(7, 30), m=st.integers(7, 30), k=st.integers(1, 6), scale=st.floats(0.01, 100))
def test_prdc_is_bounded_and_invariant_to_order_scale_and_rotation(
    seed: int, n: int, m: int, k: int, scale: float
) -> None:
    rng = np.random.default_rng(seed)
    real, generated = rng.normal(size=(n, 3)), rng.normal(0.5, 1, size=(m, 3))
    result = prdc(real, generated, k)
    assert all(0 <= share <= 1 for share in (result.precision, result.recall, result.coverage))
    assert result.precision / k <= result.density + 1e-12 and result.density <= n / k
    rotation = np.linalg.qr(rng.normal(size=(3, 3)))[0] * scale
    assert prdc(rng.permutation(real) @ rotation, rng.permutation(generated) @ rotation, k) == pytest.approx(result)
    assert result.precision == prdc(generated, real, k).recall


def test_prdc_of_two_draws_of_one_distribution_has_the_expected_density_and_coverage() -> None:
    rng = np.random.default_rng(0)
    result = np.mean([prdc(rng.normal(size=(300, 4)), rng.normal(size=(300, 4))) for _ in range(10)], axis=0)
    # Naeem et al. 2020: 1, and 1 - (n-1)…(n-k) / ((2n-1)…(2n-k)), the chance that the k nearest of 2n - 1 are all real.
    uncovered = np.prod([(299 - i) / (599 - i) for i in range(5)])
    assert result[2] == pytest.approx(1, abs=0.05)
    assert result[3] == pytest.approx(1 - uncovered, abs=0.01)


def test_one_real_outlier_raises_precision_and_hardly_density() -> None:
    rng = np.random.default_rng(0)
    real, distant = rng.normal(size=(100, 2)), rng.normal(8, 1, size=(100, 2))
    with_outlier = np.vstack([real, [[30, 30]]])
    assert prdc(real, distant).precision < 0.1
    result = prdc(with_outlier, distant)
    assert result.precision == 1 and result.density < 0.35


def test_prdc_refuses_too_few_points_and_different_embeddings() -> None:
    with pytest.raises(DataError, match="5 nearest"):
        prdc(np.zeros((5, 2)), np.zeros((9, 2)))
    with pytest.raises(DataError, match="0 nearest"):
        prdc(np.zeros((5, 2)), np.zeros((9, 2)), k=0)
    with pytest.raises(DataError, match="one embedding"):
        prdc(np.zeros((9, 2)), np.zeros((9, 3)))


@pytest.fixture(scope="module")
def real() -> Points:
    return LogMelStatistics(SECONDS).embed(fresh(160, seed=0)[0], RATE)


@pytest.fixture(scope="module")
def baseline(real: Points) -> PRDC:
    """The minimum over five draws of fresh sounds."""
    draws = (LogMelStatistics(SECONDS).embed(fresh(160, seed=seed)[0], RATE) for seed in range(2, 7))
    return PRDC(*np.min([prdc(real, draw) for draw in draws], axis=0))


@pytest.mark.parametrize("name", DEGRADED)
def test_degraded_sounds_lose_precision_and_density(name: str, real: Points, baseline: PRDC) -> None:
    result = prdc(real, LogMelStatistics(SECONDS).embed(DEGRADED[name](fresh(160, seed=1)[0]), RATE))
    assert result.precision < baseline.precision - 0.2
    assert result.density < baseline.density / 2


@pytest.mark.parametrize("name", ["near duplicates", "one class"])
def test_missing_variety_loses_recall_and_coverage_only(name: str, real: Points, baseline: PRDC) -> None:
    waves = copies(fresh(160, seed=0)[0], 160) if name == "near duplicates" else one_class(160, seed=1)
    result = prdc(real, LogMelStatistics(SECONDS).embed(waves, RATE))
    assert result.recall < baseline.recall - 0.3
    assert result.coverage < baseline.coverage - 0.3
    assert result.precision >= baseline.precision - 0.05
