"""When a training is over: after so many minutes or sounds, or when it no longer gets better."""

from __future__ import annotations

import math

from soundgan.settings import Settings
from soundgan.training.monitor.validation import GROWTH
from soundgan.training.state.checkpoint import Progress

DEFAULT_MINUTES = 60.0
# With `auto`:
NO_BETTER = 2  # checks in a row end it
PATIENCE = 1.01 * GROWTH**NO_BETTER  # times the sounds of the best check are seen at the end
LEAST_SOUNDS = 16_000  # are seen before the end


class Budget:
    """What may be spent, and how much of it is spent. `minutes` counts over all restarts of a training.

    Args:
        sounds_in_a_pass: over the data, for `num_epochs`.

    Attributes:
        auto: whether the training ends by itself, when its best check lies far behind.
    """

    def __init__(self, settings: Settings, samples_per_epoch: int) -> None:
        epochs_seen = settings.run.num_epochs * samples_per_epoch if settings.run.num_epochs else None
        sounds = [count for count in (settings.run.max_samples, epochs_seen) if count is not None]
        self.auto = settings.run.minutes == "auto"
        self._sounds = min(sounds) if sounds else math.inf
        minutes = settings.run.minutes or (DEFAULT_MINUTES if not sounds else math.inf)
        self._seconds = math.inf if minutes == "auto" else 60 * minutes
        self._last = math.inf

    def found_best(self, samples_seen: int) -> None:
        """The best check so far was after `samples_seen` sounds."""
        if self.auto:
            self._last = max(LEAST_SOUNDS, PATIENCE * samples_seen)

    def done(self, progress: Progress) -> float:
        """Share that is spent, from 0 to 1; with `auto`, if it gets no better."""
        return min(1.0, max(progress.samples_seen / min(self._sounds, self._last), progress.seconds / self._seconds))

    def spent(self, progress: Progress) -> bool:
        return self.done(progress) >= 1

    def seconds_left(self, progress: Progress, sounds_per_second: float) -> float:
        """Seconds until it is spent, at most; infinite before the first check with `auto`."""
        sounds = min(self._sounds, self._last)
        return max(
            0.0, min(self._seconds - progress.seconds, (sounds - progress.samples_seen) / max(sounds_per_second, 1e-9))
        )
