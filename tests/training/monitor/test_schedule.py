"""The schedule of validations, and the stopping criterion: limits, early stopping, remaining time."""

from __future__ import annotations

import math
from itertools import accumulate, pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from soundgan.settings import check_settings
from soundgan.training.monitor.schedule import (
    DEFAULT_MINUTES,
    FIRST_VALIDATION,
    GROWTH,
    MIN_SAMPLES,
    StoppingCriterion,
    is_validation_due,
)
from soundgan.training.runtime.rng import PairedSampler, samples_per_epoch
from soundgan.training.state.train_state import Progress

RECORDINGS = 50


def criterion(**changes: object) -> StoppingCriterion:
    return StoppingCriterion(check_settings(changes).run, RECORDINGS)  # type: ignore[arg-type]


@given(st.lists(st.integers(1, 5000), min_size=2, max_size=30))
def test_schedule_does_not_depend_on_how_training_is_interrupted(steps: list[int]) -> None:
    counts = list(accumulate(steps, initial=0))
    for middle in counts[1:-1]:
        split = is_validation_due(0, middle) or is_validation_due(middle, counts[-1])
        assert is_validation_due(0, counts[-1]) == split
    first = next((count for count in counts if count >= FIRST_VALIDATION), None)
    due = [now for before, now in pairwise(counts) if is_validation_due(before, now)]
    assert due[:1] == ([first] if first is not None else [])


def test_intervals_grow_geometrically() -> None:
    due = [samples_seen for samples_seen in range(1, 60_000) if is_validation_due(samples_seen - 1, samples_seen)]
    assert due[0] == FIRST_VALIDATION
    ratios = np.array(due[1:]) / due[:-1]
    np.testing.assert_allclose(ratios, GROWTH, rtol=2e-3)


@pytest.mark.parametrize(
    ("changes", "progress", "fraction"),
    [
        ({}, Progress(10**9, seconds=30 * DEFAULT_MINUTES), 0.5),
        ({"minutes": 2.0}, Progress(10**9, seconds=30), 0.25),
        ({"max_samples": 400}, Progress(100, seconds=1e9), 0.25),
        ({"num_epochs": 4}, Progress(100, seconds=1e9), 0.5),
        ({"num_epochs": 4, "max_samples": 125}, Progress(100), 0.8),  # whichever comes first
        ({"num_epochs": 2, "max_samples": 1000}, Progress(50), 0.5),
        ({"max_samples": 400, "minutes": 1.0}, Progress(100, seconds=45), 0.75),
        ({"max_samples": 400}, Progress(500), 1.0),
        ({"minutes": "auto", "max_samples": 400}, Progress(100), 0.25),
    ],
)
def test_fraction_is_that_of_the_limit_reached_first(
    changes: dict[str, object], progress: Progress, fraction: float
) -> None:
    assert criterion(**changes).fraction(progress) == pytest.approx(fraction)
    assert criterion(**changes).is_finished(progress) == (fraction == 1)


@given(st.lists(st.integers(0, 6), min_size=1, max_size=60))
def test_epoch_contains_every_recording(labels: list[int]) -> None:
    size = samples_per_epoch(np.array(labels))
    assert len(labels) <= size <= len(labels) + len(set(labels))
    assert set(PairedSampler(0, np.array(labels))(0, size).tolist()) == set(range(len(labels)))


def test_seconds_left_follow_from_the_speed() -> None:
    assert criterion(minutes=2.0).seconds_left(Progress(10, seconds=30), 5) == 90
    assert criterion(max_samples=400).seconds_left(Progress(100), 20) == 15
    assert criterion(max_samples=400, minutes=1.0).seconds_left(Progress(100, seconds=50), 20) == 10
    assert criterion(max_samples=400).seconds_left(Progress(500), 20) == 0
    assert math.isfinite(criterion(max_samples=400).seconds_left(Progress(0), 0))


def test_early_stopping_waits_for_a_first_validation() -> None:
    auto = criterion(minutes="auto")
    assert auto.early_stopping and not criterion(minutes=1.0).early_stopping
    for samples_seen in (0, 10**6, 10**9):
        assert auto.fraction(Progress(samples_seen, seconds=1e9)) == 0
    assert auto.seconds_left(Progress(500), 20) == math.inf


def test_early_stopping_waits_for_min_samples_however_early_the_best() -> None:
    auto = criterion(minutes="auto")
    auto.set_best_samples_seen(2000)
    assert not auto.is_finished(Progress(MIN_SAMPLES - 1)) and auto.is_finished(Progress(MIN_SAMPLES))


@given(batch=st.integers(2, 128), best=st.integers(10_000, 500_000))
def test_early_stopping_ends_after_two_validations_without_improvement(batch: int, best: int) -> None:
    auto, progress, validations = criterion(minutes="auto"), Progress(best // batch * batch), 0
    while not is_validation_due(progress.samples_seen, progress.samples_seen + batch):
        progress.samples_seen += batch
    progress.samples_seen += batch
    auto.set_best_samples_seen(progress.samples_seen)
    while not auto.is_finished(progress):
        validations += is_validation_due(progress.samples_seen, progress.samples_seen + batch)
        progress.samples_seen += batch
    assert validations == 2


def test_new_best_validation_postpones_the_end() -> None:
    auto = criterion(minutes="auto")
    auto.set_best_samples_seen(20_000)
    before = auto.seconds_left(Progress(30_000), 10)
    assert 0.5 < auto.fraction(Progress(30_000)) < 1
    auto.set_best_samples_seen(30_000)
    assert auto.seconds_left(Progress(30_000), 10) > before


def test_best_validation_does_not_matter_where_the_end_is_set() -> None:
    fixed = criterion(max_samples=1000)
    fixed.set_best_samples_seen(10)
    assert fixed.fraction(Progress(500)) == 0.5
