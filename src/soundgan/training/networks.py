"""The residual Generator and Discriminator, and the choice between them and the classic DCGAN.

A painting of (bands, frames) starts as a grid of (bands / 16, frames / 16). Three stages of residual blocks double it
twice; a last pixel shuffle by 4 (Shi et al. 2016) brings it to full size, so that all the work is done at a quarter of
the resolution. Every Generator has `mapping(z, labels) -> w` and `paint(w) -> paintings`; every Discriminator is called
with (paintings, labels) and answers one logit a painting.
"""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from soundgan.settings import Settings
from soundgan.spectrogram import Representation
from soundgan.training.dcgan import DCGANDiscriminator, DCGANGenerator

PATCH = 4  # side of the patch of a painting that one position of the finest stage stands for
STYLE = 128  # numbers in the mapped latent w


class Generator(nn.Module):
    """Latent z and label → painting.

    Args:
        rows, columns: size of the painting, multiples of 16.
        size: channels of the finest stage; the coarser ones have two and three times as many.
        nz: numbers in z.   nc: channels of a painting.   labels: number of labels, 0 for none.
    """

    def __init__(self, rows: int, columns: int, size: int, nz: int, nc: int, labels: int) -> None:
        super().__init__()
        widths = (3 * size, 2 * size, size)
        self.grid = (widths[0], rows // 16, columns // 16)
        self.embedding = nn.Embedding(max(labels, 1), nz)
        self.to_style = nn.Sequential(nn.Linear(2 * nz, STYLE), nn.LeakyReLU(0.2), nn.Linear(STYLE, STYLE))
        self.dense = nn.Linear(STYLE, self.grid[0] * self.grid[1] * self.grid[2])
        self.stages = nn.ModuleList(StyledBlock(width) for width in widths)
        self.widenings = nn.ModuleList(nn.Conv2d(wide, narrow, 1) for wide, narrow in pairwise(widths))
        self.to_patch = nn.Conv2d(size, nc * PATCH**2, 3, padding=1)
        _draw_weights(self)
        with torch.no_grad():
            self.to_patch.weight *= 0.2  # most of a first painting lies within [-1, 1]

    def mapping(self, z: Tensor, labels: Tensor) -> Tensor:
        """z (n, nz), labels (n,) → mapped latent w (n, 128)."""
        z = torch.cat([_unit_variance(z), _unit_variance(self.embedding(labels))], dim=1)
        return F.leaky_relu(self.to_style(z), 0.2)

    def paint(self, w: Tensor) -> Tensor:
        """w (n, 128) → paintings (n, nc, rows, columns) in [-1, 1].

        The output is clamped, not squashed: quiet parts of real paintings lie exactly on the floor of -1, and a
        smooth output that never reaches it shows its patches there.
        """
        x = self.dense(w).view(-1, *self.grid)
        for index, stage in enumerate(self.stages):
            if index:
                x = F.interpolate(x, scale_factor=2.0, mode="bilinear", align_corners=False)
                x = self.widenings[index - 1](x)
            x = stage(x, w)
        patches = self.to_patch(F.leaky_relu(x, 0.2))
        return _bounded(F.pixel_shuffle(patches.float(), PATCH))

    def forward(self, z: Tensor, labels: Tensor) -> Tensor:
        return self.paint(self.mapping(z, labels))


class Discriminator(nn.Module):
    """Painting and label → logit, high for real; the Generator's mirror, with label projection (Miyato 2018)."""

    def __init__(self, rows: int, columns: int, size: int, nc: int, labels: int) -> None:
        super().__init__()
        widths = (size, 2 * size, 3 * size)
        self.from_patch = nn.Conv2d(nc * PATCH**2, size, 3, padding=1)
        self.stages = nn.ModuleList(Block(width) for width in widths)
        self.widenings = nn.ModuleList(nn.Conv2d(narrow, wide, 1) for narrow, wide in pairwise(widths))
        self.dense = nn.Linear(widths[-1] * (rows // 16) * (columns // 16), STYLE)
        self.judge = nn.Linear(STYLE, 1)
        self.projection = nn.Embedding(labels, STYLE) if labels else None
        _draw_weights(self)

    def forward(self, paintings: Tensor, labels: Tensor) -> Tensor:
        x = self.from_patch(F.pixel_unshuffle(paintings, PATCH))
        for index, stage in enumerate(self.stages):
            if index:
                x = self.widenings[index - 1](F.avg_pool2d(x, 2))
            x = stage(x)
        features = F.leaky_relu(self.dense(F.leaky_relu(x, 0.2).flatten(1)), 0.2)
        # The last sums are float32: the gradient penalty is a small difference of two logits.
        with torch.autocast(features.device.type, enabled=False):
            features = features.float()
            logits = self.judge(features).squeeze(1)
            if self.projection is not None:
                logits = logits + (features * self.projection(labels)).sum(1) / STYLE**0.5
        return logits


class Block(nn.Module):
    """Two 3×3 convolutions around a residual path that starts at a tenth of its strength."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.first = nn.Conv2d(width, width, 3, padding=1)
        self.second = nn.Conv2d(width, width, 3, padding=1)
        self.gain = nn.Parameter(torch.tensor(0.1))

    def forward(self, x: Tensor) -> Tensor:
        y = self.second(F.leaky_relu(self.first(F.leaky_relu(x, 0.2)), 0.2))
        return x + self.gain * y


class StyledBlock(Block):
    """A `Block` whose channels are scaled by the mapped latent between the convolutions."""

    def __init__(self, width: int) -> None:
        super().__init__(width)
        self.style = nn.Linear(STYLE, width)

    def forward(self, x: Tensor, w: Tensor) -> Tensor:  # type: ignore[override]
        scale = 1 + self.style(w)[:, :, None, None]
        y = self.second(F.leaky_relu(self.first(F.leaky_relu(x, 0.2) * scale), 0.2))
        return x + self.gain * y


def build_generator(settings: Settings, representation: Representation, labels: int) -> Generator | DCGANGenerator:
    """The Generator that `settings.network` names, for paintings of this representation."""
    rows, columns = representation.shape
    if settings.network == "dcgan":
        grid_rows, grid_columns, stages = _dcgan_grid(rows, columns)
        return DCGANGenerator(settings.nz, settings.ngf, settings.nc, grid_rows, grid_columns, stages, labels)
    return Generator(rows, columns, settings.size, settings.nz, settings.nc, labels)


def build_discriminator(
    settings: Settings, representation: Representation, labels: int
) -> Discriminator | DCGANDiscriminator:
    """The Discriminator that `settings.network` names, for paintings of this representation."""
    rows, columns = representation.shape
    if settings.network == "dcgan":
        grid_rows, grid_columns, stages = _dcgan_grid(rows, columns)
        return DCGANDiscriminator(settings.ndf, settings.nc, grid_rows, grid_columns, stages, labels)
    return Discriminator(rows, columns, settings.size, settings.nc, labels)


def _dcgan_grid(rows: int, columns: int) -> tuple[int, int, int]:
    """Grid and number of doublings: as many as leave at least 2 × 2, six at most as in the classic network."""
    stages = 0
    while stages < 6 and rows % 2 == 0 and columns % 2 == 0 and min(rows, columns) >= 4:
        rows, columns, stages = rows // 2, columns // 2, stages + 1
    return rows, columns, stages


class _Bounded(torch.autograd.Function):
    """Clamp to [-1, 1] that still lets through what would bring a value back: a plain clamp never wakes silence."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        ctx.save_for_backward(x)
        return x.clamp(-1, 1)

    @staticmethod
    def backward(ctx: Any, *grad_outputs: Tensor) -> Tensor:
        (x,), (gradient,) = ctx.saved_tensors, grad_outputs
        outwards = ((x < -1) & (gradient > 0)) | ((x > 1) & (gradient < 0))
        return gradient.masked_fill(outwards, 0)


def _bounded(x: Tensor) -> Tensor:
    return _Bounded.apply(x) if x.requires_grad else x.clamp(-1, 1)  # type: ignore[no-any-return]


def _draw_weights(network: nn.Module) -> None:
    """He et al. 2015: keep the variance from layer to layer, so that the latent is heard from the first step on."""
    for name, module in network.named_modules():
        if isinstance(module, nn.Conv2d | nn.Linear) and not name.endswith("style"):
            nn.init.kaiming_normal_(module.weight, a=0.2)
            if module.bias is not None:
                nn.init.zeros_(module.bias)


def _unit_variance(x: Tensor) -> Tensor:
    return x * torch.rsqrt(x.square().mean(dim=1, keepdim=True) + 1e-8)
