"""WaveGAN: waves directly from a latent, sample by sample.

Donahue, McAuley and Puckette, "Adversarial Audio Synthesis" (ICLR 2019), tables 3 and 4: DCGAN flattened to one
dimension, with kernels of 25 samples and strides of 4, and a critic whose phase is shuffled.

The paper generates 16,384 samples at 16 kHz from a first map of 16 positions. At 8 kHz the first map has 8 positions,
and all else is unchanged: 8,192 samples, the same second. Longer sounds have more positions in the same way.
"""

from __future__ import annotations

import torch

from .networks import STAGES, Critic, Generator, Layers
from .wgan_gp import PAPER, TrainedBaseline, TrainingOptions, TrainingSounds, WGANConfig, cut_or_pad, train_wgan_gp

LAYERS = Layers(kernel=25, stride=4, max_shift=2)


def train(
    sounds: TrainingSounds, options: TrainingOptions, *, width: int = 64, config: WGANConfig = PAPER
) -> TrainedBaseline:
    """Train a WaveGAN on sounds, each cut or padded to their `samples`.

    Args:
        width: d in the paper, 64.
    """
    first, labels = (sounds.samples // LAYERS.stride**STAGES,), sounds.n_labels
    generator, progress = train_wgan_gp(
        lambda: (Generator(config.nz, width, first, LAYERS, labels), Critic(width, first, LAYERS, labels)),
        torch.from_numpy(cut_or_pad(sounds.waves, sounds.samples))[:, None], sounds.labels, config, options,
    )  # fmt: skip
    return TrainedBaseline(generator, lambda generated: generated[:, 0], config, progress, width)
