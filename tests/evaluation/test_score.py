"""Scores of sets of sounds whose quality is known by construction."""

from __future__ import annotations

from dataclasses import replace

import pytest
from toy_sounds import burst, draw, tone

from soundgan.errors import DataError
from soundgan.evaluation.features.descriptors import Descriptor
from soundgan.evaluation.features.predictions import ClassifierName
from soundgan.evaluation.metrics.catalog import METRICS, SoundSet
from soundgan.evaluation.score import Scores, score
from soundgan.evaluation.sounds import RealSplit, Sounds


def value(scores: Scores, metric: str, name: SoundSet = SoundSet.GENERATED) -> float:
    return scores.table[name].estimates[metric].value


def test_fresh_sounds_of_the_same_kind_reach_the_real_baseline() -> None:
    scores = score(draw(tone, 60, 1), RealSplit(draw(tone, 120, 2), draw(tone, 60, 3)))
    assert scores.size == 60 and [row.n for row in scores.table.values()] == [60, 60]
    generated, baseline = (row.estimates for row in scores.table.values())
    assert set(generated) == set(METRICS) - {
        "accuracy", "second_accuracy", "inception_score", "modified_inception_score", "am_score"
    }  # fmt: skip
    for metric in ("frechet_distance", "precision", "recall", "density", "coverage"):
        (_, low, high), (_, other_low, other_high) = generated[metric], baseline[metric]
        assert low is not None and other_low is not None and high is not None and other_high is not None
        assert max(low, other_low) <= min(high, other_high), metric
    assert value(scores, "memorized_fraction", SoundSet.REAL_BASELINE) == pytest.approx(0.05, abs=0.02)
    assert value(scores, "memorized_fraction") < 0.2


def test_every_failure_mode_changes_its_metric() -> None:
    real = RealSplit(draw(tone, 120, 2), draw(tone, 60, 3))
    noise, copies, collapsed = (
        score(generated, real)
        for generated in (draw(burst, 60, 4), real.train[range(60)], draw(tone, 3, 5)[[0, 1, 2] * 20])
    )
    assert value(noise, "precision") < 0.1 and value(noise, "coverage") < 0.1
    baseline = value(noise, "frechet_distance", SoundSet.REAL_BASELINE)
    assert value(noise, "frechet_distance") > 5 * baseline
    for key in ("kernel_distance", "second_kernel_distance"):
        assert value(noise, key) > 10 * abs(value(noise, key, SoundSet.REAL_BASELINE)), key
    assert value(noise, "ndb") > 0.5
    assert value(copies, "memorized_fraction") == 1 and value(copies, "coverage") > 0.9
    assert copies.pairs[0][2] == pytest.approx(0, abs=1e-3)
    assert all(i == nearest for i, nearest, _ in copies.pairs)
    assert value(collapsed, "precision") > 0.6
    assert value(collapsed, "recall") < 0.2 and value(collapsed, "coverage") < 0.4


def test_sets_are_compared_at_one_size_and_generated_full_with_all_training_sounds() -> None:
    real = RealSplit(draw(tone, 40, 2), draw(tone, 12, 3))
    generated, full = draw(tone, 50, 1), draw(tone, 40, 6)
    scores = score(generated, real, generated_full=full)
    assert scores.size == 12
    assert {name: row.n for name, row in scores.table.items()} == {
        SoundSet.GENERATED: 50, SoundSet.REAL_BASELINE: 12,
        SoundSet.GENERATED_FULL: 40, SoundSet.REAL_BASELINE_FULL: 12,
    }  # fmt: skip
    assert score(generated, real, generated_full=full).table == scores.table
    (row, _) = score(generated[range(2)], real).table.values()
    assert row.estimates["frechet_distance"].low is None and row.n == 2
    with pytest.raises(DataError, match="use two of each"):
        score(generated[range(1)], real)


def test_second_classifier_recognizes_labels_without_the_first_and_confuses_swapped_ones() -> None:
    def sounds(seed: int, n: int, labels: str = "37") -> Sounds:
        return replace(draw(tone, n, seed) + draw(burst, n, seed + 100), labels=[labels[0]] * n + [labels[1]] * n)

    real = RealSplit(sounds(1, 30), sounds(2, 20))
    good, swapped = (score(sounds(3, 20, labels), real, generated_full=sounds(4, 30)) for labels in ("37", "73"))
    assert [*good.predictions] == [ClassifierName.SECOND] and good.n_described == {"3": 50, "7": 50}
    assert value(good, "second_accuracy") > 0.9 and value(swapped, "second_accuracy") < 0.1
    for name in (SoundSet.REAL_BASELINE, SoundSet.GENERATED_FULL):
        assert value(swapped, "second_accuracy", name) > 0.9
    assert "accuracy" not in good.table[SoundSet.GENERATED].estimates
    assert score(sounds(3, 20), real, generated_full=sounds(4, 30)).table == good.table


def test_descriptors_are_compared_by_label_with_all_sounds_and_their_levels_as_recorded() -> None:
    def sounds(seed: int, n: int, peak_db: float) -> Sounds:
        both = draw(tone, n, seed) + draw(burst, n, seed + 100)
        return replace(both, labels=["3"] * n + ["7"] * n, peaks_db=[peak_db] * (2 * n))

    real = RealSplit(sounds(1, 20, -20.0), sounds(2, 20, -20.0))
    comparisons = score(sounds(3, 20, -1.0), real, generated_full=sounds(4, 20, -1.0)).descriptors
    assert list(comparisons) == ["3", "7"]
    for label in comparisons:
        level = comparisons[label][Descriptor.LEVEL]
        assert (level.real, level.generated) == (-20, -1)
        faults = [comparison.fault for comparison in comparisons[label].values() if comparison.fault]
        assert faults == ["sounds are too loud: -1.0 dBFS, recordings -20 dBFS"]
    assert Descriptor.PITCH not in comparisons["7"]
