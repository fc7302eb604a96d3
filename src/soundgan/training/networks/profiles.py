"""Profiles: what is fine along one axis of a spectrogram and goes through the other one.

Partials of metal are lines over many frames, hits are lines over many bands. Patches learn such lines late, for every
position anew, and lines that go through many patches bend. So the generator adds two curves of full resolution, one
over bands and one over frames, with a gain at every position; and the discriminator sees the mean of a spectrogram
over four positions in every band, and that over a 16th of the bands in every frame, besides patches.
"""

from __future__ import annotations

from typing import Literal

from torch import Tensor, nn
from torch.nn import functional as F

from soundgan.training.networks.blocks import W_DIM
from soundgan.training.networks.patches import patch_stride

Axis = Literal["bands", "frames"]

WIDTH = 24  # channels
FACTOR = 4  # of each of the two upsamples
POOLED_POSITIONS = 4  # averaged along frames for a profile over bands
NUM_BANDS = 16  # profiles over frames, each of a 16th of the bands
INITIAL_SCALE = 0.3


class Profile(nn.Module):
    """Mapped latent w → curve over the bands or over the frames: (n, w_dim) → (n, length), float32.

    Args:
        length: bands or frames, a multiple of 16.
    """

    def __init__(self, length: int) -> None:
        super().__init__()
        self.dense = nn.Linear(W_DIM, WIDTH * (length // FACTOR**2))
        self.convs = nn.ModuleList(nn.Conv1d(WIDTH, FACTOR * WIDTH, 3, padding=1) for _ in range(2))
        self.last = nn.Conv1d(WIDTH, 1, 5, padding=2)

    def forward(self, w: Tensor) -> Tensor:
        x = self.dense(w).unflatten(1, (WIDTH, -1))
        for conv in self.convs:  # upsampled by pixel shuffle, so that neighbors have weights of their own
            x = F.leaky_relu(conv(x), 0.2).unflatten(1, (WIDTH, FACTOR)).transpose(2, 3).flatten(2)
        return INITIAL_SCALE * self.last(x)[:, 0].float()


class ProfileFeatures(nn.Module):
    """Spectrograms → features of their profiles over the bands or over the frames, for the discriminator.

    Shape: (n, nc, bands, frames) → (n, W_DIM).
    """

    def __init__(self, bands: int, frames: int, nc: int, axis: Axis) -> None:
        super().__init__()
        self.axis = axis
        pooled_frames = POOLED_POSITIONS * patch_stride(bands, frames)[1]
        self.pool = (1, pooled_frames) if axis == "bands" else (bands // NUM_BANDS, 1)
        profiles, length = (frames // pooled_frames, bands) if axis == "bands" else (NUM_BANDS, frames)
        widths = (nc * profiles, WIDTH, WIDTH, 2 * WIDTH)
        self.convs = nn.ModuleList(
            nn.Conv1d(before, after, kernel, stride=2, padding=kernel // 2)
            for before, after, kernel in zip(widths[:-1], widths[1:], (9, 5, 5), strict=True)
        )
        self.dense = nn.Linear(widths[-1] * length // 2 ** len(self.convs), W_DIM)

    def forward(self, spectrograms: Tensor) -> Tensor:
        x = F.avg_pool2d(spectrograms, self.pool)
        x = x.transpose(2, 3).flatten(1, 2) if self.axis == "bands" else x.flatten(1, 2)
        for conv in self.convs:
            x = F.leaky_relu(conv(x), 0.2)
        return F.leaky_relu(self.dense(x.flatten(1)), 0.2)
