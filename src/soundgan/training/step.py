"""One training step: its inputs, its losses and updates, and their capture as a CUDA graph."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from soundgan.data.dataset import Dataset
from soundgan.settings import LossSettings, Settings
from soundgan.training.losses.adversarial import balanced_class_weights, discriminator_loss, generator_loss
from soundgan.training.losses.augment import NUM_RANDOM, augment, update_augment_p
from soundgan.training.losses.auxiliary import ANCHORS, PARTNERS, AuxiliaryLosses
from soundgan.training.losses.terms import detached, weighted_sum
from soundgan.training.runtime.cuda_graph import CudaGraphCallable
from soundgan.training.runtime.device import Compute
from soundgan.training.runtime.rng import PairedSampler, StepRNG
from soundgan.training.state.train_state import GeneratorInputs, Progress, TrainState

DIVERSITY_HALF_LIFE = 256  # samples, of the moving average of the diversity
MIN_NOISE_STD = 1e-4  # below which instance noise is none

StepStats = dict[str, Tensor]  # scalars for the log; overwritten by the next step


@dataclass
class StepInputs:
    """Static inputs of a step: tensors that keep their addresses, for captured CUDA graphs.

    Attributes:
        spectrograms, labels: of all recordings; on the device if that is a GPU.
        class_weights: of each label, in the label loss.
        indices: recordings of the batch, of all processes.
        noise_std: standard deviation of the instance noise.
        has_noise: instance noise is drawn. On CUDA it is drawn in all steps or in none, as a graph is captured once.
    """

    spectrograms: Tensor
    labels: Tensor
    class_weights: Tensor
    indices: Tensor
    noise_std: Tensor
    has_noise: bool

    @classmethod
    def allocate(cls, dataset: Dataset, batch_size: int, device: torch.device) -> StepInputs:
        spectrograms = torch.from_numpy(np.array(dataset.spectrograms, np.float32))
        labels = torch.from_numpy(np.array(dataset.labels, np.int64))
        class_weights = balanced_class_weights(labels).to(device)
        if device.type == "cuda":
            spectrograms, labels = spectrograms.to(device), labels.to(device)
        indices = torch.zeros(batch_size, dtype=torch.int64, device=labels.device)
        return cls(spectrograms, labels, class_weights, indices, torch.zeros((), device=device), has_noise=False)

    def fill(self, sampler: PairedSampler, settings: LossSettings, samples_seen: int) -> None:
        """Write the batch and the instance noise of the step after `samples_seen` samples, in place."""
        batch_size = len(self.indices)
        self.indices.copy_(sampler(samples_seen, batch_size), non_blocking=True)
        std = settings.initial_noise_std * settings.noise_decay_rate ** (samples_seen // batch_size)
        self.noise_std.fill_(std if std > MIN_NOISE_STD else 0.0)
        on_cuda = self.noise_std.device.type == "cuda"
        self.has_noise = (settings.initial_noise_std if on_cuda else std) > MIN_NOISE_STD


@dataclass
class AdaptiveState:
    """Values that adapt from step to step, on the device: nothing in a step waits for it."""

    augment_p: Tensor
    diversity: Tensor

    @classmethod
    def load(cls, progress: Progress, device: torch.device) -> AdaptiveState:
        return cls(*(torch.tensor(value, device=device) for value in (progress.augment_p, progress.diversity)))

    def update(self, d_accuracy: Tensor, diversity: Tensor, batch_size: int) -> None:
        self.augment_p.copy_(update_augment_p(self.augment_p, d_accuracy, batch_size))
        self.diversity.lerp_(diversity, 1 - 0.5 ** (batch_size / DIVERSITY_HALF_LIFE))

    def sync_to(self, progress: Progress) -> None:
        """Copy the values into `progress`; waits for the device."""
        progress.augment_p, progress.diversity = torch.stack([self.augment_p, self.diversity]).tolist()


class TrainStep:
    """Computes the losses of a batch and updates both networks.

    Where a single process trains on a GPU, the update is captured as a CUDA graph: it reads only inputs that are filled
    in place, and never waits for the device.

    Args:
        progress: from which adaptive values and random numbers go on.

    Attributes:
        adaptive: copied to `Progress` by its `sync_to`.
    """

    def __init__(
        self,
        dataset: Dataset,
        settings: Settings,
        train_state: TrainState,
        generator_inputs: GeneratorInputs,
        progress: Progress,
        compute: Compute,
    ) -> None:
        self._optim, self._losses, self._nc = settings.optim, settings.losses, settings.model.nc
        self._state, self._generator_inputs, self._compute = train_state, generator_inputs, compute
        device, distributed = compute.device, compute.distributed
        self._inputs = StepInputs.allocate(dataset, settings.optim.batch_size, device)
        self.adaptive = AdaptiveState.load(progress, device)
        self._auxiliary = AuxiliaryLosses(dataset, settings.losses, device, train_state.latent_bank, distributed)
        self._sampler = PairedSampler(settings.run.seed, dataset.labels)
        self._rng = StepRNG(settings.run.seed, progress.samples_seen, device, distributed)
        self._graph = CudaGraphCallable[StepStats](self._rng.generator) if compute.captures_graphs else None

    def __call__(self, samples_seen: int) -> StepStats:
        """Run the step after `samples_seen` samples. The next step overwrites the values that it returns."""
        self._rng.seed_at(samples_seen)
        self._generator_inputs.refresh_noise(self._rng)
        self._state.set_learning_rates(self._optim, samples_seen)
        self._inputs.fill(self._sampler, self._losses, samples_seen)
        return self._update() if self._graph is None else self._graph(self._update)

    def _update(self) -> StepStats:
        inputs, state, losses, rng = self._inputs, self._state, self._losses, self._rng
        compute, distributed = self._compute, self._compute.distributed

        # Real batch
        indices = distributed.shard(inputs.indices)
        labels = inputs.labels[indices].to(compute.device)
        real = inputs.spectrograms[indices].to(compute.device, memory_format=torch.channels_last)
        real = real.expand(-1, self._nc, -1, -1)

        # Fake batch: anchors from the latents nearest to the recordings, partners from new latents
        with compute.autocast():
            anchors = indices[ANCHORS]
            z = self._generator_inputs.latents(len(labels), rng)
            z[ANCHORS] = self._auxiliary.nearest_latents(anchors, z[ANCHORS])
            w = state.generator.mapping(z, labels)
            fake = self._generator_inputs.synthesize_from_w(state.generator, w, rng)
            terms, diversity = self._auxiliary.terms(state.generator, fake, z, w, anchors, self.adaptive.diversity)
            self._auxiliary.update_bank(z[PARTNERS], fake[PARTNERS].detach(), labels[PARTNERS])
            real, augmented = self._augment(real, fake)

        # Discriminator
        state.discriminator_optimizer.zero_grad()
        with compute.autocast():
            noise = _draw_for_both(lambda: rng.normal(*real.shape))
            d_loss = discriminator_loss(
                state.discriminator, real, augmented.detach(), labels, noise, losses, inputs.class_weights
            )
        d_loss.loss.backward()
        distributed.average_gradients(state.discriminator)
        state.discriminator_optimizer.step()

        # Generator
        state.generator_optimizer.zero_grad()
        trained = [parameter for parameter in state.discriminator.parameters() if parameter.requires_grad]
        _require_grad(trained, False)
        with compute.autocast():
            terms["loss_G"] = 1.0, generator_loss(state.discriminator, d_loss.real_logits, augmented, labels)
        weighted_sum(terms).backward()
        _require_grad(trained, True)
        distributed.average_gradients(state.generator)
        state.generator_optimizer.step()

        d_accuracy, diversity = distributed.average(torch.stack([d_loss.d_accuracy, diversity])).unbind()
        self.adaptive.update(d_accuracy, diversity, self._optim.batch_size)
        stats = {"loss_D": d_loss.loss.detach(), "d_accuracy": d_loss.d_accuracy}
        return stats | d_loss.terms | detached(terms)

    def _augment(self, real: Tensor, fake: Tensor) -> tuple[Tensor, Tensor]:
        """Return the discriminator's input: augmented together, as one call is faster, and with instance noise."""
        spectrograms, rng = torch.cat([real, fake]), self._rng
        if self._losses.augment_p != 0:
            random = _draw_for_both(lambda: rng.uniform(len(real), NUM_RANDOM))
            fixed_p = self._losses.augment_p
            spectrograms = augment(spectrograms, self.adaptive.augment_p if fixed_p is None else fixed_p, random)
        if self._inputs.has_noise:
            spectrograms = spectrograms + self._inputs.noise_std * _draw_for_both(lambda: rng.normal(*real.shape))
        real, fake = spectrograms.chunk(2)
        return real.detach(), fake


def _require_grad(parameters: Iterable[nn.Parameter], required: bool) -> None:
    for parameter in parameters:
        parameter.requires_grad_(required)


def _draw_for_both(draw: Callable[[], Tensor]) -> Tensor:
    """Draw for the real and for the fake half, so that each is the same however many processes share the batch."""
    return torch.cat([draw(), draw()])
