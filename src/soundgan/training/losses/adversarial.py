"""Adversarial losses: relativistic, with gradient penalties on real and generated spectrograms.

R3GAN (Huang et al. 2024): every real spectrogram is compared with a generated one of the same label, and the
discriminator is regularized by R1 and R2 (Mescheder et al. 2018). The squared gradient is estimated by a finite
difference, E‖D(x + σε) - D(x)‖² / σ² = ‖∇D‖² + O(σ²), which needs no second derivative.

A discriminator returns one logit per label, (n, labels). The adversarial losses use that of the sample's label; from
all of them the discriminator also learns to classify recordings.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from soundgan.settings import LossSettings
from soundgan.training.losses.terms import Terms, detached, weighted_sum

MAX_CLASS_WEIGHT = 8.0


class DiscriminatorLoss(NamedTuple):
    """The loss to minimize (scalar), and detached values.

    Attributes:
        terms: unweighted values of its terms.
        d_accuracy: fraction of pairs whose real spectrogram has the higher logit.
        real_logits: of the real spectrograms, (n,).
    """

    loss: Tensor
    terms: dict[str, Tensor]
    d_accuracy: Tensor
    real_logits: Tensor


def discriminator_loss(
    discriminator: nn.Module,
    real: Tensor,
    fake: Tensor,
    labels: Tensor,
    noise: Tensor,
    settings: LossSettings,
    class_weights: Tensor | None = None,
) -> DiscriminatorLoss:
    """Return the loss of the discriminator for pairs of a real and a generated spectrogram.

    The relativistic loss alone depends little on labels, which are equal in a pair. So the softmax over all logits is
    trained to classify recordings, as an auxiliary classifier (Odena et al. 2017) without weights of its own. Generated
    spectrograms are no part of that: the generator would prefer the most typical sounds of a label.

    Args:
        settings: weights of the terms, and step σ of the finite difference.
        class_weights: weights of the labels in the cross-entropy, see `balanced_class_weights`; uniform if None.

    Shape:
        real, fake (n, nc, bands, frames); labels (n,); noise (2n, nc, bands, frames), standard normal;
        class_weights (labels,).
    """
    sigma = settings.gradient_penalty_sigma
    spectrograms = torch.cat([real, fake])
    all_logits = discriminator(torch.cat([spectrograms, spectrograms + sigma * noise]))
    logits, perturbed = select_logits(all_logits, labels.repeat(4)).chunk(2)
    real_logits, fake_logits = logits.chunk(2)
    penalty = ((logits - perturbed) / sigma).square().mean()
    label_loss = F.cross_entropy(all_logits[: len(real)], labels, class_weights, reduction="sum") / len(real)
    terms: Terms = {
        "adversarial_loss": (1.0, F.softplus(fake_logits - real_logits).mean()),
        "gradient_penalty": (settings.gradient_penalty, penalty),
        "label_loss": (settings.label_loss, label_loss),
    }
    d_accuracy = (real_logits > fake_logits).float().mean()
    return DiscriminatorLoss(weighted_sum(terms), detached(terms), d_accuracy, real_logits.detach())


def generator_loss(discriminator: nn.Module, real_logits: Tensor, fake: Tensor, labels: Tensor) -> Tensor:
    """Return the loss of the generator, whose spectrograms should have higher logits than their real partners.

    Shape:
        real_logits (n,), fake (n, nc, bands, frames), labels (n,) → ().
    """
    return F.softplus(real_logits - select_logits(discriminator(fake), labels)).mean()


def balanced_class_weights(labels: Tensor) -> Tensor:
    """Return weights with which all labels count the same, however few recordings they have.

    Their mean over recordings is 1 at most, their maximum `MAX_CLASS_WEIGHT`: a label of a few must not dominate.

    Shape: of all recordings (n,), each label once at least → (labels,).
    """
    count = torch.bincount(labels)
    return (len(labels) / (len(count) * count)).clamp_max(MAX_CLASS_WEIGHT)


def select_logits(logits: Tensor, labels: Tensor) -> Tensor:
    """Return the logit of each row's label. Shape: (n, labels), (n,) → (n,)."""
    return logits.gather(1, labels[:, None]).squeeze(1)
