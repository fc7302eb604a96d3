"""Implicit maximum likelihood (IMLE): draws the nearest generated spectrogram toward each recording.

Li and Malik 2018, beside the adversarial loss as in Inclusive GAN (Yu et al. 2020): every recording has a generated
neighbor, so that the generator leaves none out, which a discriminator of single spectrograms hardly penalizes.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from soundgan.training.losses.cells import RealDistances, cell_distance

MAX_BANK_LATENTS = 1280  # shared by all labels
MIN_LATENTS_PER_LABEL = 16
MAX_BANK_ELEMENTS = 4_000_000  # numbers in the cells of the bank, and of those copied at a time


def imle_loss(generated: Tensor, target: Tensor, labels: Tensor, distances: RealDistances) -> Tensor:
    """IMLE hinge: distance from each recording to its nearest generated spectrogram, in excess of that to a real one.

    It is zero where the spectrogram is as near as recordings of the label are to one another, to prevent overfitting.

    Shape:
        generated, target: cells of the nearest spectrograms and of their recordings (n, cells); labels (n,) → ().
    """
    excess = F.relu(cell_distance(generated, target) - distances.nearest[labels])
    return (excess / distances.mean_pairwise[labels]).mean()


class LatentBank(nn.Module):
    """The latest latents of each label with the cells of their spectrograms, to search the nearest to a recording.

    It is a ring buffer: a latent that is never replaced would be optimized into a copy of one recording. It is a module
    for its buffers, which belong to the checkpoint.

    Args:
        labels: number of labels, 1 for none.
        nz: dimensions of a latent.
        width: cells of a spectrogram.
    """

    latents: Tensor
    spectrograms: Tensor
    valid: Tensor
    write_index: Tensor

    def __init__(self, labels: int, nz: int, width: int) -> None:
        super().__init__()
        self.capacity = max(MIN_LATENTS_PER_LABEL, min(MAX_BANK_LATENTS, MAX_BANK_ELEMENTS // width) // labels)
        self.register_buffer("latents", torch.zeros(labels, self.capacity, nz))
        self.register_buffer("spectrograms", torch.zeros(labels, self.capacity, width))
        self.register_buffer("valid", torch.zeros(labels, self.capacity, dtype=torch.bool))
        self.register_buffer("write_index", torch.zeros(labels, dtype=torch.int64))

    @torch.no_grad()
    def add(self, latents: Tensor, spectrograms: Tensor, labels: Tensor) -> None:
        """Replace the oldest entries of the labels. Shape: (n, nz), cells (n, width), (n,)."""
        same_label = labels[:, None] == labels
        slot = (self.write_index[labels] + same_label.tril(-1).sum(1)) % self.capacity
        self.write_index.index_add_(0, labels, torch.ones_like(labels))
        # Where two rows share a slot, both write the last one: indexed assignment leaves open which of two stays.
        same_slot = same_label & (slot[:, None] == slot)
        last = (same_slot * torch.arange(len(labels), device=labels.device)).amax(1)
        self.latents[labels, slot] = latents[last]
        self.spectrograms[labels, slot] = spectrograms[last]
        self.valid[labels, slot] = torch.ones_like(labels, dtype=torch.bool)  # a mere True would be copied from the CPU

    @torch.no_grad()
    def nearest(self, targets: Tensor, labels: Tensor) -> Tensor:
        """Return the latents whose spectrograms are nearest to recordings; any latent for a label without entries.

        Shape: cells of recordings (n, width), (n,) → latents (n, nz).
        """
        targets = targets.to(self.spectrograms)
        distances = self._copied_distances(targets, labels) if targets.is_cuda else self._distances(targets, labels)
        slot = distances.masked_fill(~self.valid[labels], math.inf).argmin(1)
        return self.latents[labels, slot]

    def _distances(self, targets: Tensor, labels: Tensor) -> Tensor:
        """Return distances from recordings to the entries of their labels, (n, capacity), without copying entries."""
        pairs = zip(targets.split(1), labels.tolist(), strict=True)
        return torch.cat([torch.cdist(target, self.spectrograms[label], p=1) for target, label in pairs])

    def _copied_distances(self, targets: Tensor, labels: Tensor) -> Tensor:
        """Return the same without a synchronization to read labels: entries are copied, for some rows at a time."""
        rows = max(1, MAX_BANK_ELEMENTS // self.spectrograms[0].numel())
        parts = zip(targets.split(rows), labels.split(rows), strict=True)
        return torch.cat([torch.cdist(target[:, None], self.spectrograms[label], p=1)[:, 0] for target, label in parts])
