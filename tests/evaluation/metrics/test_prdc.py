from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from sets import DEGRADED, RATE, SECONDS, copies, fresh, one_class

from soundgan.errors import DataError
from soundgan.evaluation.features.embedding import LogMelStatistics
from soundgan.evaluation.metrics.prdc import PRDC, prdc

seeds = st.integers(0, 2**32 - 1)


def line(*positions: float) -> NDArray[np.float64]:
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
def real() -> NDArray[np.float64]:
    return LogMelStatistics(SECONDS).embed(fresh(160, seed=0)[0], RATE)


@pytest.fixture(scope="module")
def baseline(real: NDArray[np.float64]) -> PRDC:
    """The minimum over five draws of fresh sounds."""
    draws = (LogMelStatistics(SECONDS).embed(fresh(160, seed=seed)[0], RATE) for seed in range(2, 7))
    return PRDC(*np.min([prdc(real, draw) for draw in draws], axis=0))


@pytest.mark.parametrize("name", DEGRADED)
def test_degraded_sounds_lose_precision_and_density(name: str, real: NDArray[np.float64], baseline: PRDC) -> None:
    result = prdc(real, LogMelStatistics(SECONDS).embed(DEGRADED[name](fresh(160, seed=1)[0]), RATE))
    assert result.precision < baseline.precision - 0.2
    assert result.density < baseline.density / 2


@pytest.mark.parametrize("name", ["near duplicates", "one class"])
def test_missing_variety_loses_recall_and_coverage_only(name: str, real: NDArray[np.float64], baseline: PRDC) -> None:
    waves = copies(fresh(160, seed=0)[0], 160) if name == "near duplicates" else one_class(160, seed=1)
    result = prdc(real, LogMelStatistics(SECONDS).embed(waves, RATE))
    assert result.recall < baseline.recall - 0.3
    assert result.coverage < baseline.coverage - 0.3
    assert result.precision >= baseline.precision - 0.05
