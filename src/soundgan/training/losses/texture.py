"""Texture loss: local variation over bands and over frames, in every 4 × 4 cell.

Harmonics vary over bands, onsets over frames, noise over both, and a clear low voice hardly at all. So texture trains
the gains of noise and harmonics, and says nothing of levels: it can be matched to a recording that is alike in its
cells only, without copying it.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from soundgan.training.losses.cells import CELL

NUM_PAIRS = 512  # of recordings that the typical difference is measured on


def texture(spectrograms: Tensor) -> Tensor:
    """Return mean absolute differences of neighbors, over bands and over frames.

    Shape: (n, nc, bands, frames) → (n, 2, nc, bands / 4, frames / 4).
    """
    over_bands = F.pad(spectrograms.diff(dim=2).abs(), (0, 0, 0, 1))
    over_frames = F.pad(spectrograms.diff(dim=3).abs(), (0, 1))
    return torch.stack([F.avg_pool2d(differences, CELL) for differences in (over_bands, over_frames)], dim=1)


def typical_difference(textures: Tensor) -> Tensor:
    """Return the mean absolute difference of two recordings' textures, over bands and over frames; 1 for one recording.

    Shape: (n, 2, nc, …) → (2,).
    """
    if len(textures) < 2:
        return torch.ones(2, device=textures.device)
    generator = torch.Generator().manual_seed(0)
    first = torch.randint(len(textures), (NUM_PAIRS,), generator=generator)
    second = (first + torch.randint(1, len(textures), (NUM_PAIRS,), generator=generator)) % len(textures)
    return (textures[first] - textures[second]).abs().mean((0, 2, 3, 4)).clamp_min(1e-3)


def texture_loss(generated: Tensor, target: Tensor, typical: Tensor) -> Tensor:
    """Return the mean absolute difference of textures, in units of the typical one.

    Shape: (n, 2, nc, bands / 4, frames / 4) twice, (2,) → ().
    """
    return ((generated - target).abs().mean((0, 2, 3, 4)) / typical).mean()
