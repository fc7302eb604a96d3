"""One step of the training: both networks learn from a batch.

On a GPU it is recorded, see `soundgan.training.runtime.cuda_graph`. So nothing in it waits for the device, and what adapts from
step to step is kept there too.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from soundgan.data.dataset import Dataset
from soundgan.settings import Settings
from soundgan.training.losses.adversarial import balanced, discriminator_loss, generator_loss
from soundgan.training.losses.augment import DRAWN, adapted, augment
from soundgan.training.losses.auxiliary import Supervision
from soundgan.training.runtime.cuda_graph import Recorded
from soundgan.training.runtime.device import arithmetic
from soundgan.training.runtime.distributed import World
from soundgan.training.runtime.rng import Chance, Pairs
from soundgan.training.state.checkpoint import Clock
from soundgan.training.state.state import Painter, Players

VARIETY_HALF_LIFE = 256  # sounds over which the variety of paintings is averaged
LEAST_NOISE = 1e-4  # standard deviation below which there is none


class Told(NamedTuple):
    """What a step tells for the log, all scalars."""

    loss_D: Tensor
    loss_G: Tensor
    judged_right: Tensor
    penalty: Tensor
    label_loss: Tensor
    missed: Tensor
    texture_error: Tensor
    pitch_error: Tensor


class Step:
    """Makes one step after another.

    Args:
        clock: how often paintings are changed, and how varied they are; `tell` brings it up to date.
        world: the processes that train together, each with its share of every batch.

    Attributes:
        paintings, labels: of all recordings.
    """

    def __init__(
        self,
        dataset: Dataset,
        settings: Settings,
        players: Players,
        painter: Painter,
        clock: Clock,
        device: torch.device,
        precision: torch.dtype,
        world: World,
    ) -> None:
        self._settings, self._players, self._painter, self._world = settings, players, painter, world
        self._device, self._precision = device, precision
        self.paintings = torch.from_numpy(np.array(dataset.paintings, np.float32))
        self.labels = torch.from_numpy(np.array(dataset.labels, np.int64))
        self._label_weights = balanced(self.labels).to(device)
        if device.type == "cuda":
            self.paintings, self.labels = self.paintings.to(device), self.labels.to(device)
        self._supervision = Supervision(dataset, settings, device, players.candidates, world)
        self._pairs = Pairs(settings.seed, np.array(dataset.labels))
        self._chance = Chance(settings.seed, clock.seen, device, world)
        self._batch = torch.zeros(settings.batch_size, dtype=torch.int64, device=self.labels.device)
        self._noise = torch.zeros((), device=device)
        self._augment, self._variety = (torch.tensor(value, device=device) for value in (clock.augment, clock.variety))
        recorded = device.type == "cuda" and world.size == 1  # what processes tell each other is not recorded
        self._recorded: Recorded[Told] | None = Recorded(self._chance.generator) if recorded else None

    def __call__(self, clock: Clock) -> Told:
        """Make the step that comes after what `clock` has seen. What is told is overwritten by the next one."""
        settings = self._settings
        self._chance.move_to(clock.seen)
        self._painter.lay_out(self._chance)
        self._players.set_rates(settings, clock.seen)
        self._batch.copy_(self._pairs(clock.seen, settings.batch_size), non_blocking=True)
        noise = settings.initial_noise_std * settings.noise_decay_rate**clock.steps
        self._noise.fill_(noise if noise > LEAST_NOISE else 0.0)
        # What is recorded goes on drawing it; so do several processes on such devices, that have the chance of one.
        self._noisy = (settings.initial_noise_std if self._device.type == "cuda" else noise) > LEAST_NOISE
        return self._learn() if self._recorded is None else self._recorded(self._learn)

    @property
    def strength(self) -> Tensor | float:
        """How often paintings are changed now."""
        return self._augment if self._settings.augment is None else self._settings.augment

    def tell(self, clock: Clock) -> None:
        """Bring what adapts into the clock; waits for the device."""
        clock.augment, clock.variety = torch.stack([self._augment, self._variety]).tolist()

    def _shown(self, real: Tensor, made: Tensor) -> tuple[Tensor, Tensor]:
        """What the Discriminator sees of real and of made paintings, which are changed together: that is quicker."""
        sounds, chance = torch.cat([real, made]), self._chance
        if self._settings.augment != 0:
            sounds = augment(sounds, self.strength, _of_both(lambda: chance.uniform(len(real), DRAWN)))
        if self._noisy:
            sounds = sounds + self._noise * _of_both(lambda: chance.normal(*real.shape))
        shown_real, shown_made = sounds.chunk(2)
        return shown_real.detach(), shown_made

    def _learn(self) -> Told:
        settings, players, painter, supervision = self._settings, self._players, self._painter, self._supervision
        chance, world, device = self._chance, self._world, self._device
        index = world.shard(self._batch)
        label = self.labels[index].to(device)
        real = self.paintings[index].to(device, memory_format=torch.channels_last).expand(-1, settings.nc, -1, -1)

        # Of two of each label, one is painted from new noise, and one from that which came nearest to the recording.
        with arithmetic(device, self._precision):
            z = painter.latents(len(label), chance)
            z[::2] = supervision.nearest(self._batch[::2], z[::2])
            w = players.generator.mapping(z, label)  # type: ignore[operator]
            made = painter.paint_mapped(players.generator, w, chance)
            taught = supervision.compare(players.generator, made, w, index[::2], self._variety)
            supervision.keep(z[1::2], made[1::2].detach(), label[1::2])
            real, shown = self._shown(real, made)

        # The Discriminator learns to tell them from the recordings.
        players.discriminator_optimizer.zero_grad()
        with arithmetic(device, self._precision):
            judged = discriminator_loss(
                players.discriminator,
                real,
                shown.detach(),
                label,
                _of_both(lambda: chance.normal(*real.shape)),
                gamma=settings.penalty,
                sigma=settings.penalty_sigma,
                recognition=settings.recognition,
                label_weights=self._label_weights,
            )
        judged.loss.backward()
        world.average_gradients(players.discriminator)
        players.discriminator_optimizer.step()

        # The Generator learns to make them harder to tell.
        players.generator_optimizer.zero_grad()
        players.discriminator.requires_grad_(False)
        with arithmetic(device, self._precision):
            made_loss = generator_loss(players.discriminator, judged.real_logits, shown, label)
        (made_loss + taught.loss).backward()
        players.discriminator.requires_grad_(True)
        world.average_gradients(players.generator)
        players.generator_optimizer.step()

        right, varied = world.average(torch.stack([judged.correct, taught.variety])).unbind()
        self._augment.copy_(adapted(self._augment, right, settings.batch_size))
        self._variety.lerp_(varied, 1 - 0.5 ** (settings.batch_size / VARIETY_HALF_LIFE))
        return Told(
            judged.loss.detach(),
            made_loss.detach(),
            judged.correct,
            judged.penalty,
            judged.label_loss,
            taught.missed,
            taught.texture_error,
            taught.pitch_error,
        )


def _of_both(draw: Callable[[], Tensor]) -> Tensor:
    """Random numbers of real and of made sounds: each half is the same however many processes share it."""
    return torch.cat([draw(), draw()])
