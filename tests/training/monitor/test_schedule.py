"""The schedule of validations."""

from __future__ import annotations

from itertools import accumulate, pairwise

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from soundgan.training.monitor.schedule import FIRST_VALIDATION, GROWTH, is_validation_due


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
