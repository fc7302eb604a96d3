"""Schedule of validations, whose intervals grow geometrically with the samples seen."""

from __future__ import annotations

import math

FIRST_VALIDATION = 2_000  # samples seen
GROWTH = 1.4  # ratio of the samples seen at one validation to those at the one before


def is_validation_due(before: int, now: int) -> bool:
    """Return True if a validation is scheduled in (before, now], in samples seen."""
    return _scheduled(now) > _scheduled(before)


def _scheduled(samples_seen: int) -> int:
    """Number of validations scheduled up to and including `samples_seen`."""
    if samples_seen < FIRST_VALIDATION:
        return 0
    return 1 + math.floor(math.log(samples_seen / FIRST_VALIDATION) / math.log(GROWTH))
