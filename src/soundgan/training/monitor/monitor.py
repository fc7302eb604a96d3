"""Monitoring of a training by rank 0: validation, log, progress, checkpoints, snapshots, report, and when to stop."""

from __future__ import annotations

import functools
import math
import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple, TypeVar

from soundgan.errors import TrainingError
from soundgan.training.monitor.health import HealthCheck
from soundgan.training.monitor.log import Log
from soundgan.training.monitor.report import REPORT, write_report
from soundgan.training.monitor.schedule import StoppingCriterion
from soundgan.training.monitor.snapshot import save_snapshot
from soundgan.training.monitor.validation import BestCheckpoint, ValidationResult, Validator, load_best
from soundgan.training.runtime.rng import samples_per_epoch
from soundgan.training.setup import TrainingSetup
from soundgan.training.state.checkpoint import CHECKPOINT, save_checkpoint

COMPLETE = (
    ": the training is complete, and nothing is trained; "
    "a higher --minutes, --max-samples or num_epochs, which are totals, continues it"
)
REPORT_INTERVAL = 1.0  # s between two progress reports
SPEED_REPORTS = 30  # progress reports over which the speed is averaged

Returned = TypeVar("Returned")


class ProgressReport(NamedTuple):
    """Progress of a running training.

    Attributes:
        done: fraction of the training, from 0 to 1.
        validation: the latest; None before the first.
    """

    samples_seen: int
    done: float
    sounds_per_second: float
    seconds_left: float
    validation: ValidationResult | None


def rank_zero_only(method: Callable[..., Returned]) -> Callable[..., Returned | None]:
    """Make a method do nothing and return None on all other ranks."""

    @functools.wraps(method)
    def wrapper(self: Monitor, *args: Any, **kwargs: Any) -> Returned | None:
        return method(self, *args, **kwargs) if self.is_rank_zero else None

    return wrapper


