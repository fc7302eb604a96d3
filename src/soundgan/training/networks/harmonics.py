"""Harmonics: the stripes of a pitched sound in a spectrogram, drawn from its pitch.

A network that paints patches learns fine stripes late, and before that paints voices as whispers: a stripe goes through
the whole spectrogram, and all move with one number. So, as in the source-filter model of speech, and as DDSP (Engel et al.
2020) has it for waves, the Generator says how high and where how strong, and the stripes are drawn by a formula.
"""

from __future__ import annotations

import math

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from soundgan.spectral.pitch import MAX_PITCH, MIN_PITCH
from soundgan.spectral.representation import Representation
from soundgan.training.networks.upsample import BilinearUpsample

STEP = 4  # frames from one number of the pitch to the next
PITCH_LR_SCALE = 3.0  # times that the pitch learns faster than the rest
VOICED_THRESHOLD = 0.6  # periodicity from which on the pitch of a recording counts
RARE = 0.05  # mean of what is above: where pitch is rarer, it counts less


class Harmonics(nn.Module):
    """Mapped latent w → pitch, and pitch → stripes.

    Args:
        representation: of the spectrograms.
        width: numbers in w.
    """

    centres: Tensor
    bandwidths: Tensor

    def __init__(self, representation: Representation, width: int) -> None:
        super().__init__()
        self.to_pitch = nn.Linear(width, 1 + representation.frames // STEP)
        bin_width = representation.sample_rate / representation.n_fft
        bandwidths = 2 * np.maximum(np.gradient(representation.band_centers), bin_width)
        self.to_frames = BilinearUpsample(representation.frames // STEP, factor=STEP)
        self.register_buffer(
            "centres", torch.tensor(representation.band_centers, dtype=torch.float32), persistent=False
        )
        self.register_buffer("bandwidths", torch.tensor(bandwidths, dtype=torch.float32), persistent=False)

    def reset_parameters(self) -> None:
        """Begin in the middle of the range, nearly the same in all frames."""
        nn.init.normal_(self.to_pitch.weight, 0, 0.1 / self.to_pitch.in_features**0.5)
        nn.init.zeros_(self.to_pitch.bias)

    def pitch(self, w: Tensor) -> Tensor:
        """The pitch of every frame, in octaves above the lowest (`soundgan.spectral.pitch`): (n, width) → (n, frames)."""
        with torch.autocast(w.device.type, enabled=False):
            numbers = PITCH_LR_SCALE * self.to_pitch(w.float())
            moved = self.to_frames(numbers[:, None, 1:])[:, 0]
            return math.log2(MAX_PITCH / MIN_PITCH) * torch.sigmoid(numbers[:, :1] + moved)

    def harmonic_comb(self, pitch: Tensor) -> Tensor:
        """Stripes from -1 to 1, high at every harmonic and low between and below: (n, frames) → (n, 1, bands, frames).

        A band as wide as what lies between two harmonics has none: the mean of the cosine over the band is drawn.
        """
        hz = MIN_PITCH * torch.exp2(pitch)[:, None, None, :]
        share = math.pi * (self.bandwidths[:, None] / hz).clamp_max(1.0)
        cycles = (self.centres[:, None] / hz).clamp_min(0.5)
        return torch.cos(2 * math.pi * cycles) * torch.sin(share) / share


def pitch_weights(periodicity: Tensor) -> Tensor:
    """How much the pitch of each frame of recordings counts, 1 in the mean or less; (n, frames) → the same."""
    weights = F.relu(periodicity - VOICED_THRESHOLD)
    return weights / weights.mean().clamp_min(RARE)


def pitch_loss(pitch: Tensor, recorded: Tensor, weights: Tensor) -> Tensor:
    """How far a pitch is from that of recordings, in octaves, each frame by its weight; (n, frames) each."""
    return (weights * (pitch - recorded).abs()).mean()
