"""The game that the two networks play, whole: relativistic loss with gradient penalties on real and made spectrograms.

R3GAN (Huang et al. 2024): every real spectrogram is compared with one made for the same label, and both sides are kept
smooth by R1 and R2 (Mescheder et al. 2018). The squared gradient is measured by a finite difference,
E‖D(x + σε) - D(x)‖² / σ² = ‖∇D‖² + O(σ²), which needs no second derivative.

A Discriminator answers one logit for every label, (n, labels). That of the label given is played for; by all of them
it also learns to tell the labels of recordings.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

MOST_WEIGHT = 8.0


class DiscriminatorLoss(NamedTuple):
    """The loss to descend (scalar), and its parts for the log.

    Attributes:
        correct: share of pairs judged right.
        penalty: the mean squared gradient.
        label_loss: cross-entropy of the recordings' labels, in nats.
        real_logits: what was thought of the recordings, (n,).
    """

    loss: Tensor
    correct: Tensor
    penalty: Tensor
    label_loss: Tensor
    real_logits: Tensor


def discriminator_loss(
    discriminator: nn.Module,
    real: Tensor,
    made: Tensor,
    labels: Tensor,
    noise: Tensor,
    *,
    gamma: float,
    sigma: float,
    label_weight: float,
    label_weights: Tensor | None = None,
) -> DiscriminatorLoss:
    """Loss of the Discriminator for pairs of one real and one made spectrogram.

    The relativistic loss alone cares little for labels: both of a pair have the same. So recordings also teach which
    label they have, by the softmax over the logits of all. That is an auxiliary classifier (Odena et al. 2017) without
    weights of its own, and made spectrograms are not its business: the Generator hears of it only through the logits
    that it plays for, and has no reason to keep to the plainest sounds of a label.

    Args:
        gamma, sigma: strength of the penalties, and step of their finite difference.
        label_weight: weight of the cross-entropy of the labels; without labels it is nothing.
        label_weights: what a recording of each label counts in it, see `class_weights`; all the same if left out.

    Shape:
        real, made (n, nc, bands, frames), of equal labels (n,); noise (2n, nc, bands, frames), standard normal;
        label_weights (labels,).
    """
    spectrograms = torch.cat([real, made])
    everything = torch.cat([spectrograms, spectrograms + sigma * noise])
    of_labels = discriminator(everything)
    logits, moved = logits_of(of_labels, labels.repeat(4)).chunk(2)
    real_logits, made_logits = logits.chunk(2)
    penalty = ((logits - moved) / sigma).square().mean()
    label_loss = F.cross_entropy(of_labels[: len(real)], labels, label_weights, reduction="sum") / len(real)
    loss = F.softplus(made_logits - real_logits).mean() + gamma * penalty + label_weight * label_loss
    correct = (real_logits > made_logits).float().mean()
    return DiscriminatorLoss(loss, correct, *(part.detach() for part in (penalty, label_loss, real_logits)))


def class_weights(labels: Tensor) -> Tensor:
    """What a recording of each label counts, so that all labels count the same, however few recordings they have.

    1 is usual, and `MOST_WEIGHT` the most: a label with next to no recordings must not lead.

    Shape: of all recordings (n,), each label once at least → (labels,).
    """
    count = torch.bincount(labels)
    return (len(labels) / (len(count) * count)).clamp_max(MOST_WEIGHT)


def generator_loss(discriminator: nn.Module, real_logits: Tensor, made: Tensor, labels: Tensor) -> Tensor:
    """Loss of the Generator: every made spectrogram should be judged more real than its real partner.

    Shape:
        what was thought of the partners (n,); made (n, nc, bands, frames) and their labels (n,).
    """
    return F.softplus(real_logits - logits_of(discriminator(made), labels)).mean()


def logits_of(logits: Tensor, labels: Tensor) -> Tensor:
    """Of the logits of every row, that of its own label. Shape: (n, labels), (n,) → (n,)."""
    return logits.gather(1, labels[:, None]).squeeze(1)
