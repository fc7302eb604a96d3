"""Pitch loss: difference from the pitch of recordings where they are voiced."""

from __future__ import annotations

from torch import Tensor
from torch.nn import functional as F

VOICED_THRESHOLD = 0.6  # minimum periodicity of a voiced frame
MIN_MEAN_WEIGHT = 0.05  # mean excess over the threshold below which weights are no longer scaled up to a mean of 1


def pitch_weights(periodicity: Tensor) -> Tensor:
    """Return the weight of each frame of recordings, with a mean of 1 or less. Shape: (n, frames) → the same."""
    weights = F.relu(periodicity - VOICED_THRESHOLD)
    return weights / weights.mean().clamp_min(MIN_MEAN_WEIGHT)


def pitch_loss(pitch: Tensor, target: Tensor, weights: Tensor) -> Tensor:
    """Return the weighted mean absolute difference in octaves. Shape: (n, frames) each → ()."""
    return (weights * (pitch - target).abs()).mean()
