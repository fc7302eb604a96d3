"""Patches: the smooth part of a spectrogram, brought from a fraction of the resolution to full size.

Every position of the finest stage stands for a square of `stride` × `stride` values, and adds a patch with twice the
sides, which fades out over those of its neighbors.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from soundgan.spectral.presets import FINE_BANDS


def patch_stride(bands: int, frames: int) -> int:
    """Return the bands and frames of a spectrogram per position: 8 for fine spectrograms, 4 for others.

    In steps of 8, 512 bands by 160 frames have twice the positions of 128 by 80 in steps of 4; in steps of 4, eight
    times as many.
    """
    return 8 if bands >= FINE_BANDS and not (bands % 32 or frames % 32) else 4


class Patches(nn.Module):
    """Features (n, size, rows, columns) → smooth spectrograms (n, nc, stride · rows, stride · columns), float32.

    `kernel` holds the learned patches, (size, nc, 2 · stride, 2 · stride), before `ramp` and `remove_checkerboard`, 0
    until `reset_parameters`.
    """

    window_projection: Tensor

    def __init__(self, size: int, nc: int, stride: int) -> None:
        super().__init__()
        self.stride = stride
        self.kernel = nn.Parameter(torch.zeros(size, nc, 2 * stride, 2 * stride))
        self.bias = nn.Parameter(torch.zeros(nc, 1, 1))
        ones = torch.eye(4 * stride**2).view(-1, 2 * stride, 2 * stride)
        projection = remove_checkerboard(ones * ramp(stride)[:, None] * ramp(stride))
        # Both are linear: one matrix product applies them.
        self.register_buffer("window_projection", projection.flatten(1), persistent=False)

    @torch.no_grad()
    def reset_parameters(self) -> None:
        """Set random cosines, the finer the weaker, so that first spectrograms are smooth and mostly within [-1, 1]."""
        order = torch.arange(2 * self.stride)
        cosines = torch.cos(math.pi / (2 * self.stride) * order[:, None] * (order + 0.5))
        strengths = torch.randn(self.kernel.shape) / (1 + order[:, None] + order)
        patches = torch.einsum("cnij,ix,jy->cnxy", strengths, cosines, cosines)
        self.kernel.copy_(patches)
        self.kernel *= 0.11 / len(patches) ** 0.5 / self.patches().std()
        self.bias.zero_()

    def patches(self) -> Tensor:
        """Return the patches with ramp, without checkerboard: (size, nc, 2 · stride, 2 · stride)."""
        with torch.autocast(self.kernel.device.type, enabled=False):
            return (self.kernel.flatten(2) @ self.window_projection).view_as(self.kernel)

    def forward(self, x: Tensor) -> Tensor:
        """Add overlapping patches, by a convolution over the four positions that reach into a square.

        PyTorch's transposed convolution gives the same, and takes nearly three times as long on a CPU.
        """
        (size, nc, *_), stride = self.kernel.shape, self.stride
        # Of each square: channel, band, frame. Then the position, of which the later one adds its earlier half.
        weight = self.patches().view(size, nc, 2, stride, 2, stride).flip(2, 4).permute(1, 3, 5, 0, 2, 4)
        weight = weight.reshape(nc * stride**2, size, 2, 2)
        squares = F.conv2d(x, weight, padding=1).permute(0, 2, 3, 1)
        n, rows, columns, _ = squares.shape
        overlapping = squares.view(n, rows, columns, nc, stride, stride).permute(0, 3, 1, 4, 2, 5)
        overlapping = overlapping.reshape(n, nc, stride * rows, stride * columns)
        inside = slice(stride // 2, -stride // 2)
        return overlapping[:, :, inside, inside].float() + self.bias


def ramp(stride: int) -> Tensor:
    """Return the triangular window of a patch along an axis, (2 · stride,); overlapping windows sum to 1."""
    rising = (torch.arange(2 * stride) + 0.5) / stride
    return torch.minimum(rising, 2 - rising)


def remove_checkerboard(patches: Tensor) -> Tensor:
    """Subtract from patches the part that neighbors of equal features would repeat with a period of their stride.

    Away from the edges, features that are constant over frames then give spectrograms that are constant over frames,
    and constant over bands if the features are. Otherwise patches learn a checkerboard there, whose texture passes for
    noise. The subtracted part fades with `ramp`.

    Shape: (…, 2 · stride, 2 · stride), of the same shape
    """
    stride = patches.shape[-1] // 2

    def periodic(x: Tensor) -> Tensor:
        """Return the deviation from the mean along the last axis of the sum of overlapping patches."""
        added = x.unflatten(-1, (2, stride)).sum(-2)
        return (added - added.mean(-1, keepdim=True)).repeat(*[1] * (x.dim() - 1), 2)

    window = ramp(stride).to(patches)
    patches = patches - periodic(patches) * window
    over_bands = patches.sum(-1) / stride  # constant over frames by now
    return patches - (periodic(over_bands) * window)[..., None] * window
