from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from soundgan.errors import DataError
from soundgan.evaluation.metrics.confidence import confidence_interval, wilson_interval
from soundgan.evaluation.metrics.set_metrics import frechet_distance, prdc

Points = NDArray[np.float64]


def mean(points: Points) -> float:
    return float(points.mean())


@pytest.mark.parametrize("n", [30, 31, 400])
def test_confidence_interval_of_a_mean_is_two_standard_errors(n: int) -> None:
    points = np.random.default_rng(0).normal(size=n)
    low, high = confidence_interval(mean, points, rounds=4000)
    assert high - low == pytest.approx(2 * 1.96 * points.std(ddof=1) / np.sqrt(n), rel=0.08)
    assert (low + high) / 2 == pytest.approx(points.mean(), abs=0.05 * (high - low))


def test_confidence_interval_covers_the_truth_at_its_level() -> None:
    rng = np.random.default_rng(0)
    for level in (0.8, 0.95):
        ends = [confidence_interval(mean, rng.exponential(size=60), seed=seed, level=level) for seed in range(300)]
        assert np.mean([low <= 1 <= high for low, high in ends]) == pytest.approx(level, abs=0.06)


def precision(real: Points, generated: Points) -> float:
    return prdc(real, generated).precision


def coverage(real: Points, generated: Points) -> float:
    return prdc(real, generated).coverage


@pytest.mark.parametrize("statistic", [frechet_distance, precision, coverage])
def test_confidence_interval_is_as_wide_as_the_scatter_of_new_sets(
    statistic: Callable[[Points, Points], float],
) -> None:
    rng = np.random.default_rng(0)

    def draw() -> tuple[Points, Points]:
        return rng.normal(size=(100, 5)), rng.normal(0.7, 1, size=(100, 5))

    scatter = np.std([statistic(*draw()) for _ in range(200)])
    widths = [np.ptp(confidence_interval(statistic, *draw(), seed=seed, rounds=100)) for seed in range(10)]
    assert 0.7 < np.mean(widths) / (2 * 1.96 * scatter) < 1.5


@given(seed=st.integers(0, 99), n=st.integers(2, 40), level=st.floats(0.1, 0.99))
def test_confidence_interval_contains_the_estimate_and_grows_with_the_level(seed: int, n: int, level: float) -> None:
    points = np.random.default_rng(seed).exponential(size=n)
    low, high = confidence_interval(mean, points, seed=seed, rounds=20, level=level)
    assert low <= points.mean() <= high
    wider = confidence_interval(mean, points, seed=seed, rounds=20, level=(1 + level) / 2)
    assert wider[0] <= low and high <= wider[1]
    assert (low, high) == confidence_interval(mean, points, seed=seed, rounds=20, level=level)


def test_confidence_intervals_of_several_statistics_equal_those_of_each_alone() -> None:
    real, generated = np.random.default_rng(0).normal(size=(2, 30, 3))
    low, high = confidence_interval(lambda *sets: prdc(*sets)[::3], real, generated, rounds=30)
    for index, statistic in enumerate((precision, coverage)):
        assert (low[index], high[index]) == confidence_interval(statistic, real, generated, rounds=30)


def test_half_sampling_repeats_no_row_and_halves_each_sample_independently() -> None:
    calls: list[tuple[Points, Points]] = []

    def note(first: Points, second: Points) -> float:
        calls.append((first, second))
        return 0.0

    assert confidence_interval(note, np.arange(10), np.arange(10, 17), rounds=30) == (0, 0)
    halves = [(a, b) for a, b in calls if len(a) < 10]
    assert len(halves) == 30
    assert all(len(set(a)) == len(a) == 5 and len(set(b)) == len(b) == 4 for a, b in halves)
    assert len({tuple(a) for a, _ in halves}) > 20


def test_confidence_interval_refuses_single_rows_and_values_out_of_range() -> None:
    with pytest.raises(DataError, match="halved"):
        confidence_interval(mean, np.zeros(1))
    with pytest.raises(DataError, match="halved"):
        confidence_interval(mean)
    with pytest.raises(DataError, match="rounds = 1"):
        confidence_interval(mean, np.zeros(4), rounds=1)
    with pytest.raises(DataError, match=r"level = 1\.5"):
        confidence_interval(mean, np.zeros(4), level=1.5)


@given(st.integers(1, 500), st.data())
def test_wilson_interval_contains_the_share_and_has_positive_width(n: int, draw: st.DataObject) -> None:
    successes = draw.draw(st.integers(0, n))
    low, high = wilson_interval(successes, n)
    assert 0 <= low <= successes / n + 1e-12 and successes / n - 1e-12 <= high <= 1 and high - low > 1 / (n + 2)
