"""The training loop: one function, read from top to bottom, that counts the real sounds it has shown.

All chance is drawn from (seed, samples seen), so a run that was interrupted and resumed ends with the same bits as one
that was not.
"""

from __future__ import annotations

import math
import shutil
import time
from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path
from typing import NamedTuple

import torch

from soundgan.data.dataset import Dataset
from soundgan.errors import TrainingError
from soundgan.settings import Settings
from soundgan.training.monitor.best import Best, load_best
from soundgan.training.monitor.early_stopping import StoppingCriterion
from soundgan.training.monitor.health import HealthCheck, check_finite
from soundgan.training.monitor.log import Log
from soundgan.training.monitor.report import REPORT, report_failures, write_report
from soundgan.training.monitor.schedule import is_validation_due
from soundgan.training.monitor.snapshot import save_snapshot
from soundgan.training.monitor.validation import ValidationResult, Validator
from soundgan.training.networks.base import Generator
from soundgan.training.runtime.device import select_device, select_precision, torch_threads_and_determinism
from soundgan.training.runtime.distributed import SINGLE_PROCESS, Distributed
from soundgan.training.runtime.rng import samples_per_epoch
from soundgan.training.runtime.signals import stop_signal
from soundgan.training.state.checkpoint import CHECKPOINT, Progress, load_checkpoint, save_checkpoint
from soundgan.training.state.resume import load_compatible
from soundgan.training.state.state import GeneratorInputs, init_state
from soundgan.training.step import Step, StepStats

LOG_EVERY = 25  # steps
REPORT_EVERY = 1.0  # s


class ProgressReport(NamedTuple):
    """What the loop reports while it runs; `done` is the share of the budget, from 0 to 1.

    `check` is what the last check of the sounds found; None before the first.
    """

    samples_seen: int
    done: float
    sounds_per_second: float
    seconds_left: float
    check: ValidationResult | None


class Outcome(NamedTuple):
    """How training ended: the kept Generator, the clock, whether the user stopped it early, and what it ran on.

    `best` is what was found of the kept Generator; None if the training was too short for a check.
    """

    generator: Generator
    progress: Progress
    interrupted: bool
    machine: str
    best: ValidationResult | None


