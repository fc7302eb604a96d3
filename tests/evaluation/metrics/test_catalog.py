from __future__ import annotations

import pytest

from soundgan.evaluation.metrics.catalog import METRICS, Estimate, Metric


@pytest.mark.parametrize(
    ("metric", "reached"),
    [
        (Metric.RECALL, (False, True, True)),
        (Metric.FRECHET_DISTANCE, (True, True, False)),
        (Metric.DENSITY, (False, True, False)),
    ],
)
def test_baseline_is_reached_inside_of_its_interval_and_on_the_better_side(
    metric: Metric, reached: tuple[bool, ...]
) -> None:
    baseline = Estimate(0.5, 0.4, 0.6)
    assert tuple(METRICS[metric].matches_baseline(Estimate(value), baseline) for value in (0.3, 0.5, 0.7)) == reached


def test_every_metric_has_a_description() -> None:
    assert set(METRICS) == set(Metric)
    assert all(info.title and info.description.endswith(".") for info in METRICS.values())
