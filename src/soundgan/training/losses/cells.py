"""Average pooling over cells, and distances between pooled spectrograms.

Losses that compare a generated spectrogram with another one compare means over cells, which are the networks' patches:
finer differences are left to the discriminator, and noise texture should not be matched at all.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

from soundgan.training.networks.patches import patch_stride

MAX_REAL_PER_LABEL = 256  # real spectrograms of a label between which distances are measured


def pool_cells(spectrograms: Tensor) -> Tensor:
    """Return means over cells. Shape: (n, nc, bands, frames) → (n, nc, bands / height, frames / width)."""
    return F.avg_pool2d(spectrograms, patch_stride(*spectrograms.shape[2:]))


def cells(spectrograms: Tensor) -> Tensor:
    """Return means over cells, flat. Shape: (n, nc, bands, frames) → (n, nc · cells)."""
    return pool_cells(spectrograms).flatten(1)


def num_cells(bands: int, frames: int) -> int:
    """Return the number of cells of a spectrogram."""
    height, width = patch_stride(bands, frames)
    return (bands // height) * (frames // width)


def cell_distance(a: Tensor, b: Tensor) -> Tensor:
    """Return mean absolute differences. Shape: (n, cells) each → (n,)."""
    return (a - b).abs().mean(1)


class RealDistances(NamedTuple):
    """Typical cell distances between real spectrograms of each label. Shape: (labels,).

    Attributes:
        mean_pairwise: mean over all pairs.
        nearest: mean over spectrograms of the distance to the nearest of some others.
    """

    mean_pairwise: Tensor
    nearest: Tensor


def real_distances(real: Tensor, labels: Tensor, num_labels: int, max_neighbors: int) -> RealDistances:
    """Measure the distances of each label, or of unlabeled data (0); nearest among `max_neighbors` at most.

    A label with a single recording has none: it gets the mean over the other labels, or that over all recordings.

    Shape:
        real (n, cells), labels (n,).
    """
    distances = torch.full((2, max(num_labels, 1)), math.nan, device=real.device)
    generator = torch.Generator().manual_seed(0)

    def measure(rows: Tensor) -> Tensor:
        chosen = rows[torch.randperm(len(rows), generator=generator)[:MAX_REAL_PER_LABEL].to(rows.device)]
        points = real[chosen]
        pairwise = torch.cdist(points, points, p=1) / points.shape[1]
        diagonal = torch.eye(len(chosen), dtype=torch.bool, device=rows.device)
        nearest = pairwise.masked_fill(diagonal, math.inf)[:, : max_neighbors + 1].amin(1)
        return torch.stack([pairwise[~diagonal].mean(), nearest.mean()])

    for label in range(distances.shape[1]):
        rows = (labels == label).nonzero()[:, 0]
        if len(rows) > 1:
            distances[:, label] = measure(rows)
    if distances.isnan().all():
        distances[:] = measure(torch.arange(len(labels), device=labels.device))[:, None] if len(labels) > 1 else 1.0
    mean_pairwise, nearest = (row.nan_to_num(row.nanmean().item()) for row in distances)
    return RealDistances(mean_pairwise.clamp_min(1e-3), nearest)
