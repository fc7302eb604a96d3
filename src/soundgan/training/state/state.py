"""The two networks, what trains them, and the averaged Generator."""

from __future__ import annotations

import copy
from dataclasses import dataclass
from functools import lru_cache, partial

import torch
from torch import Tensor, nn

from soundgan.data.dataset import Dataset
from soundgan.settings import Settings
from soundgan.spectral.noise_texture import NoiseTexture
from soundgan.spectral.representation import Representation
from soundgan.training.losses.diversity import CELL, LatentBank
from soundgan.training.networks.base import Generator
from soundgan.training.networks.build import build_discriminator, build_generator
from soundgan.training.runtime.rng import StepRNG

NEW_TAPE = 8192  # samples seen after which there is another tape of grain, so that no network learns it by heart
CONSTANT_RATES = 1_000  # steps until which learning rates stay as they are set


@dataclass
class TrainState:
    """The two networks, their optimizers, the averaged Generator (EMA) that is kept in the end, and candidates.

    These are latents that the present Generator painted lately, see `soundgan.training.losses.diversity`.
    """

    generator: Generator
    discriminator: nn.Module
    generator_ema: Generator
    generator_optimizer: torch.optim.Optimizer
    discriminator_optimizer: torch.optim.Optimizer
    candidates: LatentBank

    def modules(self) -> dict[str, nn.Module]:
        names = "generator", "discriminator", "generator_ema", "candidates"
        return {name: getattr(self, name) for name in names}

    def optimizers(self) -> dict[str, torch.optim.Optimizer]:
        return {
            "generator_optimizer": self.generator_optimizer,
            "discriminator_optimizer": self.discriminator_optimizer,
        }

    def set_learning_rates(self, settings: Settings, samples_seen: int) -> None:
        """Set the learning rates for the next step: constant at first, then falling with the square root of `samples_seen`.

        (Karras et al. 2024, EDM2.) It needs no end to be known, and so stays the same for a longer budget.
        """
        share = min(1.0, (CONSTANT_RATES * settings.optim.batch_size / max(samples_seen, 1)) ** 0.5)
        rates = (self.generator_optimizer, settings.optim.lr_G), (self.discriminator_optimizer, settings.optim.lr_D)
        for optimizer, rate in rates:
            for group in optimizer.param_groups:
                if isinstance(group["lr"], Tensor):
                    group["lr"].fill_(rate * share)  # where it lies: what is recorded looks there
                else:
                    group["lr"] = rate * share

    @torch.no_grad()
    def update_ema(self, decay: float) -> None:
        """Move the averaged Generator towards the present one, by 1 - `decay` of the way."""
        mine, theirs = (list[Tensor](network.parameters()) for network in (self.generator_ema, self.generator))
        torch._foreach_lerp_(mine, theirs, 1 - decay)  # pyright: ignore[reportPrivateImportUsage] - one kernel on a GPU


def init_state(dataset: Dataset, settings: Settings, device: torch.device) -> TrainState:
    """Untrained networks for the spectrograms of a dataset, the same ones for the same seed."""
    torch.manual_seed(settings.run.seed)
    count = len(dataset.label_names)
    generator = build_generator(settings.model, dataset.representation, count)
    discriminator = build_discriminator(settings.model, dataset.representation, count)
    for network in (generator, discriminator):
        network.to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]

    def adam(network: nn.Module, rate: float) -> torch.optim.Optimizer:
        """On CUDA one whose steps can be recorded, see `soundgan.training.runtime.cuda_graph`."""
        cuda, betas = device.type == "cuda", (settings.optim.beta1, settings.optim.beta2)
        given = torch.tensor(rate, device=device) if cuda else rate
        fused = device.type in ("cpu", "cuda")
        return torch.optim.Adam(network.parameters(), given, betas, fused=fused, capturable=cuda)

    return TrainState(
        generator,
        discriminator,
        copy.deepcopy(generator).eval().requires_grad_(False),
        adam(generator, settings.optim.lr_G),
        adam(discriminator, settings.optim.lr_D),
        new_candidates(settings, dataset.representation, count).to(device),
    )


def new_candidates(settings: Settings, representation: Representation, labels: int) -> LatentBank:
    """Room for the latents of spectrograms of so many labels, or none (0)."""
    bands, frames = representation.shape
    return LatentBank(max(labels, 1), settings.model.nz, settings.model.nc * (bands // CELL) * (frames // CELL))


class GeneratorInputs:
    """Hands a Generator what it paints from: new latents, and grain if it takes some."""

    def __init__(self, settings: Settings, representation: Representation) -> None:
        self._nz, self._frames = settings.model.nz, representation.frames
        # The tape of the step and that of the checks, which draw their chance from 0 samples seen.
        self._noise_texture = lru_cache(2)(partial(NoiseTexture, representation))
        self._tape, self._number = torch.empty(0), -1

    def latents(self, count: int, rng: StepRNG) -> Tensor:
        """So many latents z (count, nz)."""
        return rng.normal(count, self._nz)

    def generate(self, generator: Generator, labels: Tensor, rng: StepRNG, *, shared_noise: bool = False) -> Tensor:
        """Spectrograms (n, nc, bands, frames) of labels (n,), from new latents.

        With `shared_noise`, the same grain lies on all.
        """
        w = generator.mapping(self.latents(len(labels), rng), labels)
        return self.synthesize_from_w(generator, w, rng, shared_noise=shared_noise)

    def synthesize_from_w(self, generator: Generator, w: Tensor, rng: StepRNG, *, shared_noise: bool = False) -> Tensor:
        """The same from mapped latents w (n, …)."""
        if not generator.uses_noise:
            return generator.synthesis(w)
        self.refresh_noise(rng)
        noise = rng.random_crops(self._tape, self._frames, 1 if shared_noise else len(w))
        return generator.synthesis(w, noise.expand(len(w), -1, -1, -1))

    def refresh_noise(self, rng: StepRNG) -> None:
        """Bring the tape of grain that belongs to the samples seen to the device, always to the same place in memory."""
        if self._number != (number := rng.samples_seen // NEW_TAPE):
            tape = torch.from_numpy(self._noise_texture(seed=number).levels)
            if self._number < 0:
                self._tape = torch.empty_like(tape, device=rng.device)
            self._tape.copy_(tape)
            self._number = number
