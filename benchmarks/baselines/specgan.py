"""SpecGAN: an image GAN on the spectrograms of one-second sounds.

Donahue, McAuley and Puckette, "Adversarial Audio Synthesis" (ICLR 2019), tables 5 and 6: a DCGAN with kernels of 5 × 5
on log-magnitudes of a 256-sample STFT every 128 samples, 128 × 128 values for 16,384 samples. Every frequency is
normalized to mean 0 and standard deviation 1 over the training sounds, clipped at 3 standard deviations and scaled to
[-1, 1].

Two changes are in its favor. Waves come from SoundGAN's phase retrieval instead of 16 iterations of Griffin and Lim,
and fit the magnitudes better (docs/benchmarks/synthesis.md). And at 8 kHz, 8,192 samples, 64 frames from a first map of
4 × 2, its spectrograms have half the size; its windows are as long as ours then.
"""

from __future__ import annotations

from functools import partial
from typing import NamedTuple

import numpy as np
import torch

from soundgan.spectral.phase_retrieval import QUALITIES, retrieve
from soundgan.spectral.stft import STFT

from .networks import STAGES, Critic, Generator, Layers
from .wgan_gp import (
    PAPER,
    Floats,
    TrainedBaseline,
    TrainingOptions,
    Waves,
    WGANConfig,
    cut_or_pad,
    samples_of,
    train_wgan_gp,
)

LAYERS = Layers(kernel=5, stride=2)
SCALE = LAYERS.stride**STAGES  # frames and bins per position of the first map
FRAMING = STFT(256, 128)
CLIP = 3.0  # standard deviations
MIN_MAGNITUDE = 1e-6


class Normalization(NamedTuple):
    """Mean and standard deviation of the log-magnitudes of every bin, (bins,)."""

    mean: Floats
    deviation: Floats


def log_magnitudes(waves: Floats) -> Floats:
    """(n, samples) → (n, bins, frames), without the bin at half the sample rate, as in the paper."""
    spectra = np.stack([np.abs(FRAMING.forward(wave)).T[:-1] for wave in waves])
    return np.log(np.maximum(spectra, MIN_MAGNITUDE)).astype(np.float32)


def measure_normalization(logs: Floats) -> Normalization:
    """The statistics of (n, bins, frames) log-magnitudes; a constant bin keeps its scale."""
    mean, deviation = logs.mean(axis=(0, 2), dtype=np.float64), logs.std(axis=(0, 2), dtype=np.float64)
    deviation[deviation < MIN_MAGNITUDE] = 1
    return Normalization(mean.astype(np.float32), deviation.astype(np.float32))


def normalize(logs: Floats, normalization: Normalization) -> Floats:
    """Log-magnitudes (n, bins, frames) → spectrograms (n, 1, bins, frames) in [-1, 1]."""
    scaled = (logs - normalization.mean[:, None]) / (CLIP * normalization.deviation[:, None])
    return np.clip(scaled, -1, 1).astype(np.float32)[:, None]


def synthesize(spectrograms: Floats, normalization: Normalization) -> Floats:
    """Spectrograms (n, 1, bins, frames) → waves (n, samples)."""
    logs = spectrograms[:, 0] * (CLIP * normalization.deviation[:, None]) + normalization.mean[:, None]
    magnitudes = np.zeros((len(logs), logs.shape[2], FRAMING.bins), np.float32)
    magnitudes[:, :, :-1] = np.exp(logs).transpose(0, 2, 1)
    return retrieve(magnitudes, FRAMING, QUALITIES["balanced"])


def train(
    waves: Waves, sample_rate: int, options: TrainingOptions, *, width: int = 64, config: WGANConfig = PAPER
) -> TrainedBaseline:
    """Train a SpecGAN on mono waves at `sample_rate` Hz, each cut or padded to about a second.

    Args:
        width: d in the paper, 64.
    """
    columns = max(1, round(samples_of(sample_rate) / FRAMING.hop_length / SCALE))
    logs = log_magnitudes(cut_or_pad(waves, columns * SCALE * FRAMING.hop_length))
    normalization = measure_normalization(logs)
    first = logs.shape[1] // SCALE, columns
    generator, progress = train_wgan_gp(
        lambda: (Generator(config.nz, width, first, LAYERS), Critic(width, first, LAYERS)),
        torch.from_numpy(normalize(logs, normalization)), config, options,
    )  # fmt: skip
    invert = partial(synthesize, normalization=normalization)
    return TrainedBaseline(generator, invert, config, progress, width)
