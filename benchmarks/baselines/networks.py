"""The networks of WaveGAN and SpecGAN, in one dimension and in two: strided convolutions without normalization.

Donahue, McAuley and Puckette, "Adversarial Audio Synthesis" (ICLR 2019), tables 3 to 6.
"""

from __future__ import annotations

import math
from itertools import pairwise
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

STAGES = 5


class Layers(NamedTuple):
    """Kernel and stride of all convolutions, and the samples by which the critic shuffles the phase at most."""

    kernel: int
    stride: int
    max_shift: int = 0

    @property
    def padding(self) -> int:
        return (self.kernel - self.stride + 1) // 2


class Generator(nn.Module):
    """Latent z (n, nz) and labels (n,) → sounds (n, 1, …) in [-1, 1].

    Args:
        width: d in the paper's tables.
        first: shape of the first map, which every stage enlarges by the stride.
        labels: their number; 0 for an unlabeled network, which ignores the labels passed to it.
    """

    def __init__(self, nz: int, width: int, first: tuple[int, ...], layers: Layers, labels: int = 0) -> None:
        super().__init__()
        widths = [width * 2**stage for stage in reversed(range(STAGES))] + [1]
        convolution = nn.ConvTranspose1d if len(first) == 1 else nn.ConvTranspose2d
        self.first, self.labels = (widths[0], *first), labels
        self.dense = nn.Linear(nz + labels, math.prod(self.first))
        self.stages = nn.ModuleList(
            convolution(wide, narrow, layers.kernel, layers.stride, padding=layers.padding, output_padding=1)
            for wide, narrow in pairwise(widths)
        )
        reset_parameters(self)

    def forward(self, z: Tensor, labels: Tensor) -> Tensor:
        one_hot = [F.one_hot(labels, self.labels).to(z.dtype)] if self.labels else []
        x = self.dense(torch.cat([z, *one_hot], dim=1)).view(-1, *self.first)
        for stage in self.stages:
            x = stage(F.relu(x))
        return torch.tanh(x)


class Critic(nn.Module):
    """Sounds (n, 1, …) → a score for each label, (n, labels), or (n, 1) without labels.

    The phase of every map but the last is shuffled.
    """

    def __init__(self, width: int, last: tuple[int, ...], layers: Layers, labels: int = 0) -> None:
        super().__init__()
        widths = [1] + [width * 2**stage for stage in range(STAGES)]
        convolution = nn.Conv1d if len(last) == 1 else nn.Conv2d
        self.max_shift = layers.max_shift
        self.stages = nn.ModuleList(
            convolution(narrow, wide, layers.kernel, layers.stride, padding=layers.padding)
            for narrow, wide in pairwise(widths)
        )
        self.dense = nn.Linear(widths[-1] * math.prod(last), 1)
        self.projection = nn.Linear(widths[-1], labels) if labels else None
        reset_parameters(self)

    def forward(self, sounds: Tensor) -> Tensor:
        x = sounds
        for index, stage in enumerate(self.stages):
            x = F.leaky_relu(stage(x), 0.2)
            if self.max_shift and index < STAGES - 1:
                x = phase_shuffle(x, self.max_shift)
        score = self.dense(x.flatten(1))
        return score if self.projection is None else score + self.projection(x.flatten(2).mean(dim=2))


def phase_shuffle(x: Tensor, max_shift: int) -> Tensor:
    """Shift each sound of (n, channels, samples) by a random whole number of samples, -max_shift to max_shift.

    It hides the phase of the artifacts that strides leave from the critic.
    """
    return shifted(x, torch.randint(-max_shift, max_shift + 1, (len(x),)).to(x.device))


def shifted(x: Tensor, shifts: Tensor) -> Tensor:
    """Sounds (n, channels, samples), each moved to the right by its shift (n,) and reflected at the border."""
    last = x.shape[2] - 1
    source = (torch.arange(last + 1, device=x.device) - shifts[:, None]).abs()
    source = last - (last - source).abs()
    return x.gather(2, source[:, None].expand_as(x))


def reset_parameters(network: nn.Module) -> None:
    """Uniform weights of Glorot and Bengio (2010), and zero biases."""
    for parameter in network.parameters():
        (nn.init.xavier_uniform_ if parameter.ndim > 1 else nn.init.zeros_)(parameter)
