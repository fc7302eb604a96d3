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
    """Features (n, size, rows, columns) → smooth paintings (n, nc, 4 · rows, 4 · columns), float32."""

    window: Tensor

    def __init__(self, size: int, nc: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(size, nc, 2 * PATCH, 2 * PATCH))
        self.bias = nn.Parameter(torch.zeros(nc))
        self.register_buffer("window", _ramp()[:, None] * _ramp(), persistent=False)

    @torch.no_grad()
    def draw_weights(self) -> None:
        """Random cosines, the finer the weaker, so that first paintings are smooth.

        They are so strong that most of a first painting lies within [-1, 1].
        """
        order = torch.arange(2 * PATCH)
        cosines = torch.cos(math.pi / (2 * PATCH) * order[:, None] * (order + 0.5))
        strengths = torch.randn(self.weight.shape) / (1 + order[:, None] + order)
        patches = torch.einsum("cnij,ix,jy->cnxy", strengths, cosines, cosines)
        self.weight.copy_(patches * (0.11 / len(patches) ** 0.5 / seamless(patches * self.window).std()))
        self.bias.zero_()

    def forward(self, x: Tensor) -> Tensor:
        patches = seamless(self.weight * self.window)
        return F.conv_transpose2d(x, patches, self.bias, stride=PATCH, padding=PATCH // 2).float()


def seamless(patches: Tensor) -> Tensor:
    """Patches (size, nc, 8, 8) less what would show at every fourth frame or band where one position is like the next.

    What is the same in all frames is then painted the same in all frames, and what is even over bands and frames is
    painted even. Left to themselves, patches draw a chequer there, as its texture passes for that of noise.
    """
    ramp = _ramp().to(patches)

    def uneven(x: Tensor) -> Tensor:
        """What differs over the four places of an axis (the last one, of 8), once overlapping patches are added up."""
        added = x.unflatten(-1, (2, PATCH)).sum(-2)
        return (added - added.mean(-1, keepdim=True)).repeat(*[1] * (x.dim() - 1), 2)

    patches = patches - uneven(patches) * ramp
    of_bands = patches.sum(-1) / PATCH  # the same in all frames by now
    return patches - (uneven(of_bands) * ramp)[..., None] * ramp


def _ramp() -> Tensor:
    """(8,) up and down: patches fade before they end, and leave no seams; those of neighbours sum to 1."""
    ramp = (torch.arange(2 * PATCH) + 0.5) / PATCH
    return torch.minimum(ramp, 2 - ramp)