class Monitor:
    """Validation, logging, checkpoints and reports of rank 0; on other ranks all methods do nothing and return None.

    Args:
        on_progress: called after the first step, and then every second or so.
        on_message: called with status messages.
    """

    def __init__(
        self, setup: TrainingSetup, on_progress: Callable[[ProgressReport], None], on_message: Callable[[str], None]
    ) -> None:
        self.is_rank_zero = setup.compute.distributed.is_rank_zero
        if not self.is_rank_zero:
            return
        self._setup, self._on_progress, self._on_message = setup, on_progress, on_message
        dataset, run, progress = setup.dataset, setup.settings.run, setup.progress
        self._progress = progress
        self._start = progress.samples_seen
        self._reports = deque([(progress.samples_seen, progress.seconds)], maxlen=SPEED_REPORTS)
        self._stopping = StoppingCriterion(run, samples_per_epoch(dataset.labels))
        reason = f" ({setup.threads_reason})" if setup.threads_reason else ""
        self._on_message(f"Training on {setup.config['machine']}{reason}; report: {setup.folder / REPORT}")
        if progress.samples_seen:
            complete = COMPLETE if self._stopping.is_finished(progress) else ""
            duration = f"{progress.seconds / 60:.1f} minutes"
            self._on_message(f"Resuming after {progress.samples_seen:,} samples seen in {duration}{complete}")
        self._health = HealthCheck(dataset, run.seed, setup.generator_inputs)
        self._log = Log(setup.folder, progress.samples_seen)
        self._validator = Validator(dataset, run.seed, setup.generator_inputs)
        self._best = BestCheckpoint(setup.folder, reset=progress.samples_seen == 0)
        self._result, self._warned = self._best.result, False
        if self._best.result:
            self._stopping.set_best_samples_seen(self._best.result.samples_seen)
        self._last_report, self._last_save = -math.inf, progress.seconds

    @contextmanager
    def running(self) -> Iterator[None]:
        """Close the log at the end of the block; write the message of a `TrainingError` in it to the report."""
        try:
            yield
        except TrainingError as error:
            self._write_report(failure=str(error))
            raise
        finally:
            self._close_log()

    @rank_zero_only
    def is_finished(self) -> bool:
        """Return True if a limit of the training is reached."""
        return self._stopping.is_finished(self._progress)

    @rank_zero_only
    def validate(self) -> bool:
        """Validate `generator_ema`, and keep it if it is the best so far; return True if it is."""
        train_state, progress = self._setup.train_state, self._progress
        self._health.check(train_state, progress)
        result = self._result = self._validator.validate(train_state.generator_ema, progress.samples_seen)
        improved = self._best.update(result, train_state.generator_ema)
        if self._best.result:
            self._stopping.set_best_samples_seen(self._best.result.samples_seen)
        self._log.write(progress, {name: value for name, value in result._asdict().items() if name != "samples_seen"})
        if result.overfitting and not self._warned:
            self._warned = True
            self._on_message(
                f"overfitting: {100 * result.near_duplicate_rate:.0f} % of the generated sounds are close to a "
                f"recording after {progress.samples_seen:,} samples; more recordings would help"
            )
        return improved

    @rank_zero_only
    def log(self, values: dict[str, float]) -> None:
        """Add the values of a step to the log."""
        self._log.write(self._progress, {**values, "sounds_per_second": self._speed()})

    @rank_zero_only
    def report_progress(self) -> None:
        """Report the progress if the last report is a second old, or if it is the last."""
        progress, stopping = self._progress, self._stopping
        if progress.seconds - self._last_report < REPORT_INTERVAL and not stopping.is_finished(progress):
            return
        speed = self._speed()
        done, seconds_left = stopping.fraction(progress), stopping.seconds_left(progress, speed)
        self._on_progress(ProgressReport(progress.samples_seen, done, speed, seconds_left, self._result))
        self._reports.append((progress.samples_seen, progress.seconds))
        self._last_report = progress.seconds

    @rank_zero_only
    def save_due(self) -> bool:
        """Return True if the last checkpoint is `snapshot_minutes` old."""
        return self._progress.seconds - self._last_save > 60 * self._setup.settings.run.snapshot_minutes

    @rank_zero_only
    def save(self) -> None:
        """Write checkpoint, snapshot and report, unless the networks have diverged or collapsed."""
        setup, progress, started = self._setup, self._progress, time.monotonic()
        self._health.check(setup.train_state, progress)
        save_checkpoint(setup.folder / CHECKPOINT, setup.train_state, progress, setup.config)
        inputs, seed = setup.generator_inputs, setup.settings.run.seed
        generator, snapshots = setup.train_state.generator_ema, setup.folder / "snapshots"
        save_snapshot(snapshots, generator, setup.dataset, inputs, progress.samples_seen, seed)
        self._write_report()
        self._last_save = progress.seconds + time.monotonic() - started

    @rank_zero_only
    def finish(self, *, interrupted: bool) -> None:
        """Validate a training that has reached its end, and save."""
        if interrupted:
            self._on_message("Stopping: the training is saved and its model written, which may take half a minute")
        progress = self._progress
        if progress.samples_seen == self._start:
            return
        # An interrupted training is not validated, so that resumed it keeps what an uninterrupted one keeps.
        validated = self._result is not None and self._result.samples_seen >= progress.samples_seen
        if self._stopping.is_finished(progress) and not validated:
            self.validate()
        self.save()

    @rank_zero_only
    def load_best(self) -> ValidationResult | None:
        """Set `generator_ema` to its best weights and return their validation; None before the first validation."""
        return load_best(self._best.path, self._setup.train_state.generator_ema) if self._best.result else None

    @rank_zero_only
    def _write_report(self, failure: str = "") -> None:
        write_report(self._setup.folder, self._setup.dataset, self._setup.settings, failure)

    @rank_zero_only
    def _close_log(self) -> None:
        self._log.close()

    def _speed(self) -> float:
        """Samples per second over the latest progress reports."""
        samples_seen, seconds = self._reports[0]
        return (self._progress.samples_seen - samples_seen) / (self._progress.seconds - seconds)
