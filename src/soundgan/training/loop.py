"""The training loop: one function, read from top to bottom, that counts the real sounds it has shown.

All chance is drawn from (seed, sounds seen), so a run that was interrupted and resumed ends with the same bits as one
that was not.
"""

from __future__ import annotations

import copy
import math
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from soundgan.dataset import Dataset
from soundgan.errors import TrainingError
from soundgan.settings import Settings
from soundgan.training.chance import Chance
from soundgan.training.checkpoint import Clock, Players, load_checkpoint, read_made_with, save_checkpoint
from soundgan.training.device import arithmetic, pick_device, pick_precision, processor
from soundgan.training.health import check_finite, check_health
from soundgan.training.log import Log
from soundgan.training.networks import build_discriminator, build_generator
from soundgan.training.objective import discriminator_loss, generator_loss
from soundgan.training.snapshot import save_snapshot

CHECKPOINT = "checkpoint.safetensors"
DEFAULT_MINUTES = 60.0
LOG_EVERY = 25  # steps
# What a resumed run may change; everything else must be as it was. The last line is for getting over a divergence.
CHANGEABLE = {
    "dataroot", "saveroot", "exclude", "licence", "attribution", "original_image_size",
    "minutes", "sounds", "num_epochs", "snapshot_minutes", "threads", "workers", "precision", "ngpu",
    "lr_G", "lr_D", "penalty",
}  # fmt: skip
OF_THE_OTHER_NETWORK = {"residual": {"ngf", "ndf"}, "dcgan": {"size"}}


class Progress(NamedTuple):
    """What the loop reports while it runs; `done` is the share of the budget, from 0 to 1."""

    seen: int
    done: float
    sounds_per_second: float
    seconds_left: float
    losses: dict[str, float]


class Outcome(NamedTuple):
    """How training ended: the averaged Generator, the clock, whether the user stopped it early, and what it ran on."""

    generator: torch.nn.Module
    clock: Clock
    interrupted: bool
    machine: str


def train(
    dataset: Dataset,
    settings: Settings,
    folder: Path,
    report: Callable[[Progress], None] = lambda progress: None,
    announce: Callable[[str], None] = lambda text: None,
) -> Outcome:
    """Train until the budget of `settings` is spent; a checkpoint in `folder` is resumed.

    Args:
        dataset: prepared paintings and labels.
        settings: networks, game and budget (`minutes`, `sounds` or `num_epochs`, whichever comes first).
        folder: where checkpoint, log and snapshots go; made if missing.
        report: called every few steps.
        announce: called once with what training runs on, before it starts.

    Raises:
        TrainingError: the checkpoint belongs to other data or settings; the networks diverged or collapsed (the last
            good checkpoint stays).
    """
    device, budget = pick_device(settings), _Budget(settings, len(dataset.labels))
    players = _new_players(dataset, settings, device)
    paintings = torch.from_numpy(np.array(dataset.paintings, np.float32))
    labels = torch.from_numpy(np.array(dataset.labels, np.int64))
    if device.type == "cuda":
        paintings, labels = paintings.to(device), labels.to(device)

    folder.mkdir(parents=True, exist_ok=True)
    checkpoint = folder / CHECKPOINT
    made_with = {"data": dataset.digest, "settings": settings.model_dump(mode="json")}
    made_with |= {"representation": dataset.representation.model_dump(), "labels": dataset.label_names}
    clock = Clock()
    for unfinished in folder.glob(f".{checkpoint.stem}.*.tmp{checkpoint.suffix}"):
        unfinished.unlink(missing_ok=True)  # of a process that was killed
    if checkpoint.exists():
        before = read_made_with(checkpoint)
        _check_same_run(checkpoint, before, made_with)
        clock = load_checkpoint(checkpoint, players)
        if settings.precision == "auto":  # another trial could end otherwise, and the run would not be the same
            settings = settings.model_copy(update={"precision": before.get("precision", "auto")})
    precision = pick_precision(settings, device)
    made_with["precision"] = str(precision).removeprefix("torch.")
    where = f"{settings.threads or torch.get_num_threads()} CPU threads" if device.type == "cpu" else device.type
    made_with["machine"] = machine = f"{where}, {made_with['precision']}"
    announce(machine)

    log = Log(folder, clock.seen)
    started, seconds_before, seen_before = time.monotonic(), clock.seconds, clock.seen
    last_snapshot = started

    def save() -> None:
        check_health(players, paintings, labels, clock, settings)
        save_checkpoint(checkpoint, players, clock, made_with)
        save_snapshot(folder / "snapshots", players.average, dataset, settings, clock.seen)

    with _stop_signal() as stop, log, processor(settings):
        while not budget.spent(clock) and not stop.is_set():
            index = _batch(settings.seed, clock.seen, settings.batch_size, len(labels)).to(labels.device)
            label = labels[index].to(device)
            chance = Chance(settings.seed, clock.seen, device)
            noise_std = settings.initial_noise_std * settings.noise_decay_rate**clock.steps
            real = paintings[index].to(device, memory_format=torch.channels_last).expand(-1, settings.nc, -1, -1)
            real = _with_noise(real, noise_std, chance)

            # The Discriminator learns to tell them from paintings made for the same labels.
            with arithmetic(device, precision), torch.no_grad():
                made = players.generator(chance.normal(len(real), settings.nz), label)
            made = _with_noise(made, noise_std, chance)
            steps = chance.normal(2 * len(real), *real.shape[1:])
            players.discriminator_optimizer.zero_grad()
            with arithmetic(device, precision):
                judged = discriminator_loss(
                    players.discriminator,
                    real,
                    made,
                    label,
                    steps,
                    gamma=settings.penalty,
                    sigma=settings.penalty_sigma,
                )
            judged.loss.backward()
            players.discriminator_optimizer.step()

            # The Generator learns to make them harder to tell, from new noise.
            players.generator_optimizer.zero_grad()
            players.discriminator.requires_grad_(False)
            with arithmetic(device, precision):
                made = players.generator(chance.normal(len(real), settings.nz), label)
                made_loss = generator_loss(players.discriminator, real, _with_noise(made, noise_std, chance), label)
            made_loss.backward()
            players.discriminator.requires_grad_(True)
            players.generator_optimizer.step()

            clock.seen += settings.batch_size
            clock.steps += 1
            _average(players, 0.5 ** (settings.batch_size / max(settings.ema * clock.seen, settings.batch_size)))
            now = time.monotonic()
            clock.seconds = seconds_before + now - started

            if clock.steps % LOG_EVERY == 0:
                losses = {
                    "loss_D": judged.loss.item(),
                    "loss_G": made_loss.item(),
                    "judged_right": judged.correct.item(),
                    "penalty": judged.penalty.item(),
                }
                check_finite(losses, clock)
                speed = (clock.seen - seen_before) / (now - started)
                log.write(clock, losses, speed)
                report(Progress(clock.seen, budget.done(clock), speed, budget.seconds_left(clock, speed), losses))
            if now - last_snapshot > 60 * settings.snapshot_minutes:
                save()
                last_snapshot = time.monotonic()
        if clock.seen > seen_before:
            save()
    return Outcome(players.average, clock, stop.is_set(), machine)


