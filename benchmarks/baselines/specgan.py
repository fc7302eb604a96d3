"""SpecGAN: an image GAN on the spectrograms of one-second sounds.

Donahue, McAuley and Puckette, "Adversarial Audio Synthesis" (ICLR 2019), tables 5 and 6: a DCGAN with kernels of 5 × 5
on log-magnitudes of a 256-sample STFT every 128 samples, 128 × 128 values for 16,384 samples. Every frequency is
normalized to mean 0 and standard deviation 1 over the training sounds, clipped at 3 standard deviations and scaled to
[-1, 1].

Two changes are in its favor. Waves come from SoundGAN's phase retrieval instead of 16 iterations of Griffin and Lim,
and fit the magnitudes better (docs/benchmarks/synthesis.md). And at 8 kHz, 8,192 samples, 64 frames from a first map of
4 × 2, its spectrograms have half the size; its windows are as long as ours then. From 32 kHz on the window has 512
samples, so that it is about as long as the paper's 16 ms, and the first map 8 rows.
"""

from __future__ import annotations

import math
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
    TrainingSounds,
    WGANConfig,
    cut_or_pad,
    train_wgan_gp,
)

LAYERS = Layers(kernel=5, stride=2)
SCALE = LAYERS.stride**STAGES  # frames and bins per position of the first map
CLIP = 3.0  # standard deviations
MIN_MAGNITUDE = 1e-6


class Normalization(NamedTuple):
    """Mean and standard deviation of the log-magnitudes of every bin, (bins,)."""

    mean: Floats
    deviation: Floats


def framing(sample_rate: int) -> STFT:
    """The paper's STFT: 256 samples every 128, 16 ms at 16 kHz; twice as many from 32 kHz on."""
    n_fft = 512 if sample_rate >= 32_000 else 256
    return STFT(n_fft, n_fft // 2)


def log_magnitudes(waves: Floats, stft: STFT) -> Floats:
    """(n, samples) → (n, bins, frames), without the bin at half the sample rate, as in the paper."""
    spectra = np.stack([np.abs(stft.forward(wave)).T[:-1] for wave in waves])
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


def synthesize(spectrograms: Floats, normalization: Normalization, stft: STFT, threads: int | None = None) -> Floats:
    """Spectrograms (n, 1, bins, frames) → waves (n, samples)."""
    logs = spectrograms[:, 0] * (CLIP * normalization.deviation[:, None]) + normalization.mean[:, None]
    magnitudes = np.zeros((len(logs), logs.shape[2], stft.bins), np.float32)
    magnitudes[:, :, :-1] = np.exp(logs).transpose(0, 2, 1)
    return retrieve(magnitudes, stft, QUALITIES["balanced"], threads=threads)


def train(
    sounds: TrainingSounds, options: TrainingOptions, *, width: int = 64, config: WGANConfig = PAPER
) -> TrainedBaseline:
    """Train a SpecGAN on sounds, each cut or padded to their `samples`, rounded up to 32 frames.

    Args:
        width: d in the paper, 64.
    """
    stft, labels = framing(sounds.sample_rate), sounds.n_labels
    columns = math.ceil(sounds.samples / stft.hop_length / SCALE)
    logs = log_magnitudes(cut_or_pad(sounds.waves, columns * SCALE * stft.hop_length), stft)
    normalization = measure_normalization(logs)
    first = logs.shape[1] // SCALE, columns
    generator, progress = train_wgan_gp(
        lambda: (Generator(config.nz, width, first, LAYERS, labels), Critic(width, first, LAYERS, labels)),
        torch.from_numpy(normalize(logs, normalization)), sounds.labels, config, options,
    )  # fmt: skip

    def invert(generated: Floats) -> Floats:
        return synthesize(generated, normalization, stft, options.threads or None)

    return TrainedBaseline(generator, invert, config, progress, width, sounds.sample_rate / stft.hop_length)
