"""The training loop. Progress is counted in real samples seen.

Random numbers are drawn from (seed, samples_seen), so that a resumed training ends with the same bits as one that was
not interrupted.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import torch
from torch import nn

from soundgan.data.dataset import Dataset
from soundgan.settings import OptimSettings, Settings
from soundgan.training.monitor.health import check_finite
from soundgan.training.monitor.monitor import Monitor, ProgressReport
from soundgan.training.monitor.schedule import is_validation_due
from soundgan.training.monitor.validation import ValidationResult
from soundgan.training.networks.base import Generator
from soundgan.training.runtime.device import torch_threads_and_determinism
from soundgan.training.runtime.distributed import SINGLE_PROCESS, Distributed
from soundgan.training.runtime.signals import stop_signal
from soundgan.training.setup import setup_training
from soundgan.training.state.train_state import Progress
from soundgan.training.step import TrainStep

LOG_EVERY = 25  # steps


class TrainingResult(NamedTuple):
    """Result of a training.

    Attributes:
        generator: the best one validated, or the last if there was no validation.
        discriminator: the last one; None for imported models.
        interrupted: it was stopped by a signal.
        machine: description of the device and precision.
        best: validation of `generator`; None if the training was too short for one.
    """

    generator: Generator
    discriminator: nn.Module | None
    progress: Progress
    interrupted: bool
    machine: str
    best: ValidationResult | None


def train(
    dataset: Dataset,
    settings: Settings,
    folder: Path,
    on_progress: Callable[[ProgressReport], None] = lambda progress: None,
    on_message: Callable[[str], None] = lambda message: None,
    distributed: Distributed = SINGLE_PROCESS,
    busy_cores: int = 0,
) -> TrainingResult:
    """Train until the first limit of `settings.run` is reached; a checkpoint in `folder` is resumed.

    Args:
        folder: of checkpoint, log, snapshots and report; created if missing.
        on_progress: called after the first step, and then every second or so.
        on_message: called with status messages.
        distributed: the processes that train together, each with its shard of every batch.
        busy_cores: cores in use by other programs; without the setting `threads`, a new training leaves them out.

    Raises:
        TrainingError: the checkpoint belongs to other data or settings; the networks diverged or collapsed (the last
            good checkpoint stays); the batch cannot be split, or another process failed.
    """
    setup = setup_training(dataset, settings, folder, distributed, busy_cores)
    settings, train_state, progress = setup.settings, setup.train_state, setup.progress
    optim, losses = settings.optim, settings.losses
    step = TrainStep(dataset, settings, train_state, setup.generator_inputs, progress, setup.compute)
    monitor = Monitor(setup, on_progress, on_message)
    started = time.monotonic() - progress.seconds

    with stop_signal() as stop, torch_threads_and_determinism(settings.run), monitor.running():
        while not distributed.any_rank(bool(monitor.is_finished()) or stop.is_set()):
            # Step
            before = progress.samples_seen
            stats = step(before)
            progress.samples_seen += optim.batch_size
            progress.steps += 1

            # EMA
            train_state.update_ema(ema_decay(optim, progress.samples_seen))

            # Validate
            improved = is_validation_due(before, progress.samples_seen) and monitor.validate()

            # Stats, before the time is read, as they wait for the device
            values = None
            if progress.steps % LOG_EVERY == 0:
                values = distributed.mean(dict(zip(stats, torch.stack([*stats.values()]).tolist(), strict=True)))
                step.adaptive.sync_to(progress)
            progress.seconds = time.monotonic() - started
            if values is not None:
                check_finite(values, progress)
                augment_p = progress.augment_p if losses.augment_p is None else losses.augment_p
                monitor.log({**values, "augment_p": augment_p, "diversity": progress.diversity})

            # Report
            monitor.report_progress()

            # Save; always after an improvement, so that the best generator has a checkpoint and can be exported
            if improved or monitor.save_due():
                step.adaptive.sync_to(progress)
                monitor.save()
        step.adaptive.sync_to(progress)
        monitor.finish(interrupted=stop.is_set())
        interrupted = distributed.any_rank(stop.is_set())
    best, machine = monitor.load_best(), setup.config["machine"]
    return TrainingResult(train_state.generator_ema, train_state.discriminator, progress, interrupted, machine, best)


def ema_decay(settings: OptimSettings, samples_seen: int) -> float:
    """Return the decay of a step's EMA, whose half-life is a fraction of the samples seen, at least a batch."""
    return 0.5 ** (settings.batch_size / max(settings.ema_rampup * samples_seen, settings.batch_size))
