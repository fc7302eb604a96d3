"""Schedule of a training: its validations, and its end after minutes or samples, or by early stopping."""

from __future__ import annotations

import math

from soundgan.settings import RunSettings
from soundgan.training.state.train_state import Progress

FIRST_VALIDATION = 2_000  # samples seen
GROWTH = 1.4  # ratio of the samples seen at one validation to those at the one before
DEFAULT_MINUTES = 60.0
# Early stopping (`minutes = "auto"`):
PATIENCE = 2  # consecutive validations without improvement
MAX_SAMPLES_RATIO = 1.01 * GROWTH**PATIENCE  # samples seen at the end, relative to those at the best validation
MIN_SAMPLES = 16_000  # samples seen before training may stop


def is_validation_due(before: int, now: int) -> bool:
    """Return True if a validation is scheduled in (before, now], in samples seen; intervals grow geometrically."""
    return _scheduled(now) > _scheduled(before)


def _scheduled(samples_seen: int) -> int:
    """Number of validations scheduled up to and including `samples_seen`."""
    if samples_seen < FIRST_VALIDATION:
        return 0
    return 1 + math.floor(math.log(samples_seen / FIRST_VALIDATION) / math.log(GROWTH))


class StoppingCriterion:
    """The end of a training, and the fraction of the way to it. Minutes count over all restarts of a training.

    Args:
        settings: `minutes`, `max_samples` and `num_epochs`; the first limit that is reached ends the training.
        samples_per_epoch: samples in a pass over the data, for `num_epochs`.

    Attributes:
        early_stopping: True if training stops after PATIENCE validations without improvement.
    """

    def __init__(self, settings: RunSettings, samples_per_epoch: int) -> None:
        epoch_samples = settings.num_epochs * samples_per_epoch if settings.num_epochs else None
        limits = [count for count in (settings.max_samples, epoch_samples) if count is not None]
        self.early_stopping = settings.minutes == "auto"
        self._max_samples = min(limits, default=math.inf)
        minutes = settings.minutes or (DEFAULT_MINUTES if not limits else math.inf)
        self._max_seconds = math.inf if minutes == "auto" else 60 * minutes
        self._early_stop = math.inf

    def set_best_samples_seen(self, samples_seen: int) -> None:
        """Set the samples seen at the best validation so far."""
        if self.early_stopping:
            self._early_stop = max(MIN_SAMPLES, MAX_SAMPLES_RATIO * samples_seen)

    def fraction(self, progress: Progress) -> float:
        """Fraction of the training that is done, from 0 to 1; with early stopping, if there is no improvement."""
        samples = min(self._max_samples, self._early_stop)
        return min(1.0, max(progress.samples_seen / samples, progress.seconds / self._max_seconds))

    def is_finished(self, progress: Progress) -> bool:
        return self.fraction(progress) >= 1

    def seconds_left(self, progress: Progress, samples_per_second: float) -> float:
        """Upper bound on the remaining time, in s; infinite before the first validation with early stopping."""
        samples = min(self._max_samples, self._early_stop) - progress.samples_seen
        return max(0.0, min(self._max_seconds - progress.seconds, samples / max(samples_per_second, 1e-9)))
