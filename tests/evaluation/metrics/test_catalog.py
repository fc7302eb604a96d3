from __future__ import annotations

import pytest

from soundgan.evaluation.metrics.catalog import METRICS, Estimate


@pytest.mark.parametrize(
    ("metric", "reached"),
    [
        ("recall", (False, True, True)),
        ("frechet_distance", (True, True, False)),
        ("density", (False, True, False)),
    ],
)
def test_baseline_is_reached_inside_of_its_interval_and_on_the_better_side(
    metric: str, reached: tuple[bool, ...]
) -> None:
    baseline = Estimate(0.5, 0.4, 0.6)
    assert tuple(METRICS[metric].matches_baseline(Estimate(value), baseline) for value in (0.3, 0.5, 0.7)) == reached


def test_every_metric_has_a_description() -> None:
    assert all(metric.title and metric.description.endswith(".") for metric in METRICS.values())