class _Budget:
    """When training is over, and how much of it is done."""

    def __init__(self, settings: Settings, recordings: int) -> None:
        epochs_seen = settings.num_epochs * recordings if settings.num_epochs else None
        sounds = [count for count in (settings.sounds, epochs_seen) if count is not None]
        self.sounds = min(sounds) if sounds else math.inf
        minutes = settings.minutes or (DEFAULT_MINUTES if not sounds else math.inf)
        self.seconds = 60 * minutes

    def done(self, clock: Clock) -> float:
        return min(1.0, max(clock.seen / self.sounds, clock.seconds / self.seconds))

    def spent(self, clock: Clock) -> bool:
        return self.done(clock) >= 1

    def seconds_left(self, clock: Clock, sounds_per_second: float) -> float:
        return max(0.0, min(self.seconds - clock.seconds, (self.sounds - clock.seen) / max(sounds_per_second, 1e-9)))


def _new_players(dataset: Dataset, settings: Settings, device: torch.device) -> Players:
    torch.manual_seed(settings.seed)
    count = len(dataset.label_names)
    networks = [build(settings, dataset.representation, count) for build in (build_generator, build_discriminator)]
    generator, discriminator = (net.to(device, memory_format=torch.channels_last) for net in networks)  # type: ignore[call-overload]
    betas = (settings.beta1, settings.beta2)
    fused = device.type in ("cpu", "cuda")
    return Players(
        generator,
        discriminator,
        copy.deepcopy(generator).eval().requires_grad_(False),
        torch.optim.Adam(generator.parameters(), settings.lr_G, betas, fused=fused),
        torch.optim.Adam(discriminator.parameters(), settings.lr_D, betas, fused=fused),
    )


def _batch(seed: int, seen: int, size: int, recordings: int) -> Tensor:
    """Indices of the next batch: every pass over the data is a permutation of its own, and passes run on seamlessly."""
    positions = np.arange(seen, seen + size)
    epochs = positions // recordings
    orders = {epoch: np.random.default_rng((seed, epoch)).permutation(recordings) for epoch in set(epochs.tolist())}
    return torch.tensor(
        [
            orders[epoch][position % recordings]
            for epoch, position in zip(epochs.tolist(), positions.tolist(), strict=True)
        ]
    )


def _with_noise(paintings: Tensor, std: float, chance: Chance) -> Tensor:
    return paintings + std * chance.normal(*paintings.shape) if std > 1e-4 else paintings


@torch.no_grad()
def _average(players: Players, decay: float) -> None:
    for mine, theirs in zip(players.average.parameters(), players.generator.parameters(), strict=True):
        mine.lerp_(theirs, 1 - decay)


def _check_same_run(checkpoint: Path, was: dict, now: dict) -> None:
    way_out = f"choose another saveroot, or delete {checkpoint.parent} to start anew"
    for key in sorted(now["settings"].keys() - CHANGEABLE - OF_THE_OTHER_NETWORK[now["settings"]["network"]]):
        # A setting that the checkpoint does not know yet had what is now its default.
        before, after = was["settings"].get(key, Settings.model_fields[key].default), now["settings"][key]
        if before != after:
            raise TrainingError(f"{checkpoint}: was trained with {key} = {before}, now it is {after}; {way_out}")
    # Afterwards, because a setting that changes the paintings is better told by its name.
    if was["data"] != now["data"]:
        raise TrainingError(f"{checkpoint}: was trained on other sounds; {way_out}")


@contextmanager
def _stop_signal() -> Iterator[threading.Event]:
    """An event that the first Ctrl-C (or SIGTERM) sets; the second one interrupts at once."""
    stop = threading.Event()
    if threading.current_thread() is not threading.main_thread():
        yield stop
        return

    def ask(number: int, frame: object) -> None:
        if stop.is_set():
            raise KeyboardInterrupt
        stop.set()

    before = {number: signal.signal(number, ask) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield stop
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
