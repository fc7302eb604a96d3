"""Mode-seeking loss against mode collapse: drives generated spectrograms of a label apart.

Mao et al. 2019 maximize the distance of two spectrograms over that of their latents, without bound. Here it is
maximized only until generated spectrograms of a label differ as much as real ones.
"""

from __future__ import annotations

from torch import Tensor

from soundgan.training.losses.cells import RealDistances, cell_distance


def diversity(a: Tensor, b: Tensor, labels: Tensor, distances: RealDistances) -> Tensor:
    """Return the mean distance of generated pairs, in units of that of real pairs: 1 is as diverse as real sounds.

    Shape:
        a, b: cells of two spectrograms of each label (n, cells); labels (n,) → ().
    """
    return (cell_distance(a, b) / distances.mean_pairwise[labels]).mean()


def mode_seeking_loss(diversity: Tensor, diversity_ema: Tensor) -> Tensor:
    """Return minus the diversity, weighted by how far its running mean lies below 1. Shape: () each."""
    return -(1 - diversity_ema).clamp_min(0) * diversity
