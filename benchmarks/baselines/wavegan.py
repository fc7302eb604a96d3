"""WaveGAN: waves straight from a latent, sample by sample.

Donahue, McAuley and Puckette, "Adversarial Audio Synthesis" (ICLR 2019), tables 3 and 4: DCGAN flattened to one
dimension, with kernels of 25 samples and strides of 4, and a critic whose phase is shuffled.

The paper makes 16,384 samples at 16 kHz from a first map of 16 positions. At 8 kHz the first map has 8 positions, and
all else, kernels, strides and depth, is as it was: 8,192 samples, the same second.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from soundgan.training.state.checkpoint import Progress

from .wgan_gp import Budget, Floats, Game, Trained, fitted, play, reset_parameters, samples_of

KERNEL, STRIDE = 25, 4
STAGES = 5
SHUFFLE = 2  # samples of a map by which its phase is shuffled at most


class Generator(nn.Module):
    """Latent z (n, nz) → waves (n, 1, start * 1024) in [-1, 1]; `width` is d in the paper's tables."""

    def __init__(self, nz: int, width: int, start: int) -> None:
        super().__init__()
        widths = [width * 2**upsamples for upsamples in reversed(range(STAGES))] + [1]
        self.first = (widths[0], start)
        self.dense = nn.Linear(nz, widths[0] * start)
        self.stages = nn.ModuleList(
            nn.ConvTranspose1d(wide, narrow, KERNEL, STRIDE, padding=11, output_padding=1)
            for wide, narrow in pairwise(widths)
        )
        reset_parameters(self)

    def forward(self, z: Tensor) -> Tensor:
        x = self.dense(z).view(-1, *self.first)
        for stage in self.stages:
            x = stage(F.relu(x))
        return torch.tanh(x)


class Critic(nn.Module):
    """Waves (n, 1, start * 1024) → scores (n,); the phase of every map but the last is shuffled."""

    def __init__(self, width: int, start: int) -> None:
        super().__init__()
        widths = [1] + [width * 2**upsamples for upsamples in range(STAGES)]
        self.stages = nn.ModuleList(
            nn.Conv1d(narrow, wide, KERNEL, STRIDE, padding=11) for narrow, wide in pairwise(widths)
        )
        self.dense = nn.Linear(widths[-1] * start, 1)
        reset_parameters(self)

    def forward(self, waves: Tensor) -> Tensor:
        x = waves
        for index, stage in enumerate(self.stages):
            x = F.leaky_relu(stage(x), 0.2)
            if index < STAGES - 1:
                x = phase_shuffle(x, SHUFFLE)
        return self.dense(x.flatten(1)).squeeze(1)


def phase_shuffle(x: Tensor, most: int) -> Tensor:
    """Shift each sound of (n, channels, samples) by a whole number of samples, drawn from -most to most.

    So the critic cannot judge a sound by the phase of the artefacts that strides leave.
    """
    return shifted(x, torch.randint(-most, most + 1, (len(x),)).to(x.device))


def shifted(x: Tensor, shifts: Tensor) -> Tensor:
    """Sounds (n, channels, samples), each moved to the right by its shift (n,); what is missing is reflected."""
    last = x.shape[2] - 1
    source = (torch.arange(last + 1, device=x.device) - shifts[:, None]).abs()
    source = last - (last - source).abs()
    return x.gather(2, source[:, None].expand_as(x))


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
    report: Callable[[Progress], None] = lambda progress: None,
) -> Trained:
    """Train a WaveGAN on mono waves at `sample_rate` Hz, each cut or padded to `samples_of(sample_rate)`.

    Args:
        minutes, steps: when it ends, whichever comes first.
        width: d in the paper, which takes 64.
        game: other rules than the paper's.
    """
    game = game or Game()
    samples = samples_of(sample_rate)
    start = samples // STRIDE**STAGES
    real = torch.from_numpy(fitted(waves, samples))[:, None]
    generator, progress = play(
        lambda: (Generator(game.nz, width, start), Critic(width, start)),
        real, game, Budget(minutes, steps), seed=seed, device=device or torch.device("cpu"), report=report,
    )  # fmt: skip
    return Trained(generator, lambda made: made[:, 0], game, progress, width)
