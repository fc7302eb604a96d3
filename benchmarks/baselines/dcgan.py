"""The original SoundGAN: a DCGAN of mel spectrograms, without normalization layers and without labels.

Networks of Radford, Metz and Chintala, "Unsupervised Representation Learning with Deep Convolutional Generative
Adversarial Networks" (2015), from `soundgan.training.networks.dcgan`, trained as a Wasserstein GAN with gradient
penalty. All inputs of the critic carry instance noise (Sønderby et al., "Amortised MAP Inference for Image
Super-resolution", 2017), which fades: `initial_noise_std * noise_decay_rate**step`.

The original had 256 × 256 mel bands and frames, and needed 27 s for a sound. Here it has the spectrograms of the
present SoundGAN, 128 bands, its phase retrieval, and therefore a stage less, all of which are in its favor.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor, nn

from soundgan.settings import check_settings
from soundgan.spectral.presets import preset
from soundgan.spectral.representation import Representation, levels_db, normalize, synthesize
from soundgan.training.networks.build import build_discriminator, build_generator

from .wgan_gp import Floats, TrainedBaseline, TrainingOptions, Waves, WGANConfig, cut_or_pad, samples_of, train_wgan_gp

CONFIG = WGANConfig(
    batch_size=16, learning_rate=2e-4, betas=(0.5, 0.999), latent="normal", noise=0.1, noise_decay=0.997
)


class Unlabeled(nn.Module):
    """A generator of z and labels as one of z alone."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, x: Tensor) -> Tensor:
        return self.network(x, torch.zeros(len(x), dtype=torch.int64, device=x.device))


def train(
    waves: Waves, sample_rate: int, options: TrainingOptions, *, width: int = 128, config: WGANConfig = CONFIG
) -> TrainedBaseline:
    """Train the original's networks on mono waves at 8,000, 16,000, 22,050 or 44,100 Hz.

    Args:
        width: channels of the finest layers, `ngf` and `ndf`; the original had 128, which are 185 million parameters
            at its 256 × 256.
    """
    representation, spectrograms = analyze(waves, preset(sample_rate, samples_of(sample_rate) / sample_rate))
    settings = check_settings({"network": "dcgan", "nz": config.nz, "ngf": width, "ndf": width}).model

    def build() -> tuple[nn.Module, nn.Module]:
        generator = build_generator(settings, representation, 0)
        return Unlabeled(generator), nn.Sequential(build_discriminator(settings, representation, 0), nn.Flatten(0))

    generator, progress = train_wgan_gp(build, torch.from_numpy(spectrograms), config, options)
    return TrainedBaseline(generator, lambda generated: synthesize(generated, representation), config, progress, width)


def analyze(waves: Waves, representation: Representation) -> tuple[Representation, Floats]:
    """The representation with the levels of these sounds, ceiling at the loudest, and their spectrograms."""
    levels = levels_db(cut_or_pad(waves, representation.samples), representation)
    ceiling = float(np.ceil(np.percentile(levels.max(axis=(1, 2)), 99)))
    span = representation.ceiling_db - representation.floor_db
    representation = representation.with_changes(ceiling_db=ceiling, floor_db=ceiling - span)
    return representation, normalize(levels, representation)
