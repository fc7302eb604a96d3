"""Adaptive augmentation (ADA) of the discriminator's input, against overfitting: time and frequency shift, gain, mask.

Real and generated spectrograms are augmented alike: otherwise the discriminator overfits a few hundred recordings.
The generator does not learn the augmentations as long as their probability is below 1 (Karras et al. 2020, ADA; Zhao
et al. 2020, DiffAugment). The probability adapts to the accuracy of the discriminator.
"""

from __future__ import annotations

import torch
from torch import Tensor

from soundgan.training.networks.blocks import clamp_with_inward_gradient

MAX_TIME_SHIFT = 1 / 8  # of the frames
MAX_FREQ_SHIFT = 1 / 32  # of the bands
MAX_GAIN = 0.25  # of half the range of levels: 9 dB of 70
MAX_MASK = 1 / 4  # of the frames or bands
MAX_P = 0.8  # of each augmentation
TARGET_D_ACCURACY = 0.7
NUM_RANDOM = 9  # random numbers per spectrogram
ADA_RAMP_SAMPLES = 20_000  # samples seen in which the probability goes from 0 to 1


def augment(spectrograms: Tensor, probability: float | Tensor, random: Tensor) -> Tensor:
    """Apply each of four augmentations to each spectrogram, independently with this probability; differentiable.

    Shifts and masks leave silence, which is the floor of -1.

    Shape: (n, nc, bands, frames) and uniform random numbers (n, `NUM_RANDOM`) → like the first.
    """
    _, _, bands, frames = spectrograms.shape
    apply = (random[:, :4] < probability).unbind(1)
    amounts = random[:, 4:].unbind(1)
    time_shift = torch.round((2 * amounts[0] - 1) * MAX_TIME_SHIFT * frames).long() * apply[0]
    freq_shift = torch.round((2 * amounts[1] - 1) * MAX_FREQ_SHIFT * bands).long() * apply[1]
    gain = (2 * amounts[2] - 1) * MAX_GAIN * apply[2]

    row, column = (torch.arange(count, device=spectrograms.device) for count in (bands, frames))
    rows, columns = row - freq_shift[:, None], column - time_shift[:, None]
    source = rows.clamp(0, bands - 1)[:, :, None] * frames + columns.clamp(0, frames - 1)[:, None, :]
    shifted = spectrograms.flatten(2).gather(2, source.flatten(1)[:, None].expand(-1, spectrograms.shape[1], -1))
    shifted = shifted.view_as(spectrograms)
    keep = ((rows >= 0) & (rows < bands))[:, :, None] & ((columns >= 0) & (columns < frames))[:, None, :]

    # A mask of adjacent bands, or of adjacent frames.
    width = 2 * amounts[4] % 1 * MAX_MASK
    masked = [
        (axis >= amounts[3][:, None] * count) & (axis < (amounts[3] + width)[:, None] * count)
        for axis, count in ((row, bands), (column, frames))
    ]
    over_bands = (amounts[4] < 0.5)[:, None]
    mask = (masked[0] & over_bands)[:, :, None] | (masked[1] & ~over_bands)[:, None, :]
    keep &= ~(mask & apply[3][:, None, None])

    augmented = clamp_with_inward_gradient(shifted + gain[:, None, None, None] * (shifted > -1))
    return augmented.masked_fill(~keep[:, None], -1.0).contiguous(memory_format=torch.channels_last)


def update_augment_p(probability: Tensor, d_accuracy: Tensor, batch_size: int) -> Tensor:
    """Return the probability after a step: higher if the accuracy is above its target, else lower."""
    direction = 2.0 * (d_accuracy > TARGET_D_ACCURACY) - 1
    return (probability + direction * batch_size / ADA_RAMP_SAMPLES).clamp(0, MAX_P)
