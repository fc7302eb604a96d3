"""Changes that leave a spectrogram a spectrogram of the same kind of sound: later, lower, louder, a part blanked.

What the Discriminator sees, real or made, is changed in this way first, so that it cannot learn a few hundred
recordings by heart; the Generator never learns to make the changes as long as they come less than always (Karras et al.
2020, ADA; Zhao et al. 2020, DiffAugment). How often they come is adapted: the more surely the Discriminator tells
recordings from made spectrograms, the more often.
"""

from __future__ import annotations

import torch
from torch import Tensor

from soundgan.training.networks.blocks import clamp_with_inward_gradient

MAX_TIME_SHIFT = 1 / 8  # of the frames, at most, that a sound is shifted by
MAX_FREQ_SHIFT = 1 / 32  # of the bands
MAX_GAIN = 0.25  # of half the range of levels: 9 dB of 70
MAX_MASK = 1 / 4  # of the frames or bands, at most, that are blanked
MOST = 0.8  # probability of each change at most, so that the unchanged remains the usual
TARGET_D_ACCURACY = 0.7  # share of pairs that the Discriminator should judge right
DRAWN = 9  # random numbers that change a spectrogram
ADA_RAMP_SAMPLES = 20_000  # samples seen in which the probability goes from 0 to 1


def augment(spectrograms: Tensor, probability: float | Tensor, draw: Tensor) -> Tensor:
    """Each spectrogram with each of four changes, at this probability, in its own way; differentiable.

    Silence is the floor of -1: what a shift uncovers and a blank covers is silent.

    Shape: (n, nc, bands, frames) and random numbers from 0 to 1 (n, `DRAWN`) → like the first.
    """
    _, _, bands, frames = spectrograms.shape
    often = (draw[:, :4] < probability).unbind(1)
    amounts = draw[:, 4:].unbind(1)
    later = torch.round((2 * amounts[0] - 1) * MAX_TIME_SHIFT * frames).long() * often[0]
    higher = torch.round((2 * amounts[1] - 1) * MAX_FREQ_SHIFT * bands).long() * often[1]
    louder = (2 * amounts[2] - 1) * MAX_GAIN * often[2]

    row, column = (torch.arange(count, device=spectrograms.device) for count in (bands, frames))
    rows, columns = row - higher[:, None], column - later[:, None]
    source = rows.clamp(0, bands - 1)[:, :, None] * frames + columns.clamp(0, frames - 1)[:, None, :]
    moved = spectrograms.flatten(2).gather(2, source.flatten(1)[:, None].expand(-1, spectrograms.shape[1], -1))
    moved = moved.view_as(spectrograms)
    there = ((rows >= 0) & (rows < bands))[:, :, None] & ((columns >= 0) & (columns < frames))[:, None, :]

    # A stripe of bands, or one of frames.
    share = 2 * amounts[4] % 1 * MAX_MASK
    in_stripe = [
        (axis >= amounts[3][:, None] * count) & (axis < (amounts[3] + share)[:, None] * count)
        for axis, count in ((row, bands), (column, frames))
    ]
    of_bands = (amounts[4] < 0.5)[:, None]
    blank = (in_stripe[0] & of_bands)[:, :, None] | (in_stripe[1] & ~of_bands)[:, None, :]
    there &= ~(blank & often[3][:, None, None])

    changed = clamp_with_inward_gradient(moved + louder[:, None, None, None] * (moved > -1)).masked_fill(
        ~there[:, None], -1.0
    )
    return changed.contiguous(memory_format=torch.channels_last)


def update_augment_p(probability: Tensor, d_accuracy: Tensor, sounds: int) -> Tensor:
    """The probability after a step of so many sounds: up if the Discriminator was right too often, else down."""
    direction = 2.0 * (d_accuracy > TARGET_D_ACCURACY) - 1
    return (probability + direction * sounds / ADA_RAMP_SAMPLES).clamp(0, MOST)
