"""Progress of a training, its networks with their optimizers, and the inputs of the generator."""

from __future__ import annotations

import copy
from dataclasses import dataclass
from functools import lru_cache, partial

import torch
from torch import Tensor, nn

from soundgan.data.dataset import Dataset
from soundgan.settings import ModelSettings, OptimSettings, Settings
from soundgan.spectral.noise_texture import NoiseTexture
from soundgan.spectral.representation import Representation
from soundgan.training.losses.cells import num_cells
from soundgan.training.losses.imle import LatentBank
from soundgan.training.networks.base import Generator
from soundgan.training.networks.build import build_discriminator, build_generator
from soundgan.training.runtime.rng import StepRNG

NOISE_BUFFER_SAMPLES = 8192  # samples seen with the same noise texture, so that no network memorizes it
CONSTANT_LR_STEPS = 1_000  # steps before the learning rates decay


@dataclass
class Progress:
    """Real samples seen, steps done, seconds spent, and two running values that adapt the losses.

    Attributes:
        augment_p: probability of each augmentation.
        diversity: exponential moving average of the diversity of generated samples of a label; 1 is that of real ones.
    """

    samples_seen: int = 0
    steps: int = 0
    seconds: float = 0.0
    augment_p: float = 0.0
    diversity: float = 1.0


@dataclass
class TrainState:
    """The networks, their optimizers, the EMA of the generator that becomes the model, and the latents for IMLE."""

    generator: Generator
    discriminator: nn.Module
    generator_ema: Generator
    generator_optimizer: torch.optim.Optimizer
    discriminator_optimizer: torch.optim.Optimizer
    latent_bank: LatentBank

    def modules(self) -> dict[str, nn.Module]:
        names = "generator", "discriminator", "generator_ema", "latent_bank"
        return {name: getattr(self, name) for name in names}

    def optimizers(self) -> dict[str, torch.optim.Optimizer]:
        names = "generator_optimizer", "discriminator_optimizer"
        return {name: getattr(self, name) for name in names}

    def set_learning_rates(self, settings: OptimSettings, samples_seen: int) -> None:
        """Set the learning rates of the next step: constant at first, then decaying with 1 / sqrt(`samples_seen`).

        (Karras et al. 2024, EDM2.) The schedule does not depend on the end of the training, so a training can be
        extended.
        """
        decay = min(1.0, (CONSTANT_LR_STEPS * settings.batch_size / max(samples_seen, 1)) ** 0.5)
        rates = (self.generator_optimizer, settings.lr_G), (self.discriminator_optimizer, settings.lr_D)
        for optimizer, rate in rates:
            for group in optimizer.param_groups:
                if isinstance(group["lr"], Tensor):
                    group["lr"].fill_(rate * decay)  # in place: a captured CUDA graph reads it
                else:
                    group["lr"] = rate * decay

    @torch.no_grad()
    def update_ema(self, decay: float) -> None:
        """Move the weights of `generator_ema` toward those of `generator`, by 1 - `decay`."""
        averages, weights = (list[Tensor](network.parameters()) for network in (self.generator_ema, self.generator))
        torch._foreach_lerp_(averages, weights, 1 - decay)  # pyright: ignore[reportPrivateImportUsage] - one kernel


def init_state(dataset: Dataset, settings: Settings, device: torch.device) -> TrainState:
    """Return untrained networks for the spectrograms of a dataset, the same for the same seed."""
    torch.manual_seed(settings.run.seed)
    representation, labels = dataset.representation, len(dataset.label_names)
    generator = build_generator(settings.model, representation, labels)
    if generator.has_length_and_level:
        generator.length_and_level.fit(dataset)
    discriminator = build_discriminator(settings.model, representation, labels)
    for network in (generator, discriminator):
        network.to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]
    return TrainState(
        generator,
        discriminator,
        copy.deepcopy(generator).eval().requires_grad_(False),
        _adam(generator, settings.optim.lr_G, settings.optim, device),
        _adam(discriminator, settings.optim.lr_D, settings.optim, device),
        init_latent_bank(settings.model, representation, labels).to(device),
    )


def init_latent_bank(settings: ModelSettings, representation: Representation, labels: int) -> LatentBank:
    """Return an empty bank for the spectrograms of these labels, or of unlabeled sounds (0)."""
    return LatentBank(max(labels, 1), settings.nz, settings.nc * num_cells(*representation.shape))


def _adam(network: nn.Module, rate: float, settings: OptimSettings, device: torch.device) -> torch.optim.Optimizer:
    """Return Adam; on CUDA one whose steps can be captured, with its learning rate in a tensor."""
    cuda, betas = device.type == "cuda", (settings.beta1, settings.beta2)
    lr = torch.tensor(rate, device=device) if cuda else rate
    fused = device.type in ("cpu", "cuda")
    return torch.optim.Adam(network.parameters(), lr, betas, fused=fused, capturable=cuda)


class GeneratorInputs:
    """Latents and noise textures, drawn for a generator.

    Args:
        nz: dimensions of a latent.
    """

    def __init__(self, nz: int, representation: Representation) -> None:
        self._nz, self._frames = nz, representation.frames
        # Two textures alternate: that of the step, and that of validation, which draws as at 0 samples seen.
        self._noise_texture = lru_cache(2)(partial(NoiseTexture, representation))
        self._noise_buffer, self._noise_buffer_index = torch.empty(0), -1

    def latents(self, count: int, rng: StepRNG) -> Tensor:
        """Draw latents z (count, nz)."""
        return rng.normal(count, self._nz)

    def generate(self, generator: Generator, labels: Tensor, rng: StepRNG, *, shared_noise: bool = False) -> Tensor:
        """Generate a spectrogram of each label from new latents. Shape: (n,) → (n, nc, bands, frames).

        Args:
            shared_noise: all spectrograms get the same noise texture.
        """
        w = generator.mapping(self.latents(len(labels), rng), labels.to(rng.device))
        return self.synthesize_from_w(generator, w, rng, shared_noise=shared_noise)

    def synthesize_from_w(self, generator: Generator, w: Tensor, rng: StepRNG, *, shared_noise: bool = False) -> Tensor:
        """Generate spectrograms from mapped latents, as `generate`. Shape: (n, w_dim) → (n, nc, bands, frames)."""
        if not generator.uses_noise:
            return generator.synthesis(w)
        self.refresh_noise(rng)
        noise = rng.random_crops(self._noise_buffer, self._frames, 1 if shared_noise else len(w))
        return generator.synthesis(w, noise.expand(len(w), -1, -1, -1))

    def refresh_noise(self, rng: StepRNG) -> None:
        """Copy the noise texture for `rng.samples_seen` to the buffer on the device, unless it is there already.

        The buffer keeps its address, for captured CUDA graphs. `synthesize_from_w` calls this, too, but is
        itself captured: so `TrainStep` calls it first, outside of the graph.
        """
        if self._noise_buffer_index != (number := rng.samples_seen // NOISE_BUFFER_SAMPLES):
            texture = torch.from_numpy(self._noise_texture(seed=number).levels)
            if self._noise_buffer_index < 0:
                self._noise_buffer = torch.empty_like(texture, device=rng.device)
            self._noise_buffer.copy_(texture)
            self._noise_buffer_index = number
