"""Patches: the smooth part of a painting, brought from a quarter of the resolution to full size.

Every position of the finest stage stands for 4 × 4 cells, and paints a patch of 8 × 8 that fades out over those of its
neighbours.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F

PATCH = 4  # side of the part of a painting that one position stands for


class Patches(nn.Module):
    """Features (n, size, rows, columns) → smooth paintings (n, nc, 4 · rows, 4 · columns), float32.

    `rough` are the patches as they are learnt, (size, nc, 8, 8), before they fade and are made `seamless`. They are 0
    until `draw_weights`.
    """

    ramp: Tensor

    def __init__(self, size: int, nc: int) -> None:
        super().__init__()
        self.rough = nn.Parameter(torch.zeros(size, nc, 2 * PATCH, 2 * PATCH))
        self.bias = nn.Parameter(torch.zeros(nc))
        ramp = (torch.arange(2 * PATCH) + 0.5) / PATCH
        self.register_buffer("ramp", torch.minimum(ramp, 2 - ramp), persistent=False)  # of neighbours, sum to 1

    @torch.no_grad()
    def draw_weights(self) -> None:
        """Random cosines, the finer the weaker, so that first paintings are smooth.

        They are so strong that most of a first painting lies within [-1, 1].
        """
        order = torch.arange(2 * PATCH)
        cosines = torch.cos(math.pi / (2 * PATCH) * order[:, None] * (order + 0.5))
        strengths = torch.randn(self.rough.shape) / (1 + order[:, None] + order)
        patches = torch.einsum("cnij,ix,jy->cnxy", strengths, cosines, cosines)
        self.rough.copy_(patches)
        self.rough *= 0.11 / len(patches) ** 0.5 / self.patches().std()
        self.bias.zero_()

    def patches(self) -> Tensor:
        """(size, nc, 8, 8), fading towards their ends, and seamless."""
        return seamless(self.rough * self.ramp[:, None] * self.ramp, self.ramp)

    def forward(self, x: Tensor) -> Tensor:
        return F.conv_transpose2d(x, self.patches(), self.bias, stride=PATCH, padding=PATCH // 2).float()


def seamless(patches: Tensor, ramp: Tensor) -> Tensor:
    """Patches (size, nc, 8, 8) less what neighbours of the same features would repeat at every fourth frame.

    Away from the edges, features that are the same in all frames are then painted the same in all frames, and those
    that are even over bands as well are painted even. Left to themselves, patches draw a chequer there, as its texture
    passes for that of noise. What is taken off fades with `ramp` (8,), of which those of neighbours sum to 1.
    """

    def uneven(x: Tensor) -> Tensor:
        """What differs over the four places of an axis (the last one, of 8), once overlapping patches are added up."""
        added = x.unflatten(-1, (2, PATCH)).sum(-2)
        return (added - added.mean(-1, keepdim=True)).repeat(*[1] * (x.dim() - 1), 2)

    patches = patches - uneven(patches) * ramp
    of_bands = patches.sum(-1) / PATCH  # the same in all frames by now
    return patches - (uneven(of_bands) * ramp)[..., None] * ramp
