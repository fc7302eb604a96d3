"""Length and level of a sound, as random variables with the distribution of the recordings of its label.

A prediction that is learned from pairs of sounds and recordings has another distribution: it tends to the median of all
recordings that resemble a sound. So each value is a quantile of the recordings, at the rank of a projection of the
latent. A normal vector's projection on a direction is normal, whichever direction it is; the directions are learned
from pairs, so that sounds like the long and the loud recordings are long and loud.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional as F

from soundgan.data.dataset import Dataset
from soundgan.spectral.representation import Representation

NUM_QUANTILES = 33  # of each distribution; between them it is interpolated
VALUES = 2  # of a mapped latent, its last ones: length and level
LEVEL_UNIT = 20.0  # dB
MIN_SECONDS = 0.02  # as of recordings; truncation above 1 extrapolates


class LengthAndLevel(NamedTuple):
    """Length in s and peak in dBFS. Shape: (n,) each."""

    length: Tensor
    level: Tensor


def lengths_and_levels(dataset: Dataset) -> NDArray[np.float32]:
    """Return lengths and levels of recordings in the units of a mapped latent. Shape: (n, 2)."""
    return np.stack([dataset.lengths / dataset.representation.duration, dataset.levels / LEVEL_UNIT], axis=1)


class LengthAndLevelHead(nn.Module):
    """Latent z and label → length and level, in the units of the mapped latent; and the end of a spectrogram.

    In a mapped latent, lengths are shares of the duration of the representation, and levels multiples of 20 dBFS.

    Args:
        representation: of the spectrograms.
        nz: dimensions of z.
        labels: number of labels, 0 for none.
    """

    quantiles: Tensor
    window_starts: Tensor

    def __init__(self, representation: Representation, nz: int, labels: int) -> None:
        super().__init__()
        self._duration = representation.duration
        # Short ones, as steps of Adam then turn them fast.
        self.directions = nn.Parameter(torch.randn(max(labels, 1), VALUES, nz) / nz**0.5)
        # Untrained, sounds are as long as the representation, and their peak is at full scale.
        quantiles = torch.tensor([1.0, 0.0])[:, None].repeat(max(labels, 1), 1, NUM_QUANTILES)
        self.register_buffer("quantiles", quantiles)
        self._sound_frames = representation.frames - representation.lead_in
        half_window = representation.n_fft / representation.hop_length / 2  # frames
        starts = torch.arange(representation.frames) + 0.5 - representation.lead_in - half_window
        self.register_buffer("window_starts", starts / self._sound_frames, persistent=False)

    def fit(self, dataset: Dataset) -> None:
        """Set the distributions of each label to those of its recordings."""
        ranks, values = np.linspace(0, 1, NUM_QUANTILES), lengths_and_levels(dataset)
        for label, quantiles in enumerate(self.quantiles):
            quantiles.copy_(torch.from_numpy(np.quantile(values[dataset.labels == label], ranks, axis=0).T))

    def forward(self, z: Tensor, labels: Tensor) -> Tensor:
        """Return length and level. Shape: z (n, nz), labels (n,) → (n, 2)."""
        with torch.autocast(z.device.type, enabled=False):
            scores = (F.normalize(self.directions[labels], dim=2) @ z.float()[:, :, None])[:, :, 0]
            ranks = (0.5 + 0.5 * torch.erf(scores / math.sqrt(2))) * (NUM_QUANTILES - 1)
            nodes = torch.arange(NUM_QUANTILES, device=z.device)
            weights = F.relu(1 - (ranks[:, :, None] - nodes).abs())  # linear interpolation
            return (weights * self.quantiles[labels]).sum(2)

    def values(self, w: Tensor) -> LengthAndLevel:
        """Return length and level of mapped latents. Shape: (n, w_dim) → (n,) each."""
        length, level = w[:, -VALUES:].float().unbind(1)
        return LengthAndLevel((self._duration * length).clamp(MIN_SECONDS, self._duration), LEVEL_UNIT * level)

    def end(self, spectrograms: Tensor, w: Tensor) -> Tensor:
        """Fade spectrograms to the floor over the frame after the last one whose window reaches into the sound.

        It leaves the spectrograms of recordings unchanged.

        Shape: (n, nc, bands, frames), (n, w_dim) → (n, nc, bands, frames).
        """
        length = w[:, -VALUES].float()[:, None, None, None]
        mask = ((length - self.window_starts) * self._sound_frames + 1).clamp(0, 1)
        return spectrograms * mask + (mask - 1)
