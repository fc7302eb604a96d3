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


def patch_stride(bands: int, frames: int) -> tuple[int, int]:
    """Return the bands and frames of a spectrogram per position.

    4 × 4 up to 128 bands; for fine spectrograms a 32nd of the bands, and 8 frames: 512 × 160 values have the positions
    of 128 × 80.
    """
    if bands < FINE_BANDS or frames % 32:
        return 4, 4
    rows = 4
    while bands % (8 * rows) == 0 and bands >= 64 * rows:
        rows *= 2
    return rows, 8


class Patches(nn.Module):
    """Features (n, size, rows, columns) → smooth spectrograms (n, nc, bands, frames), float32.

    `kernel` holds the learned patches, (size, nc, 2 · rows, 2 · columns of `stride`), before `ramp` and
    `remove_checkerboard`, 0 until `reset_parameters`.
    """

    window_projection: Tensor

    def __init__(self, size: int, nc: int, stride: tuple[int, int]) -> None:
        super().__init__()
        self.stride = rows, columns = stride
        self.kernel = nn.Parameter(torch.zeros(size, nc, 2 * rows, 2 * columns))
        self.bias = nn.Parameter(torch.zeros(nc, 1, 1))
        ones = torch.eye(4 * rows * columns).view(-1, 2 * rows, 2 * columns)
        projection = remove_checkerboard(ones * ramp(rows)[:, None] * ramp(columns))
        # Both are linear: one matrix product applies them.
        self.register_buffer("window_projection", projection.flatten(1), persistent=False)

    @torch.no_grad()
    def reset_parameters(self) -> None:
        """Set random cosines, the finer the weaker, so that first spectrograms are smooth and mostly within [-1, 1]."""
        orders = [torch.arange(2 * side) for side in self.stride]
        cosines = [torch.cos(math.pi / len(order) * order[:, None] * (order + 0.5)) for order in orders]
        strengths = torch.randn(self.kernel.shape) / (1 + orders[0][:, None] + orders[1])
        patches = torch.einsum("cnij,ix,jy->cnxy", strengths, *cosines)
        self.kernel.copy_(patches)
        self.kernel *= 0.11 / len(patches) ** 0.5 / self.patches().std()
        self.bias.zero_()

    def patches(self) -> Tensor:
        """Return the patches with ramp, without checkerboard, of the shape of `kernel`."""
        with torch.autocast(self.kernel.device.type, enabled=False):
            return (self.kernel.flatten(2) @ self.window_projection).view_as(self.kernel)

    def forward(self, x: Tensor) -> Tensor:
        """Add overlapping patches, by a convolution over the four positions that reach into a block of values.

        PyTorch's transposed convolution gives the same, and takes nearly three times as long on a CPU.
        """
        (size, nc, *_), (height, width) = self.kernel.shape, self.stride
        # Of each block: channel, band, frame. Then the position, of which the later one adds its earlier half.
        weight = self.patches().view(size, nc, 2, height, 2, width).flip(2, 4).permute(1, 3, 5, 0, 2, 4)
        weight = weight.reshape(nc * height * width, size, 2, 2)
        blocks = F.conv2d(x, weight, padding=1).permute(0, 2, 3, 1)
        n, rows, columns, _ = blocks.shape
        overlapping = blocks.view(n, rows, columns, nc, height, width).permute(0, 3, 1, 4, 2, 5)
        overlapping = overlapping.reshape(n, nc, height * rows, width * columns)
        overlapping = overlapping[:, :, height // 2 : -height // 2, width // 2 : -width // 2]
        return overlapping.float() + self.bias


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
    rows, columns = patches.shape[-2] // 2, patches.shape[-1] // 2

    def periodic(x: Tensor) -> Tensor:
        """Return the deviation from the mean along the last axis of the sum of overlapping patches."""
        added = x.unflatten(-1, (2, -1)).sum(-2)
        return (added - added.mean(-1, keepdim=True)).repeat(*[1] * (x.dim() - 1), 2)

    over_frames, over_rows = ramp(columns).to(patches), ramp(rows).to(patches)
    patches = patches - periodic(patches) * over_frames
    over_bands = patches.sum(-1) / columns  # constant over frames by now
    return patches - (periodic(over_bands) * over_rows)[..., None] * over_frames
