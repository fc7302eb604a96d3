"""Patches: the smooth part of a spectrogram, brought from a quarter of the resolution to full size.

Every position of the finest stage stands for 4 × 4 cells, and paints a patch of 8 × 8 that fades out over those of its
neighbours.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F

PATCH = 4  # side of the part of a spectrogram that one position stands for


class Patches(nn.Module):
    """Features (n, size, rows, columns) → smooth spectrograms (n, nc, 4 · rows, 4 · columns), float32.

    `kernel` are the patches as they are learnt, (size, nc, 8, 8), before they fade and are made `remove_checkerboard`. They are 0
    until `reset_parameters`.
    """

    window_projection: Tensor

    def __init__(self, size: int, nc: int) -> None:
        super().__init__()
        self.kernel = nn.Parameter(torch.zeros(size, nc, 2 * PATCH, 2 * PATCH))
        self.bias = nn.Parameter(torch.zeros(nc, 1, 1))
        ones = torch.eye(4 * PATCH**2).view(-1, 2 * PATCH, 2 * PATCH)
        finished = remove_checkerboard(ones * ramp()[:, None] * ramp())
        self.register_buffer(
            "window_projection", finished.flatten(1), persistent=False
        )  # all that is linear: one product does it

    @torch.no_grad()
    def reset_parameters(self) -> None:
        """Random cosines, the finer the weaker, so that first spectrograms are smooth.

        They are so strong that most of a first spectrogram lies within [-1, 1].
        """
        order = torch.arange(2 * PATCH)
        cosines = torch.cos(math.pi / (2 * PATCH) * order[:, None] * (order + 0.5))
        strengths = torch.randn(self.kernel.shape) / (1 + order[:, None] + order)
        patches = torch.einsum("cnij,ix,jy->cnxy", strengths, cosines, cosines)
        self.kernel.copy_(patches)
        self.kernel *= 0.11 / len(patches) ** 0.5 / self.patches().std()
        self.bias.zero_()

    def patches(self) -> Tensor:
        """(size, nc, 8, 8), fading towards their ends, and seamless."""
        with torch.autocast(self.kernel.device.type, enabled=False):
            return (self.kernel.flatten(2) @ self.window_projection).view_as(self.kernel)

    def forward(self, x: Tensor) -> Tensor:
        """What overlaps is added up by a convolution over the four positions that reach into a square of 4 × 4.

        PyTorch's transposed convolution does the same, and takes a processor nearly three times as long.
        """
        size, nc, *_ = self.kernel.shape
        # Of each square: channel, band, frame. Then the position, of which the later one paints with its earlier half.
        weight = self.patches().view(size, nc, 2, PATCH, 2, PATCH).flip(2, 4).permute(1, 3, 5, 0, 2, 4)
        weight = weight.reshape(nc * PATCH**2, size, 2, 2)
        squares = F.conv2d(x, weight, padding=1).permute(0, 2, 3, 1)
        n, rows, columns, _ = squares.shape
        painted = squares.view(n, rows, columns, nc, PATCH, PATCH).permute(0, 3, 1, 4, 2, 5)
        painted = painted.reshape(n, nc, PATCH * rows, PATCH * columns)
        inside = slice(PATCH // 2, -PATCH // 2)
        return painted[:, :, inside, inside].float() + self.bias


def ramp() -> Tensor:
    """How strong a patch is at its eight bands or frames: those of neighbours sum to 1."""
    rising = (torch.arange(2 * PATCH) + 0.5) / PATCH
    return torch.minimum(rising, 2 - rising)


def remove_checkerboard(patches: Tensor) -> Tensor:
    """Patches (…, 8, 8) less what neighbours of the same features would repeat at every fourth frame.

    Away from the edges, features that are the same in all frames are then painted the same in all frames, and those
    that are even over bands as well are painted even. Left to themselves, patches draw a chequer there, as its texture
    passes for that of noise. What is taken off fades with the `ramp`.
    """

    def uneven(x: Tensor) -> Tensor:
        """What differs over the four places of an axis (the last one, of 8), once overlapping patches are added up."""
        added = x.unflatten(-1, (2, PATCH)).sum(-2)
        return (added - added.mean(-1, keepdim=True)).repeat(*[1] * (x.dim() - 1), 2)

    fading = ramp().to(patches)
    patches = patches - uneven(patches) * fading
    of_bands = patches.sum(-1) / PATCH  # the same in all frames by now
    return patches - (uneven(of_bands) * fading)[..., None] * fading
