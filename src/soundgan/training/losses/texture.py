"""Texture: how much a spectrogram changes from band to band, and from frame to frame, in every 4 × 4 cell.

Where stripes lie, it changes over the bands; at an onset over the frames; in noise over both; and in a clear low voice
hardly at all. That tells a Generator where to lay grain and where harmonics, and nothing of which cell is bright: so it
can be learnt from a recording that is alike in its means only, and nothing is copied.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from soundgan.training.losses.diversity import CELL

PAIRS = 512  # of recordings that usual differences are measured on


def texture(spectrograms: Tensor) -> Tensor:
    """Mean absolute differences of neighbours: (n, nc, bands, frames) → (n, 2, nc, bands / 4, frames / 4).

    The first are those of bands, the second those of frames.
    """
    over_bands = F.pad(spectrograms.diff(dim=2).abs(), (0, 0, 0, 1))
    over_frames = F.pad(spectrograms.diff(dim=3).abs(), (0, 1))
    return torch.stack([F.avg_pool2d(differences, CELL) for differences in (over_bands, over_frames)], dim=1)


def usual_difference(textures: Tensor) -> Tensor:
    """Mean absolute difference of the textures of two recordings, over bands and over frames: (2,); 1 for only one."""
    if len(textures) < 2:
        return torch.ones(2, device=textures.device)
    draw = torch.Generator().manual_seed(0)
    one = torch.randint(len(textures), (PAIRS,), generator=draw)
    other = (one + torch.randint(1, len(textures), (PAIRS,), generator=draw)) % len(textures)
    return (textures[one] - textures[other]).abs().mean((0, 2, 3, 4)).clamp_min(1e-3)


def texture_loss(made: Tensor, recorded: Tensor, usual: Tensor) -> Tensor:
    """How far the textures of spectrograms are from those of recordings, in units of what is usual.

    Shape:
        (n, 2, nc, bands / 4, frames / 4) twice; `usual` (2,).
    """
    return ((made - recorded).abs().mean((0, 2, 3, 4)) / usual).mean()