def train(
    dataset: Dataset,
    settings: Settings,
    folder: Path,
    report: Callable[[ProgressReport], None] = lambda progress: None,
    announce: Callable[[str], None] = lambda text: None,
    distributed: Distributed = SINGLE_PROCESS,
) -> Outcome:
    """Train until the budget of `settings` is spent; a checkpoint in `folder` is resumed.

    Args:
        dataset: prepared spectrograms and labels.
        settings: networks, game and budget (`minutes`, `sounds` or `num_epochs`, whichever comes first).
        folder: where checkpoint, log and snapshots go; made if missing.
        report: called after the first step, and then every second or so.
        announce: called with what training runs on, before it starts, and with what should be known as it goes.
        world: the processes that train together, each with its share of every batch; the first writes and reports.

    Raises:
        TrainingError: the checkpoint belongs to other data or settings; the networks diverged or collapsed (the last
            good checkpoint stays); the batch cannot be shared, or another process ended.
    """
    if settings.optim.batch_size % (2 * distributed.size):
        told = f"batch_size = {settings.optim.batch_size} cannot be shared by {distributed.size} processes in pairs"
        raise TrainingError(f"{told}: make it a multiple of {2 * distributed.size}, or start another number of them")
    device, stopping = select_device(settings), StoppingCriterion(settings.run, samples_per_epoch(dataset.labels))
    train_state, generator_inputs = (
        init_state(dataset, settings, device),
        GeneratorInputs(settings, dataset.representation),
    )

    folder.mkdir(parents=True, exist_ok=True)
    checkpoint = folder / CHECKPOINT
    run_config = {"data": dataset.digest, "settings": settings.model_dump(mode="json")}
    run_config |= {"representation": dataset.representation.model_dump(), "labels": dataset.label_names}
    progress = Progress()
    if distributed.is_rank_zero:
        for unfinished in folder.glob(f".*.tmp{checkpoint.suffix}"):
            unfinished.unlink(missing_ok=True)  # of a process that was killed
        if not checkpoint.exists():
            shutil.rmtree(folder / "snapshots", ignore_errors=True)  # of a training whose checkpoint was deleted
    if checkpoint.exists():
        before = load_compatible(checkpoint, run_config)
        progress = load_checkpoint(checkpoint, train_state)
        if settings.run.precision == "auto":  # another trial could end otherwise, and the run would not be the same
            settings = settings.with_values(precision=before.get("precision", "auto"))
    if not distributed.all_ranks_equal(f"{progress} {run_config}"):
        raise TrainingError(
            f"{checkpoint}: not all processes see the same checkpoint, sounds and settings; "
            "start the same command everywhere, with folders that all machines share"
        )
    precision = select_precision(settings, device)
    if distributed.any_rank(precision == torch.float32):
        precision = torch.float32
    run_config["precision"] = str(precision).removeprefix("torch.")
    threads = settings.run.threads or torch.get_num_threads()
    where = f"{threads} CPU thread{'s' * (threads > 1)}" if device.type == "cpu" else device.type
    where = f"{distributed.size} × {where}" if distributed.size > 1 else where
    run_config["machine"] = machine = f"{where}, {run_config['precision']}"
    if distributed.is_rank_zero:
        announce(f"Training on {machine}; report: {folder / REPORT}")
        if progress.samples_seen:
            done = ": all that was asked for" if stopping.exhausted(progress) else ""
            announce(
                f"Going on after {progress.samples_seen:,} samples seen in {progress.seconds / 60:.1f} minutes{done}"
            )

    step = Step(dataset, settings, train_state, generator_inputs, progress, device, precision, distributed)
    health = HealthCheck(step.spectrograms, step.labels, generator_inputs, settings.run.seed)
    log = Log(folder, progress.samples_seen) if distributed.is_rank_zero else None
    validator = Validator(dataset, settings, generator_inputs) if distributed.is_rank_zero else None
    best = Best(folder, reset=progress.samples_seen == 0) if distributed.is_rank_zero else None
    started, seconds_before, seen_before = time.monotonic(), progress.seconds, progress.samples_seen
    last_snapshot, last_report, check, warned = started, -math.inf, best.result if best else None, False

    def examine() -> bool:
        """Check the sounds of the averaged Generator; whether it is the best so far."""
        nonlocal check, warned
        if validator is None or best is None or log is None:
            return False
        health.check(train_state, progress)
        check = validator.check(train_state.generator_ema, progress.samples_seen)
        better = best.update(check, train_state.generator_ema)
        log.write(progress, {name: value for name, value in check._asdict().items() if name != "samples_seen"})
        if check.overfitting and not warned:
            warned = True
            announce(
                f"{check.near_duplicate_rate:.0%} of the sounds come close to a recording, after {progress.samples_seen:,} sounds: "
                "the networks begin to learn the recordings by heart; more recordings would help"
            )
        return better

    def save() -> None:
        health.check(train_state, progress)
        step.tell(progress)
        save_checkpoint(checkpoint, train_state, progress, run_config)
        snapshots, seed = folder / "snapshots", settings.run.seed
        save_snapshot(snapshots, train_state.generator_ema, dataset, generator_inputs, progress.samples_seen, seed)
        write_report(folder, dataset, settings)

    failing = report_failures(folder, dataset, settings) if distributed.is_rank_zero else nullcontext()
    with stop_signal() as stop, log or nullcontext(), torch_threads_and_determinism(settings), failing:
        if best and best.result:
            stopping.update_best(best.result.samples_seen)
        # One clock decides, that of the first process; every one may be asked to stop.
        while not distributed.any_rank((distributed.is_rank_zero and stopping.exhausted(progress)) or stop.is_set()):
            told = step(progress)
            before_step = progress.samples_seen
            progress.samples_seen += settings.optim.batch_size
            progress.steps += 1
            train_state.update_ema(
                0.5
                ** (
                    settings.optim.batch_size
                    / max(settings.optim.ema_rampup * progress.samples_seen, settings.optim.batch_size)
                )
            )
            better = is_validation_due(before_step, progress.samples_seen) and examine()
            if best and best.result:
                stopping.update_best(best.result.samples_seen)
            losses = None
            if progress.steps % LOG_EVERY == 0:  # before the time is taken, as it waits for the device
                losses = distributed.mean(dict(zip(StepStats._fields, torch.stack(told).tolist(), strict=True)))
                step.tell(progress)
            now = time.monotonic()
            progress.seconds = seconds_before + now - started

            speed = (progress.samples_seen - seen_before) / (now - started)
            if losses is not None:
                check_finite(losses, progress)
                adapting = {"augment_p": float(step.strength), "diversity": progress.diversity}
                if log is not None:
                    log.write(progress, {**losses, **adapting, "sounds_per_second": speed})
            if distributed.is_rank_zero and (now - last_report >= REPORT_EVERY or stopping.exhausted(progress)):
                report(
                    ProgressReport(
                        progress.samples_seen,
                        stopping.fraction(progress),
                        speed,
                        stopping.seconds_left(progress, speed),
                        check,
                    )
                )
                last_report = now
            # Whatever comes, the best Generator has a checkpoint, and can be exported.
            if distributed.is_rank_zero and (better or now - last_snapshot > 60 * settings.run.snapshot_minutes):
                save()
                last_snapshot = time.monotonic()
        if distributed.is_rank_zero and stop.is_set():
            announce("Stopping: what was learnt is saved, and a model made of it, which may take half a minute")
        if distributed.is_rank_zero and progress.samples_seen > seen_before:
            # Not where it was broken off: a training that goes on keeps what one that was not broken off keeps.
            if stopping.exhausted(progress) and (check is None or check.samples_seen < progress.samples_seen):
                examine()
            save()
        interrupted = distributed.any_rank(stop.is_set())
        step.tell(progress)
    found = None
    if best is not None and best.result is not None:
        found = load_best(best.path, train_state.generator_ema)
    return Outcome(train_state.generator_ema, progress, interrupted, machine, found)
