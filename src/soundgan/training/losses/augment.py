"""Changes that leave a painting a painting of the same kind of sound: later, lower, louder, a part blanked.

What the Discriminator sees, real or made, is changed in this way first, so that it cannot learn a few hundred
recordings by heart; the Generator never learns to make the changes as long as they come less than always (Karras et al.
2020, ADA; Zhao et al. 2020, DiffAugment). How often they come is adapted: the more surely the Discriminator tells
recordings from made paintings, the more often.
"""

from __future__ import annotations

import torch
from torch import Tensor

from soundgan.training.networks.residual import bounded

LATER = 1 / 8  # of the frames, at most, that a sound is shifted by
HIGHER = 1 / 32  # of the bands
LOUDER = 0.25  # of half the range of levels: 9 dB of 70
BLANK = 1 / 4  # of the frames or bands, at most, that are blanked
MOST = 0.8  # probability of each change at most, so that the unchanged remains the usual
TARGET = 0.7  # share of pairs that the Discriminator should judge right
DRAWN = 9  # random numbers that change a painting
PACE = 20_000  # sounds seen in which the probability goes from 0 to 1


def augment(paintings: Tensor, probability: float | Tensor, draw: Tensor) -> Tensor:
    """Each painting with each of four changes, at this probability, in its own way; differentiable.

    Silence is the floor of -1: what a shift uncovers and a blank covers is silent.

    Shape: (n, nc, bands, frames) and random numbers from 0 to 1 (n, `DRAWN`) → like the first.
    """
    _, _, bands, frames = paintings.shape
    often = (draw[:, :4] < probability).unbind(1)
    amounts = draw[:, 4:].unbind(1)
    later = torch.round((2 * amounts[0] - 1) * LATER * frames).long() * often[0]
    higher = torch.round((2 * amounts[1] - 1) * HIGHER * bands).long() * often[1]
    louder = (2 * amounts[2] - 1) * LOUDER * often[2]

    row, column = (torch.arange(count, device=paintings.device) for count in (bands, frames))
    rows, columns = row - higher[:, None], column - later[:, None]
    source = rows.clamp(0, bands - 1)[:, :, None] * frames + columns.clamp(0, frames - 1)[:, None, :]
    moved = paintings.flatten(2).gather(2, source.flatten(1)[:, None].expand(-1, paintings.shape[1], -1))
    moved = moved.view_as(paintings)
    there = ((rows >= 0) & (rows < bands))[:, :, None] & ((columns >= 0) & (columns < frames))[:, None, :]

    # A stripe of bands, or one of frames.
    share = 2 * amounts[4] % 1 * BLANK
    in_stripe = [
        (axis >= amounts[3][:, None] * count) & (axis < (amounts[3] + share)[:, None] * count)
        for axis, count in ((row, bands), (column, frames))
    ]
    of_bands = (amounts[4] < 0.5)[:, None]
    blank = (in_stripe[0] & of_bands)[:, :, None] | (in_stripe[1] & ~of_bands)[:, None, :]
    there &= ~(blank & often[3][:, None, None])

    changed = bounded(moved + louder[:, None, None, None] * (moved > -1)).masked_fill(~there[:, None], -1.0)
    return changed.contiguous(memory_format=torch.channels_last)


def adapted(probability: Tensor, judged_right: Tensor, sounds: int) -> Tensor:
    """The probability after a step of so many sounds: up if the Discriminator was right too often, else down."""
    direction = 2.0 * (judged_right > TARGET) - 1
    return (probability + direction * sounds / PACE).clamp(0, MOST)
