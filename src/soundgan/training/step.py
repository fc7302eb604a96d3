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
from soundgan.training.losses.adversarial import class_weights, discriminator_loss, generator_loss
from soundgan.training.losses.augment import DRAWN, augment, update_augment_p
from soundgan.training.losses.auxiliary import AuxiliaryLosses
from soundgan.training.runtime.cuda_graph import CudaGraphCallable
from soundgan.training.runtime.device import autocast
from soundgan.training.runtime.distributed import Distributed
from soundgan.training.runtime.rng import PairedSampler, StepRNG
from soundgan.training.state.checkpoint import Progress
from soundgan.training.state.state import GeneratorInputs, TrainState

VARIETY_HALF_LIFE = 256  # sounds over which the variety of spectrograms is averaged
LEAST_NOISE = 1e-4  # standard deviation below which there is none


class StepStats(NamedTuple):
    """What a step tells for the log, all scalars."""

    loss_D: Tensor
    loss_G: Tensor
    d_accuracy: Tensor
    gradient_penalty: Tensor
    label_loss: Tensor
    imle_loss: Tensor
    texture_loss: Tensor
    pitch_loss: Tensor


class Step:
    """Makes one step after another.

    Args:
        clock: how often spectrograms are changed, and how varied they are; `tell` brings it up to date.
        world: the processes that train together, each with its share of every batch.

    Attributes:
        spectrograms, labels: of all recordings.
    """

    def __init__(
        self,
        dataset: Dataset,
        settings: Settings,
        train_state: TrainState,
        generator_inputs: GeneratorInputs,
        progress: Progress,
        device: torch.device,
        precision: torch.dtype,
        distributed: Distributed,
    ) -> None:
        self._settings, self._train_state, self._generator_inputs, self._distributed = (
            settings,
            train_state,
            generator_inputs,
            distributed,
        )
        self._device, self._precision = device, precision
        self.spectrograms = torch.from_numpy(np.array(dataset.spectrograms, np.float32))
        self.labels = torch.from_numpy(np.array(dataset.labels, np.int64))
        self._label_weights = class_weights(self.labels).to(device)
        if device.type == "cuda":
            self.spectrograms, self.labels = self.spectrograms.to(device), self.labels.to(device)
        self._auxiliary = AuxiliaryLosses(dataset, settings, device, train_state.candidates, distributed)
        self._pairs = PairedSampler(settings.run.seed, np.array(dataset.labels))
        self._rng = StepRNG(settings.run.seed, progress.samples_seen, device, distributed)
        self._batch = torch.zeros(settings.optim.batch_size, dtype=torch.int64, device=self.labels.device)
        self._noise = torch.zeros((), device=device)
        self._augment, self._variety = (
            torch.tensor(value, device=device) for value in (progress.augment_p, progress.diversity)
        )
        recorded = device.type == "cuda" and distributed.size == 1  # what processes tell each other is not recorded
        self._recorded: CudaGraphCallable[StepStats] | None = (
            CudaGraphCallable(self._rng.generator) if recorded else None
        )

    def __call__(self, progress: Progress) -> StepStats:
        """Make the step that comes after what `progress` has seen. What is told is overwritten by the next one."""
        settings = self._settings
        self._rng.seed_at(progress.samples_seen)
        self._generator_inputs.refresh_noise(self._rng)
        self._train_state.set_learning_rates(settings, progress.samples_seen)
        self._batch.copy_(self._pairs(progress.samples_seen, settings.optim.batch_size), non_blocking=True)
        noise = settings.losses.initial_noise_std * settings.losses.noise_decay_rate**progress.steps
        self._noise.fill_(noise if noise > LEAST_NOISE else 0.0)
        # What is recorded goes on drawing it; so do several processes on such devices, that have the chance of one.
        self._noisy = (settings.losses.initial_noise_std if self._device.type == "cuda" else noise) > LEAST_NOISE
        return self._learn() if self._recorded is None else self._recorded(self._learn)

    @property
    def strength(self) -> Tensor | float:
        """How often spectrograms are changed now."""
        return self._augment if self._settings.losses.augment_p is None else self._settings.losses.augment_p

    def tell(self, progress: Progress) -> None:
        """Bring what adapts into the clock; waits for the device."""
        progress.augment_p, progress.diversity = torch.stack([self._augment, self._variety]).tolist()

    def _shown(self, real: Tensor, made: Tensor) -> tuple[Tensor, Tensor]:
        """What the Discriminator sees of real and of made spectrograms, which are changed together: that is quicker."""
        sounds, rng = torch.cat([real, made]), self._rng
        if self._settings.losses.augment_p != 0:
            sounds = augment(sounds, self.strength, _of_both(lambda: rng.uniform(len(real), DRAWN)))
        if self._noisy:
            sounds = sounds + self._noise * _of_both(lambda: rng.normal(*real.shape))
        shown_real, shown_made = sounds.chunk(2)
        return shown_real.detach(), shown_made

    def _learn(self) -> StepStats:
        settings, train_state, generator_inputs, auxiliary = (
            self._settings,
            self._train_state,
            self._generator_inputs,
            self._auxiliary,
        )
        rng, distributed, device = self._rng, self._distributed, self._device
        index = distributed.shard(self._batch)
        label = self.labels[index].to(device)
        real = (
            self.spectrograms[index].to(device, memory_format=torch.channels_last).expand(-1, settings.model.nc, -1, -1)
        )

        # Of two of each label, one is painted from new noise, and one from that which came nearest to the recording.
        with autocast(device, self._precision):
            z = generator_inputs.latents(len(label), rng)
            z[::2] = auxiliary.nearest(self._batch[::2], z[::2])
            w = train_state.generator.mapping(z, label)
            made = generator_inputs.synthesize_from_w(train_state.generator, w, rng)
            taught = auxiliary.compare(train_state.generator, made, w, index[::2], self._variety)
            auxiliary.keep(z[1::2], made[1::2].detach(), label[1::2])
            real, shown = self._shown(real, made)

        # The Discriminator learns to tell them from the recordings.
        train_state.discriminator_optimizer.zero_grad()
        with autocast(device, self._precision):
            judged = discriminator_loss(
                train_state.discriminator,
                real,
                shown.detach(),
                label,
                _of_both(lambda: rng.normal(*real.shape)),
                gamma=settings.losses.gradient_penalty,
                sigma=settings.losses.gradient_penalty_sigma,
                label_weight=settings.losses.label_loss,
                label_weights=self._label_weights,
            )
        judged.loss.backward()
        distributed.average_gradients(train_state.discriminator)
        train_state.discriminator_optimizer.step()

        # The Generator learns to make them harder to tell.
        train_state.generator_optimizer.zero_grad()
        train_state.discriminator.requires_grad_(False)
        with autocast(device, self._precision):
            made_loss = generator_loss(train_state.discriminator, judged.real_logits, shown, label)
        (made_loss + taught.loss).backward()
        train_state.discriminator.requires_grad_(True)
        distributed.average_gradients(train_state.generator)
        train_state.generator_optimizer.step()

        right, varied = distributed.average(torch.stack([judged.correct, taught.variety])).unbind()
        self._augment.copy_(update_augment_p(self._augment, right, settings.optim.batch_size))
        self._variety.lerp_(varied, 1 - 0.5 ** (settings.optim.batch_size / VARIETY_HALF_LIFE))
        return StepStats(
            judged.loss.detach(),
            made_loss.detach(),
            judged.correct,
            judged.penalty,
            judged.label_loss,
            taught.imle_loss,
            taught.texture_loss,
            taught.pitch_loss,
        )


def _of_both(draw: Callable[[], Tensor]) -> Tensor:
    """Random numbers of real and of made sounds: each half is the same however many processes share it."""
    return torch.cat([draw(), draw()])
