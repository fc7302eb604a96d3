"""What keeps a Generator from leaving recordings out, which a Discriminator of single spectrograms hardly notices.

Sounds of a label are driven apart while they are more alike than its recordings (`diversity`), and the one nearest to
each recording is drawn towards it while it is further off than another recording would be (`imle`). Both compare means
over 4 × 4 cells of spectrograms: finer differences are the Discriminator's business, and grain is nobody's.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

CELL = 4
MAX_BANK_LATENTS = 1280  # candidates, shared by all labels
MIN_LATENTS_PER_LABEL = 16  # for each label, however many there are
ROOM = 4_000_000  # numbers that the cells of all candidates, and of those copied at a time, should not exceed
RECORDINGS = 256  # of each label that distances are measured on


def cells(spectrograms: Tensor) -> Tensor:
    """Means over 4 × 4 cells. Shape: (n, nc, bands, frames) → (n, nc · bands / 4 · frames / 4)."""
    return F.avg_pool2d(spectrograms, CELL).flatten(1)


class Distances(NamedTuple):
    """What is usual between two recordings of each label, in mean absolute differences of cells. Shape: (labels,).

    Attributes:
        usual: between any two.
        nearest: from one to the nearest of some others, in the mean.
    """

    usual: Tensor
    nearest: Tensor


def recorded_distances(recordings: Tensor, labels: Tensor, count: int, rivals: int) -> Distances:
    """Those of recordings with `count` labels, or none (0); the nearest is looked for among `rivals` others at most.

    Of a label with a single recording they are not known: then those of the others serve, or of any two recordings.

    Shape:
        cells of recordings (n, cells), labels (n,).
    """
    found = torch.full((2, max(count, 1)), math.nan, device=recordings.device)
    draw = torch.Generator().manual_seed(0)

    def measured(rows: Tensor) -> Tensor:
        some = rows[torch.randperm(len(rows), generator=draw)[:RECORDINGS].to(rows.device)]
        known = recordings[some]
        apart = torch.cdist(known, known, p=1) / known.shape[1]
        itself = torch.eye(len(some), dtype=torch.bool, device=rows.device)
        nearest = apart.masked_fill(itself, math.inf)[:, : rivals + 1].amin(1)
        return torch.stack([apart[~itself].mean(), nearest.mean()])

    for label in range(found.shape[1]):
        rows = (labels == label).nonzero()[:, 0]
        if len(rows) > 1:
            found[:, label] = measured(rows)
    if found.isnan().all():
        found[:] = measured(torch.arange(len(labels), device=labels.device))[:, None] if len(labels) > 1 else 1.0
    usual, nearest = (row.nan_to_num(row.nanmean().item()) for row in found)
    return Distances(usual.clamp_min(1e-3), nearest)


def variety(one: Tensor, other: Tensor, labels: Tensor, distances: Distances) -> Tensor:
    """How far apart two spectrograms of a label are, in units of how far two recordings of it are; 1 is as it should be.

    The Generator raises it while it is below 1. (Mao et al. 2019 raise the distance of two spectrograms over that of
    their latents, without end.)

    Shape:
        cells of spectrograms (n, cells), and of others of the same labels (n,).
    """
    return (_apart(one, other) / distances.usual[labels]).mean()


def imle(made: Tensor, near: Tensor, labels: Tensor, distances: Distances) -> Tensor:
    """How much further from each recording the spectrogram nearest to it is than another recording mostly is.

    Implicit maximum likelihood (Li and Malik 2018), beside the game of the networks as in Inclusive GAN (Yu et al.
    2020): every recording has a made sound drawn towards it, so that none is left out. It ends where recordings of the
    label are as near to one another, in the mean: closer would be copying.

    Args:
        made: cells of spectrograms (n, cells), of the candidates nearest to recordings.
        near: cells of those recordings (n, cells).
        labels: (n,).
    """
    return (F.relu(_apart(made, near) - distances.nearest[labels]) / distances.usual[labels]).mean()


class LatentBank(nn.Module):
    """Latents that were painted lately, each with the cells of its spectrogram, among which that nearest to a recording
    is looked up. They are a module for their buffers: a training that is resumed goes on with the same ones.

    They are new ones all the time: a latent that stayed for good would come to stand for a recording, and be its copy.

    Args:
        labels: number of labels, 1 for none.
        nz: numbers in a latent.
        width: numbers in the cells of a spectrogram.
    """

    latents: Tensor
    spectrograms: Tensor
    there: Tensor
    place: Tensor

    def __init__(self, labels: int, nz: int, width: int) -> None:
        super().__init__()
        self.each = bank_capacity(width, labels)
        self.register_buffer("latents", torch.zeros(labels, self.each, nz))
        self.register_buffer("spectrograms", torch.zeros(labels, self.each, width))
        self.register_buffer("there", torch.zeros(labels, self.each, dtype=torch.bool))
        self.register_buffer("place", torch.zeros(labels, dtype=torch.int64))  # where the next one goes

    @torch.no_grad()
    def keep(self, latents: Tensor, painted: Tensor, labels: Tensor) -> None:
        """Take in new ones in place of the oldest of their labels. Shape: (n, nz), cells (n, width), (n,)."""
        same = labels[:, None] == labels
        place = (self.place[labels] + same.tril(-1).sum(1)) % self.each
        self.place.index_add_(0, labels, torch.ones_like(labels))
        # Where two share a place, both write the later one: which of two would stay is not defined.
        shared = same & (place[:, None] == place)
        last = (shared * torch.arange(len(labels), device=labels.device)).amax(1)
        self.latents[labels, place] = latents[last]
        self.spectrograms[labels, place] = painted[last]
        self.there[labels, place] = torch.ones_like(labels, dtype=torch.bool)  # a mere True would come from the CPU

    @torch.no_grad()
    def nearest(self, near: Tensor, labels: Tensor) -> Tensor:
        """Latents of the candidates whose spectrograms are nearest to recordings; of a label that has none, any latent.

        Shape: cells of recordings (n, width), (n,) → latents (n, nz).
        """
        near = near.to(self.spectrograms)
        apart = self._copied(near, labels) if near.is_cuda else self._looked_at(near, labels)
        place = apart.masked_fill(~self.there[labels], math.inf).argmin(1)
        return self.latents[labels, place]

    def _looked_at(self, near: Tensor, labels: Tensor) -> Tensor:
        """How far the candidates of their label are from recordings, (n, each): looked at where they lie."""
        pairs = zip(near.split(1), labels.tolist(), strict=True)
        return torch.cat([torch.cdist(one, self.spectrograms[label], p=1) for one, label in pairs])

    def _copied(self, near: Tensor, labels: Tensor) -> Tensor:
        """The same without waiting for a device to tell the labels: copied, for some recordings at a time."""
        some = max(1, ROOM // self.spectrograms[0].numel())
        parts = zip(near.split(some), labels.split(some), strict=True)
        return torch.cat([torch.cdist(one[:, None], self.spectrograms[of], p=1)[:, 0] for one, of in parts])


def bank_capacity(width: int, labels: int) -> int:
    """How many candidates are kept for each of so many labels, if the cells of each are so many numbers."""
    return max(MIN_LATENTS_PER_LABEL, min(MAX_BANK_LATENTS, ROOM // width) // labels)


def _apart(one: Tensor, other: Tensor) -> Tensor:
    return (one - other).abs().mean(1)
