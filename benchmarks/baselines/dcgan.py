"""The original SoundGAN: a DCGAN of mel spectrograms, without normalization layers.

Networks of Radford, Metz and Chintala, "Unsupervised Representation Learning with Deep Convolutional Generative
Adversarial Networks" (2015), from `soundgan.training.networks.dcgan`, trained as a Wasserstein GAN with gradient
penalty. All inputs of the critic carry instance noise (Sønderby et al., "Amortised MAP Inference for Image
Super-resolution", 2017), which fades: `initial_noise_std * noise_decay_rate**step`.

The original had 256 × 256 mel bands and frames, and needed 27 s for a sound. Here it has 128 bands, at an overlap of 2
as then, and therefore a stage less, and the phase retrieval of the present SoundGAN, all of which are in its favor.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import nn

from soundgan.settings import check_settings
from soundgan.spectral.presets import preset
from soundgan.spectral.representation import Representation, Scale, levels_db, normalize, synthesize
from soundgan.training.networks.build import build_discriminator, build_generator

from .wgan_gp import (
    Floats,
    TrainedBaseline,
    TrainingOptions,
    TrainingSounds,
    Waves,
    WGANConfig,
    cut_or_pad,
    train_wgan_gp,
)

BANDS = 128
MIN_MEL_RATE = 16_000  # Hz; below, bins of the STFT are as few as bands
CONFIG = WGANConfig(
    batch_size=16, learning_rate=2e-4, betas=(0.5, 0.999), latent="normal", noise=0.1, noise_decay=0.997
)


def train(
    sounds: TrainingSounds, options: TrainingOptions, *, width: int = 128, config: WGANConfig = CONFIG
) -> TrainedBaseline:
    """Train the original's networks on sounds at a sample rate that has a preset.

    Args:
        width: channels of the finest layers, `ngf` and `ndf`; the original had 128, which are 185 million parameters
            at its 256 × 256.
    """
    rate = sounds.sample_rate
    scale: Scale = "linear" if rate < MIN_MEL_RATE else "mel"
    representation = preset(rate, sounds.samples / rate, bands=BANDS, scale=scale, overlap=2)
    representation, spectrograms = analyze(sounds.waves, representation)
    settings = check_settings({"network": "dcgan", "nz": config.nz, "ngf": width, "ndf": width}).model

    def build() -> tuple[nn.Module, nn.Module]:
        labels = sounds.n_labels
        return build_generator(settings, representation, labels), build_discriminator(settings, representation, labels)

    generator, progress = train_wgan_gp(build, torch.from_numpy(spectrograms), sounds.labels, config, options)

    def invert(generated: Floats) -> Floats:
        return synthesize(generated, representation, threads=options.threads or None)

    return TrainedBaseline(generator, invert, config, progress, width, rate / representation.hop_length)


def analyze(waves: Waves, representation: Representation) -> tuple[Representation, Floats]:
    """The representation with the levels of these sounds, ceiling at the loudest, and their spectrograms."""
    levels = levels_db(cut_or_pad(waves, representation.samples), representation)
    ceiling = float(np.ceil(np.percentile(levels.max(axis=(1, 2)), 99)))
    span = representation.ceiling_db - representation.floor_db
    representation = representation.with_changes(ceiling_db=ceiling, floor_db=ceiling - span)
    return representation, normalize(levels, representation)
