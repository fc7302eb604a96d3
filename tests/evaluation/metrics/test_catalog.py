from __future__ import annotations

import pytest

from soundgan.evaluation.metrics.catalog import FEW_SOUNDS, METRICS, Estimate


@pytest.mark.parametrize(
    ("metric", "marks"),
    [("recall", ("", "✓", "✓")), ("frechet_distance", ("✓", "✓", "")), ("density", ("", "✓", ""))],
)
def test_mark_stands_inside_of_the_baselines_interval_and_on_the_better_side(
    metric: str, marks: tuple[str, ...]
) -> None:
    baseline = Estimate(0.5, 0.4, 0.6)
    for n, expected in ((FEW_SOUNDS, marks), (FEW_SOUNDS - 1, tuple("?" if mark else "" for mark in marks))):
        given = tuple(METRICS[metric].comparison_mark(Estimate(value), baseline, n) for value in (0.3, 0.5, 0.7))
        assert given == expected
    assert (
        METRICS[metric].comparison_mark(None, baseline, 99) == METRICS[metric].comparison_mark(baseline, None, 99) == ""
    )


def test_every_metric_has_a_description() -> None:
    assert all(metric.title and metric.description.endswith(".") for metric in METRICS.values())
