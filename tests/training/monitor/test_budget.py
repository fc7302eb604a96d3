"""When a training is over."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from soundgan.settings import Settings
from soundgan.training.monitor.budget import DEFAULT_MINUTES, LEAST_SOUNDS, Budget
from soundgan.training.monitor.validation import is_validation_due
from soundgan.training.runtime.rng import PairedSampler, samples_per_epoch
from soundgan.training.state.checkpoint import Progress

RECORDINGS = 50


def budget(**changes: object) -> Budget:
    return Budget(Settings.from_flat(**changes), RECORDINGS)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("changes", "progress", "done"),
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
def test_the_share_that_is_spent_is_that_of_what_ends_first(
    changes: dict[str, object], progress: Progress, done: float
) -> None:
    assert budget(**changes).done(progress) == pytest.approx(done)
    assert budget(**changes).spent(progress) == (done == 1)


@given(st.lists(st.integers(0, 6), min_size=1, max_size=60))
def test_a_pass_shows_every_recording(labels: list[int]) -> None:
    size = samples_per_epoch(np.array(labels))
    assert len(labels) <= size <= len(labels) + len(set(labels))
    assert set(PairedSampler(0, np.array(labels))(0, size).tolist()) == set(range(len(labels)))


def test_what_is_left_follows_from_the_speed() -> None:
    assert budget(minutes=2.0).seconds_left(Progress(10, seconds=30), 5) == 90
    assert budget(max_samples=400).seconds_left(Progress(100), 20) == 15
    assert budget(max_samples=400, minutes=1.0).seconds_left(Progress(100, seconds=50), 20) == 10
    assert budget(max_samples=400).seconds_left(Progress(500), 20) == 0
    assert math.isfinite(budget(max_samples=400).seconds_left(Progress(0), 0))


def test_auto_does_not_end_before_a_check_has_found_anything() -> None:
    auto = budget(minutes="auto")
    assert auto.auto and not budget(minutes=1.0).auto
    for samples_seen in (0, 10**6, 10**9):
        assert auto.done(Progress(samples_seen, seconds=1e9)) == 0
    assert auto.seconds_left(Progress(500), 20) == math.inf


def test_auto_sees_many_sounds_before_it_ends_however_early_the_best() -> None:
    auto = budget(minutes="auto")
    auto.found_best(2000)
    assert not auto.spent(Progress(LEAST_SOUNDS - 1)) and auto.spent(Progress(LEAST_SOUNDS))


@given(batch=st.integers(2, 128), best=st.integers(10_000, 500_000))
def test_auto_ends_when_two_checks_in_a_row_were_no_better(batch: int, best: int) -> None:
    auto, progress, checks = budget(minutes="auto"), Progress(best // batch * batch), 0
    while not is_validation_due(progress.samples_seen, progress.samples_seen + batch):
        progress.samples_seen += batch
    progress.samples_seen += batch
    auto.found_best(progress.samples_seen)
    while not auto.spent(progress):
        checks += is_validation_due(progress.samples_seen, progress.samples_seen + batch)
        progress.samples_seen += batch
    assert checks == 2


def test_a_new_best_moves_the_end() -> None:
    auto = budget(minutes="auto")
    auto.found_best(20_000)
    before = auto.seconds_left(Progress(30_000), 10)
    assert 0.5 < auto.done(Progress(30_000)) < 1
    auto.found_best(30_000)
    assert auto.seconds_left(Progress(30_000), 10) > before


def test_what_was_best_is_no_matter_where_the_end_is_set() -> None:
    fixed = budget(max_samples=1000)
    fixed.found_best(10)
    assert fixed.done(Progress(500)) == 0.5
