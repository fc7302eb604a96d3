"""The original SoundGAN: a DCGAN that paints mel spectrograms, without normalisation layers and without labels.

Networks of Radford, Metz and Chintala, "Unsupervised Representation Learning with Deep Convolutional Generative
Adversarial Networks" (2015) as `soundgan.training.networks.dcgan` has them, in a Wasserstein game with gradient penalty. All
that the critic sees carries instance noise (Sønderby et al., "Amortised MAP Inference for Image Super-resolution",
2017), which fades: `initial_noise_std * noise_decay_rate**step`.

The original painted 256 × 256 mel bands and frames, and needed 27 s for a sound. Here it gets the spectrograms of the
present SoundGAN, 128 bands, its phase retrieval, and with that a stage less: it is kinder than the original.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor, nn

from soundgan.settings import Settings
from soundgan.spectral.presets import preset
from soundgan.spectral.representation import Representation, levels_db, normalize, synthesize
from soundgan.training.networks.build import build_discriminator, build_generator
from soundgan.training.state.checkpoint import Progress

from .wgan_gp import Budget, Floats, Game, Trained, fitted, play, samples_of

RULES = Game(batch=16, rate=2e-4, betas=(0.5, 0.999), latent="normal", noise=0.1, noise_decay=0.997)


class Unlabelled(nn.Module):
    """A Generator of noise and labels as one that asks for no labels."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, x: Tensor) -> Tensor:
        return self.network(x, torch.zeros(len(x), dtype=torch.int64, device=x.device))


def train(
    waves: list[Floats] | Floats,
    sample_rate: int,
    *,
    minutes: float,
    seed: int,
    width: int = 128,
    steps: int | None = None,
    game: Game = RULES,
    device: torch.device | None = None,
    report: Callable[[Progress], None] = lambda progress: None,
) -> Trained:
    """Train the original's networks on mono waves at 8,000, 16,000, 22,050 or 44,100 Hz.

    Args:
        minutes, steps: when it ends, whichever comes first.
        width: channels of the finest layers, `ngf` and `ndf`; 128 makes the 185 million parameters of the original at
            its 256 × 256.
        game: other rules.
    """
    representation, spectrograms = painted(waves, preset(sample_rate, samples_of(sample_rate) / sample_rate))
    settings = Settings.from_flat(network="dcgan", nz=game.nz, ngf=width, ndf=width)

    def build() -> tuple[nn.Module, nn.Module]:
        generator = build_generator(settings.model, representation, 0)
        discriminator = build_discriminator(settings.model, representation, 0)
        return Unlabelled(generator), nn.Sequential(discriminator, nn.Flatten(0))

    generator, progress = play(
        build, torch.from_numpy(spectrograms), game, Budget(minutes, steps),
        seed=seed, device=device or torch.device("cpu"), report=report,
    )  # fmt: skip
    return Trained(generator, lambda made: synthesize(made, representation), game, progress, width)


def painted(waves: list[Floats] | Floats, representation: Representation) -> tuple[Representation, Floats]:
    """The representation with the levels of these sounds, ceiling at the loudest, and their spectrograms."""
    levels = levels_db(fitted(waves, representation.samples), representation)
    ceiling = float(np.ceil(np.percentile(levels.max(axis=(1, 2)), 99)))
    span = representation.ceiling_db - representation.floor_db
    representation = representation.with_changes(ceiling_db=ceiling, floor_db=ceiling - span)
    return representation, normalize(levels, representation)
