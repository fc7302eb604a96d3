"""Scores of sets of sounds whose quality is known by construction."""

from __future__ import annotations

import pytest
from toy_sounds import burst, draw, tone

from soundgan.errors import DataError
from soundgan.evaluation.data import EvaluationData, RealSplit, Sounds
from soundgan.evaluation.metrics.catalog import METRICS, Metric, SoundSet
from soundgan.evaluation.score import Scores, score


def value(scores: Scores, metric: Metric, name: SoundSet = SoundSet.GENERATED) -> float:
    return scores.table[name].estimates[metric].value


def test_fresh_sounds_of_the_same_kind_reach_the_real_baseline() -> None:
    scores = score(EvaluationData(draw(tone, 60, 1), RealSplit(draw(tone, 120, 2), draw(tone, 60, 3))))
    assert scores.size == 60 and [row.n for row in scores.table.values()] == [60, 60]
    generated, baseline = (row.estimates for row in scores.table.values())
    assert set(generated) == set(METRICS) - {
        Metric.ACCURACY, Metric.INCEPTION_SCORE, Metric.MODIFIED_INCEPTION_SCORE, Metric.AM_SCORE
    }  # fmt: skip
    for metric in (Metric.FRECHET_DISTANCE, Metric.PRECISION, Metric.RECALL, Metric.DENSITY, Metric.COVERAGE):
        (_, low, high), (_, other_low, other_high) = generated[metric], baseline[metric]
        assert low is not None and other_low is not None and high is not None and other_high is not None
        assert max(low, other_low) <= min(high, other_high), metric
    assert value(scores, Metric.MEMORIZED_FRACTION, SoundSet.REAL_BASELINE) == pytest.approx(0.05, abs=0.02)
    assert value(scores, Metric.MEMORIZED_FRACTION) < 0.2


def test_every_failure_mode_changes_its_metric() -> None:
    real = RealSplit(draw(tone, 120, 2), draw(tone, 60, 3))

    def scored(generated: Sounds) -> Scores:
        return score(EvaluationData(generated, real))

    noise, copies, collapsed = (
        scored(generated) for generated in (draw(burst, 60, 4), real.train[range(60)], draw(tone, 3, 5)[[0, 1, 2] * 20])
    )
    assert value(noise, Metric.PRECISION) < 0.1 and value(noise, Metric.COVERAGE) < 0.1
    baseline = value(noise, Metric.FRECHET_DISTANCE, SoundSet.REAL_BASELINE)
    assert value(noise, Metric.FRECHET_DISTANCE) > 5 * baseline
    baseline = value(noise, Metric.KERNEL_DISTANCE, SoundSet.REAL_BASELINE)
    assert value(noise, Metric.KERNEL_DISTANCE) > 10 * abs(baseline)
    assert value(noise, Metric.NDB) > 0.5
    assert value(copies, Metric.MEMORIZED_FRACTION) == 1 and value(copies, Metric.COVERAGE) > 0.9
    assert copies.pairs[0].distance == pytest.approx(0, abs=1e-3)
    assert all(pair.generated == pair.real for pair in copies.pairs)
    assert value(collapsed, Metric.PRECISION) > 0.6
    assert value(collapsed, Metric.RECALL) < 0.2 and value(collapsed, Metric.COVERAGE) < 0.4


def test_sets_are_compared_at_one_size_and_generated_full_with_all_training_sounds() -> None:
    real = RealSplit(draw(tone, 40, 2), draw(tone, 12, 3))
    generated = draw(tone, 50, 1)
    data = EvaluationData(generated, real, draw(tone, 40, 6))
    scores = score(data)
    assert scores.size == 12
    assert {name: row.n for name, row in scores.table.items()} == {
        SoundSet.GENERATED: 50, SoundSet.REAL_BASELINE: 12,
        SoundSet.GENERATED_FULL: 40, SoundSet.REAL_BASELINE_FULL: 12,
    }  # fmt: skip
    assert score(data).table == scores.table
    (row, _) = score(EvaluationData(generated[range(2)], real)).table.values()
    assert row.estimates[Metric.FRECHET_DISTANCE].low is None and row.n == 2
    with pytest.raises(DataError, match="use two of each"):
        score(EvaluationData(generated[range(1)], real))
