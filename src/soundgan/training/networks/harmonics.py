"""Harmonics: the comb of a pitched sound in a spectrogram, computed from its pitch.

Patches learn fine harmonics late, and until then voices lack them: a harmonic goes through the whole spectrogram, and
all harmonics move with one pitch. So, as in the source-filter model of speech, and as DDSP (Engel et al. 2020) does for
waves, the generator predicts pitch and gain, and a formula computes the harmonics.
"""

from __future__ import annotations

import math

import numpy as np
import torch
from torch import Tensor, nn

from soundgan.spectral.pitch import MAX_PITCH, MIN_PITCH
from soundgan.spectral.representation import Representation
from soundgan.training.networks.blocks import BilinearUpsample

FRAMES_PER_VALUE = 4  # frames between two predicted values of the pitch
PITCH_LR_SCALE = 3.0  # factor by which the pitch learns faster than the rest


class Harmonics(nn.Module):
    """Mapped latent w → pitch, and pitch → harmonic comb.

    Args:
        representation: of the spectrograms.
        width: dimensions of w.
    """

    centers: Tensor
    bandwidths: Tensor

    def __init__(self, representation: Representation, width: int) -> None:
        super().__init__()
        self.to_pitch = nn.Linear(width, 1 + representation.frames // FRAMES_PER_VALUE)
        bin_width = representation.sample_rate / representation.n_fft
        bandwidths = 2 * np.maximum(np.gradient(representation.band_centers), bin_width)
        self.to_frames = BilinearUpsample(representation.frames // FRAMES_PER_VALUE, factors=(FRAMES_PER_VALUE,))
        self.register_buffer(
            "centers", torch.tensor(representation.band_centers, dtype=torch.float32), persistent=False
        )
        self.register_buffer("bandwidths", torch.tensor(bandwidths, dtype=torch.float32), persistent=False)

    def reset_parameters(self) -> None:
        """Start in the middle of the range, nearly constant over frames."""
        nn.init.normal_(self.to_pitch.weight, 0, 0.1 / self.to_pitch.in_features**0.5)
        nn.init.zeros_(self.to_pitch.bias)

    def pitch(self, w: Tensor) -> Tensor:
        """Return the pitch of every frame, in octaves above `soundgan.spectral.pitch.MIN_PITCH`.

        Shape: (n, width) → (n, frames).
        """
        with torch.autocast(w.device.type, enabled=False):
            values = PITCH_LR_SCALE * self.to_pitch(w.float())
            contour = self.to_frames(values[:, None, 1:])[:, 0]
            return math.log2(MAX_PITCH / MIN_PITCH) * torch.sigmoid(values[:, :1] + contour)

    def harmonic_comb(self, pitch: Tensor) -> Tensor:
        """Return a comb from -1 to 1, high at every harmonic, low between them and below the pitch.

        It is the mean of a cosine over each band, so a band as wide as the pitch is 0.

        Shape: pitch (n, frames) → (n, 1, bands, frames).
        """
        hz = MIN_PITCH * torch.exp2(pitch)[:, None, None, :]
        share = math.pi * (self.bandwidths[:, None] / hz).clamp_max(1.0)
        cycles = (self.centers[:, None] / hz).clamp_min(0.5)
        return torch.cos(2 * math.pi * cycles) * torch.sin(share) / share
