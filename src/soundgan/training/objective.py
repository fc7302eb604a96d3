"""The game that the two networks play, whole: relativistic loss with gradient penalties on real and made paintings.

R3GAN (Huang et al. 2024): every real painting is compared with one made for the same label, and both sides are kept
smooth by R1 and R2 (Mescheder et al. 2018). The squared gradient is measured by a finite difference,
E‖D(x + σε) - D(x)‖² / σ² = ‖∇D‖² + O(σ²), which needs no second derivative.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F


class DiscriminatorLoss(NamedTuple):
    """The loss to descend (scalar), and its parts for the log: the share of pairs judged right, and the penalty."""

    loss: Tensor
    correct: Tensor
    penalty: Tensor


def discriminator_loss(
    discriminator: nn.Module, real: Tensor, made: Tensor, labels: Tensor, noise: Tensor, *, gamma: float, sigma: float
) -> DiscriminatorLoss:
    """Loss of the Discriminator for pairs of one real and one made painting.

    Shape:
        real, made (n, nc, bands, frames), of equal labels (n,); noise (2n, nc, bands, frames), standard normal.
    """
    paintings = torch.cat([real, made])
    everything = torch.cat([paintings, paintings + sigma * noise])
    logits, moved = discriminator(everything, labels.repeat(4)).chunk(2)
    real_logits, made_logits = logits.chunk(2)
    penalty = ((logits - moved) / sigma).square().mean()
    loss = F.softplus(made_logits - real_logits).mean() + gamma * penalty
    return DiscriminatorLoss(loss, (real_logits > made_logits).float().mean(), penalty.detach())


def generator_loss(discriminator: nn.Module, real: Tensor, made: Tensor, labels: Tensor) -> Tensor:
    """Loss of the Generator: every made painting should be judged more real than its real partner."""
    with torch.no_grad():
        real_logits = discriminator(real, labels)
    made_logits = discriminator(made, labels)
    return F.softplus(real_logits - made_logits).mean()
