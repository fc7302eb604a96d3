from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from sets import RATE, SECONDS, SPOILT, fresh, near_duplicate_rate, one_class

from soundgan.errors import DataError
from soundgan.evaluation.features.embedding import LogMelStatistics
from soundgan.evaluation.metrics.prdc import Manifold, compare

seeds = st.integers(0, 2**32 - 1)


def line(*places: float) -> NDArray[np.float64]:
    return np.array(places, dtype=np.float64)[:, None]


def test_on_a_line_counted_by_hand() -> None:
    real = line(0, 1, 2, 10)  # reach of the nearest: 1, 1, 1, 8
    made = line(0.5, 3, 30)  # reach: 2.5, 2.5, 27
    # 0.5 lies within reach of 0 and 1 (10 reaches down to 2); 3 of 2 and 10; 30 of none.
    # 0, 1 and 2 lie within reach of 0.5; 10 of 30, which reaches down to 3.
    assert compare(real, made, k=1) == Manifold(precision=2 / 3, recall=1, density=4 / 3, coverage=1)
    # With two neighbours 0.5 lies within reach of 0, 1 and 2, and all of the real within the 39.5 that it reaches.
    assert compare(real, line(0.5, 30, 40), k=2) == Manifold(1 / 3, 1, 3 / 6, 3 / 4)


def test_identical_and_separate_sets() -> None:
    points = np.random.default_rng(0).normal(size=(50, 3))
    same, apart = compare(points, points), compare(points, points + 100)
    assert same[:2] == (1, 1) and same.coverage == 1
    assert same.density == pytest.approx(6 / 5), "itself, and as many others as reach it: k on average"
    assert apart == (0, 0, 0, 0)


@given(seed=seeds, n=st.integers(7, 30), m=st.integers(7, 30), k=st.integers(1, 6), scale=st.floats(0.01, 100))
def test_figures_are_shares_and_know_no_order_scale_or_rotation(
    seed: int, n: int, m: int, k: int, scale: float
) -> None:
    rng = np.random.default_rng(seed)
    real, made = rng.normal(size=(n, 3)), rng.normal(0.5, 1, size=(m, 3))
    found = compare(real, made, k)
    assert all(0 <= share <= 1 for share in (found.precision, found.recall, found.coverage))
    assert found.precision / k <= found.density + 1e-12 and found.density <= n / k
    turn = np.linalg.qr(rng.normal(size=(3, 3)))[0] * scale
    assert compare(rng.permutation(real) @ turn, rng.permutation(made) @ turn, k) == pytest.approx(found)
    assert found.precision == compare(made, real, k).recall


def test_two_draws_of_one_distribution_have_the_expected_density_and_coverage() -> None:
    rng = np.random.default_rng(0)
    found = np.mean([compare(rng.normal(size=(300, 4)), rng.normal(size=(300, 4))) for _ in range(10)], axis=0)
    # Naeem et al. 2020: 1, and 1 - (n-1)…(n-k) / ((2n-1)…(2n-k)), of which the first k of 2n - 1 others are real.
    imle_loss = np.prod([(299 - i) / (599 - i) for i in range(5)])
    assert found[2] == pytest.approx(1, abs=0.05)
    assert found[3] == pytest.approx(1 - imle_loss, abs=0.01)


def test_one_real_outlier_raises_precision_and_hardly_density() -> None:
    rng = np.random.default_rng(0)
    real, odd = rng.normal(size=(100, 2)), rng.normal(8, 1, size=(100, 2))
    with_outlier = np.vstack([real, [[30, 30]]])
    assert compare(real, odd).precision < 0.1
    found = compare(with_outlier, odd)
    assert found.precision == 1 and found.density < 0.35


def test_too_few_sounds_and_other_embeddings_are_refused() -> None:
    with pytest.raises(DataError, match="5 nearest"):
        compare(np.zeros((5, 2)), np.zeros((9, 2)))
    with pytest.raises(DataError, match="0 nearest"):
        compare(np.zeros((5, 2)), np.zeros((9, 2)), k=0)
    with pytest.raises(DataError, match="one embedding"):
        compare(np.zeros((9, 2)), np.zeros((9, 3)))


@pytest.fixture(scope="module")
def real() -> NDArray[np.float64]:
    return LogMelStatistics(SECONDS).embed(fresh(160, seed=0)[0], RATE)


@pytest.fixture(scope="module")
def ceiling(real: NDArray[np.float64]) -> Manifold:
    """The least that fresh sounds have in five draws."""
    draws = (LogMelStatistics(SECONDS).embed(fresh(160, seed=seed)[0], RATE) for seed in range(2, 7))
    return Manifold(*np.min([compare(real, draw) for draw in draws], axis=0))


@pytest.mark.parametrize("name", SPOILT)
def test_spoilt_sounds_lose_precision_and_density(name: str, real: NDArray[np.float64], ceiling: Manifold) -> None:
    found = compare(real, LogMelStatistics(SECONDS).embed(SPOILT[name](fresh(160, seed=1)[0]), RATE))
    assert found.precision < ceiling.precision - 0.2
    assert found.density < ceiling.density / 2


@pytest.mark.parametrize("name", ["near_duplicate_rate", "one class"])
def test_missing_variety_loses_recall_and_coverage_only(
    name: str, real: NDArray[np.float64], ceiling: Manifold
) -> None:
    waves = near_duplicate_rate(fresh(160, seed=0)[0], 160) if name == "near_duplicate_rate" else one_class(160, seed=1)
    found = compare(real, LogMelStatistics(SECONDS).embed(waves, RATE))
    assert found.recall < ceiling.recall - 0.3
    assert found.coverage < ceiling.coverage - 0.3
    assert found.precision >= ceiling.precision - 0.05
