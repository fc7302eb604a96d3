"""SpecGAN: a picture GAN on the spectrograms of one-second sounds.

Donahue, McAuley and Puckette, "Adversarial Audio Synthesis" (ICLR 2019), tables 5 and 6: a DCGAN with kernels of 5 × 5
on log-magnitudes of a 256-sample STFT every 128 samples, 128 × 128 numbers for 16,384 samples. Every frequency is
brought to mean 0 and standard deviation 1 over the training sounds, clipped at 3 standard deviations and scaled to
[-1, 1].

Two things are kinder to it than the paper. Sounds come back by SoundGAN's phase retrieval, not by 16 iterations of
Griffin and Lim, which fits the magnitudes better (docs/benchmarks/synthesis.md). And at 8 kHz, 8,192 samples, 64 frames
from a first map of 4 × 2, it has half as much to paint; its windows are as long as ours then.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from soundgan.spectral.phase_retrieval import QUALITIES, retrieve
from soundgan.spectral.stft import STFT
from soundgan.training.state.checkpoint import Progress

from .wgan_gp import Budget, Floats, Game, Trained, fitted, play, reset_parameters, samples_of

KERNEL, STRIDE = 5, 2
STAGES = 5
GRAIN = STRIDE**STAGES  # frames and bins that stand for one position of the first map
CLIP = 3.0  # standard deviations
LEAST = 1e-6  # magnitude below which there is nothing to hear


class Standard(NamedTuple):
    """Mean and standard deviation of the log-magnitudes of every bin, (bins,)."""

    mean: Floats
    deviation: Floats


class Generator(nn.Module):
    """Latent z (n, nz) → pictures (n, 1, rows, columns) in [-1, 1]; `width` is d in the paper's tables."""

    def __init__(self, nz: int, width: int, rows: int, columns: int) -> None:
        super().__init__()
        widths = [width * 2**upsamples for upsamples in reversed(range(STAGES))] + [1]
        self.first = (widths[0], rows // GRAIN, columns // GRAIN)
        self.dense = nn.Linear(nz, int(np.prod(self.first)))
        self.stages = nn.ModuleList(
            nn.ConvTranspose2d(wide, narrow, KERNEL, STRIDE, padding=2, output_padding=1)
            for wide, narrow in pairwise(widths)
        )
        reset_parameters(self)

    def forward(self, z: Tensor) -> Tensor:
        x = self.dense(z).view(-1, *self.first)
        for stage in self.stages:
            x = stage(F.relu(x))
        return torch.tanh(x)


class Critic(nn.Module):
    """Pictures (n, 1, rows, columns) → scores (n,)."""

    def __init__(self, width: int, rows: int, columns: int) -> None:
        super().__init__()
        widths = [1] + [width * 2**upsamples for upsamples in range(STAGES)]
        self.stages = nn.ModuleList(
            nn.Conv2d(narrow, wide, KERNEL, STRIDE, padding=2) for narrow, wide in pairwise(widths)
        )
        self.dense = nn.Linear(widths[-1] * (rows // GRAIN) * (columns // GRAIN), 1)
        reset_parameters(self)

    def forward(self, pictures: Tensor) -> Tensor:
        x = pictures
        for stage in self.stages:
            x = F.leaky_relu(stage(x), 0.2)
        return self.dense(x.flatten(1)).squeeze(1)


def log_magnitudes(waves: Floats, stft: STFT) -> Floats:
    """(n, samples) → (n, bins, frames), without the bin at half the sample rate, as the paper has it."""
    spectra = np.stack([np.abs(stft.forward(wave)).T[:-1] for wave in waves])
    return np.log(np.maximum(spectra, LEAST)).astype(np.float32)


def standard_of(logs: Floats) -> Standard:
    """The statistics of (n, bins, frames) log-magnitudes; a bin that never changes keeps its scale."""
    mean, deviation = logs.mean(axis=(0, 2), dtype=np.float64), logs.std(axis=(0, 2), dtype=np.float64)
    deviation[deviation < LEAST] = 1
    return Standard(mean.astype(np.float32), deviation.astype(np.float32))


def painted(logs: Floats, standard: Standard) -> Floats:
    """Log-magnitudes (n, bins, frames) → pictures (n, 1, bins, frames) in [-1, 1]."""
    scaled = (logs - standard.mean[:, None]) / (CLIP * standard.deviation[:, None])
    return np.clip(scaled, -1, 1).astype(np.float32)[:, None]


def sounded(pictures: Floats, standard: Standard, stft: STFT) -> Floats:
    """Pictures (n, 1, bins, frames) → waves (n, samples)."""
    logs = pictures[:, 0] * (CLIP * standard.deviation[:, None]) + standard.mean[:, None]
    magnitudes = np.zeros((len(logs), logs.shape[2], stft.bins), np.float32)
    magnitudes[:, :, :-1] = np.exp(logs).transpose(0, 2, 1)
    return retrieve(magnitudes, stft, QUALITIES["balanced"])


def train(
    waves: list[Floats] | Floats,
    sample_rate: int,
    *,
    minutes: float,
    seed: int,
    width: int = 64,
    steps: int | None = None,
    game: Game | None = None,
    device: torch.device | None = None,
    n_fft: int = 256,
    report: Callable[[Progress], None] = lambda progress: None,
) -> Trained:
    """Train a SpecGAN on mono waves at `sample_rate` Hz, each cut or padded to about a second.

    Args:
        minutes, steps: when it ends, whichever comes first.
        width: d in the paper, which takes 64.
        game: other rules than the paper's.
        n_fft: window of the STFT in samples, twice its hop and twice the rows of a picture.
    """
    game, stft = game or Game(), STFT(n_fft, n_fft // 2)
    logs = log_magnitudes(fitted(waves, _whole(samples_of(sample_rate), stft)), stft)
    standard = standard_of(logs)
    shape = logs.shape[1:]
    generator, progress = play(
        lambda: (Generator(game.nz, width, *shape), Critic(width, *shape)),
        torch.from_numpy(painted(logs, standard)), game, Budget(minutes, steps),
        seed=seed, device=device or torch.device("cpu"), report=report,
    )  # fmt: skip
    return Trained(generator, lambda made: sounded(made, standard, stft), game, progress, width)


def _whole(samples: int, stft: STFT) -> int:
    """The samples of as many frames as the first map's positions make."""
    frames = GRAIN * max(1, round(samples / stft.hop_length / GRAIN))
    return frames * stft.hop_length
