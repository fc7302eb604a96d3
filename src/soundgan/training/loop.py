"""The training loop: one function, read from top to bottom, that counts the real sounds it has shown.

All chance is drawn from (seed, sounds seen), so a run that was interrupted and resumed ends with the same bits as one
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
from soundgan.training.monitor.budget import Budget
from soundgan.training.monitor.health import check_finite, check_health
from soundgan.training.monitor.log import Log
from soundgan.training.monitor.report import REPORT, failures_told, write_report
from soundgan.training.monitor.snapshot import save_snapshot
from soundgan.training.monitor.validation import Check, Examiner, due
from soundgan.training.runtime.device import pick_device, pick_precision, processor
from soundgan.training.runtime.distributed import ALONE, World
from soundgan.training.runtime.rng import sounds_in_a_pass
from soundgan.training.runtime.signals import stop_signal
from soundgan.training.state.checkpoint import CHECKPOINT, Clock, load_checkpoint, save_checkpoint
from soundgan.training.state.resume import read_before
from soundgan.training.state.state import Painter, new_players
from soundgan.training.step import Step, Told

LOG_EVERY = 25  # steps
REPORT_EVERY = 1.0  # s


class Progress(NamedTuple):
    """What the loop reports while it runs; `done` is the share of the budget, from 0 to 1.

    `check` is what the last check of the sounds found; None before the first.
    """

    seen: int
    done: float
    sounds_per_second: float
    seconds_left: float
    check: Check | None


class Outcome(NamedTuple):
    """How training ended: the kept Generator, the clock, whether the user stopped it early, and what it ran on.

    `best` is what was found of the kept Generator; None if the training was too short for a check.
    """

    generator: torch.nn.Module
    clock: Clock
    interrupted: bool
    machine: str
    best: Check | None


def train(
    dataset: Dataset,
    settings: Settings,
    folder: Path,
    report: Callable[[Progress], None] = lambda progress: None,
    announce: Callable[[str], None] = lambda text: None,
    world: World = ALONE,
) -> Outcome:
    """Train until the budget of `settings` is spent; a checkpoint in `folder` is resumed.

    Args:
        dataset: prepared paintings and labels.
        settings: networks, game and budget (`minutes`, `sounds` or `num_epochs`, whichever comes first).
        folder: where checkpoint, log and snapshots go; made if missing.
        report: called after the first step, and then every second or so.
        announce: called with what training runs on, before it starts, and with what should be known as it goes.
        world: the processes that train together, each with its share of every batch; the first writes and reports.

    Raises:
        TrainingError: the checkpoint belongs to other data or settings; the networks diverged or collapsed (the last
            good checkpoint stays); the batch cannot be shared, or another process ended.
    """
    if settings.batch_size % (2 * world.size):
        told = f"batch_size = {settings.batch_size} cannot be shared by {world.size} processes in pairs"
        raise TrainingError(f"{told}: make it a multiple of {2 * world.size}, or start another number of them")
    device, budget = pick_device(settings), Budget(settings, sounds_in_a_pass(dataset.labels))
    players, painter = new_players(dataset, settings, device), Painter(settings, dataset.representation)

    folder.mkdir(parents=True, exist_ok=True)
    checkpoint = folder / CHECKPOINT
    made_with = {"data": dataset.digest, "settings": settings.model_dump(mode="json")}
    made_with |= {"representation": dataset.representation.model_dump(), "labels": dataset.label_names}
    clock = Clock()
    if world.first:
        for unfinished in folder.glob(f".*.tmp{checkpoint.suffix}"):
            unfinished.unlink(missing_ok=True)  # of a process that was killed
        if not checkpoint.exists():
            shutil.rmtree(folder / "snapshots", ignore_errors=True)  # of a training whose checkpoint was deleted
    if checkpoint.exists():
        before = read_before(checkpoint, made_with)
        clock = load_checkpoint(checkpoint, players)
        if settings.precision == "auto":  # another trial could end otherwise, and the run would not be the same
            settings = settings.model_copy(update={"precision": before.get("precision", "auto")})
    if not world.alike(f"{clock} {made_with}"):
        raise TrainingError(
            f"{checkpoint}: not all processes see the same checkpoint, sounds and settings; "
            "start the same command everywhere, with folders that all machines share"
        )
    precision = pick_precision(settings, device)
    if world.agree(precision == torch.float32):
        precision = torch.float32
    made_with["precision"] = str(precision).removeprefix("torch.")
    threads = settings.threads or torch.get_num_threads()
    where = f"{threads} CPU thread{'s' * (threads > 1)}" if device.type == "cpu" else device.type
    where = f"{world.size} × {where}" if world.size > 1 else where
    made_with["machine"] = machine = f"{where}, {made_with['precision']}"
    if world.first:
        announce(f"Training on {machine}; report: {folder / REPORT}")
        if clock.seen:
            done = ": all that was asked for" if budget.spent(clock) else ""
            announce(f"Going on after {clock.seen:,} sounds seen in {clock.seconds / 60:.1f} minutes{done}")

    step = Step(dataset, settings, players, painter, clock, device, precision, world)
    log = Log(folder, clock.seen) if world.first else None
    examiner = Examiner(dataset, settings, painter) if world.first else None
    best = Best(folder, anew=clock.seen == 0) if world.first else None
    started, seconds_before, seen_before = time.monotonic(), clock.seconds, clock.seen
    last_snapshot, last_report, check, warned = started, -math.inf, best.check if best else None, False

    def examine() -> bool:
        """Check the sounds of the averaged Generator; whether it is the best so far."""
        nonlocal check, warned
        if examiner is None or best is None or log is None:
            return False
        check_health(players, painter, step.paintings, step.labels, clock, settings)
        check = examiner.check(players.average, clock.seen)
        better = best.offer(check, players.average)
        log.write(clock, {name: value for name, value in check._asdict().items() if name != "seen"})
        if check.copying and not warned:
            warned = True
            announce(
                f"{check.copies:.0%} of the sounds come close to a recording, after {clock.seen:,} sounds: "
                "the networks begin to learn the recordings by heart; more recordings would help"
            )
        return better

    def save() -> None:
        check_health(players, painter, step.paintings, step.labels, clock, settings)
        step.tell(clock)
        save_checkpoint(checkpoint, players, clock, made_with)
        save_snapshot(folder / "snapshots", players.average, dataset, settings, painter, clock.seen)
        write_report(folder, dataset, settings)

    failing = failures_told(folder, dataset, settings) if world.first else nullcontext()
    with stop_signal() as stop, log or nullcontext(), processor(settings), failing:
        if best and best.check:
            budget.found_best(best.check.seen)
        # One clock decides, that of the first process; every one may be asked to stop.
        while not world.agree((world.first and budget.spent(clock)) or stop.is_set()):
            told = step(clock)
            before_step = clock.seen
            clock.seen += settings.batch_size
            clock.steps += 1
            players.take_average(0.5 ** (settings.batch_size / max(settings.ema * clock.seen, settings.batch_size)))
            better = due(before_step, clock.seen) and examine()
            if best and best.check:
                budget.found_best(best.check.seen)
            losses = None
            if clock.steps % LOG_EVERY == 0:  # before the time is taken, as it waits for the device
                losses = world.mean(dict(zip(Told._fields, torch.stack(told).tolist(), strict=True)))
                step.tell(clock)
            now = time.monotonic()
            clock.seconds = seconds_before + now - started

            speed = (clock.seen - seen_before) / (now - started)
            if losses is not None:
                check_finite(losses, clock)
                adapting = {"augment": float(step.strength), "variety": clock.variety}
                if log is not None:
                    log.write(clock, {**losses, **adapting, "sounds_per_second": speed})
            if world.first and (now - last_report >= REPORT_EVERY or budget.spent(clock)):
                report(Progress(clock.seen, budget.done(clock), speed, budget.seconds_left(clock, speed), check))
                last_report = now
            # Whatever comes, the best Generator has a checkpoint, and can be exported.
            if world.first and (better or now - last_snapshot > 60 * settings.snapshot_minutes):
                save()
                last_snapshot = time.monotonic()
        if world.first and stop.is_set():
            announce("Stopping: what was learnt is saved, and a model made of it, which may take half a minute")
        if world.first and clock.seen > seen_before:
            # Not where it was broken off: a training that goes on keeps what one that was not broken off keeps.
            if budget.spent(clock) and (check is None or check.seen < clock.seen):
                examine()
            save()
        interrupted = world.agree(stop.is_set())
        step.tell(clock)
    found = None
    if best is not None and best.check is not None:
        found = load_best(best.path, players.average)
    return Outcome(players.average, clock, interrupted, machine, found)
