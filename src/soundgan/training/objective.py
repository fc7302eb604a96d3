"""The game that the two networks play, whole: relativistic loss with gradient penalties on real and made paintings.

R3GAN (Huang et al. 2024): every real painting is compared with one made for the same label, and both sides are kept
smooth by R1 and R2 (Mescheder et al. 2018). The squared gradient is measured by a finite difference,
E‖D(x + σε) - D(x)‖² / σ² = ‖∇D‖² + O(σ²), which needs no second derivative.

A Discriminator answers one logit for every label, (n, labels). That of the label given is played for; by all of them
it also learns to tell the labels of recordings.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F


class DiscriminatorLoss(NamedTuple):
    """The loss to descend (scalar), and its parts for the log.

    Attributes:
        correct: share of pairs judged right.
        penalty: the mean squared gradient.
        confusion: cross-entropy of the recordings' labels, in nats.
    """

    loss: Tensor
    correct: Tensor
    penalty: Tensor
    confusion: Tensor


def discriminator_loss(
    discriminator: nn.Module,
    real: Tensor,
    made: Tensor,
    labels: Tensor,
    noise: Tensor,
    *,
    gamma: float,
    sigma: float,
    recognition: float,
) -> DiscriminatorLoss:
    """Loss of the Discriminator for pairs of one real and one made painting.

    The relativistic loss alone cares little for labels: both of a pair have the same. So recordings also teach which
    label they have, by the softmax over the logits of all. That is an auxiliary classifier (Odena et al. 2017) without
    weights of its own, and made paintings are not its business: the Generator hears of it only through the logits
    that it plays for, and has no reason to keep to the plainest sounds of a label.

    Args:
        gamma, sigma: strength of the penalties, and step of their finite difference.
        recognition: weight of the cross-entropy of the labels; without labels it is nothing.

    Shape:
        real, made (n, nc, bands, frames), of equal labels (n,); noise (2n, nc, bands, frames), standard normal.
    """
    paintings = torch.cat([real, made])
    everything = torch.cat([paintings, paintings + sigma * noise])
    of_labels = discriminator(everything)
    logits, moved = _of(of_labels, labels.repeat(4)).chunk(2)
    real_logits, made_logits = logits.chunk(2)
    penalty = ((logits - moved) / sigma).square().mean()
    confusion = F.cross_entropy(of_labels[: len(real)], labels)
    loss = F.softplus(made_logits - real_logits).mean() + gamma * penalty + recognition * confusion
    return DiscriminatorLoss(loss, (real_logits > made_logits).float().mean(), penalty.detach(), confusion.detach())


def generator_loss(discriminator: nn.Module, real: Tensor, made: Tensor, labels: Tensor) -> Tensor:
    """Loss of the Generator: every made painting should be judged more real than its real partner.

    Shape:
        made (n, nc, bands, frames) and its labels (n,); real (m, nc, bands, frames), the partners of each n / m made
        ones in a row, of the same label.
    """
    each = len(made) // len(real)
    with torch.no_grad():
        real_logits = _of(discriminator(real), labels[::each]).repeat_interleave(each)
    made_logits = _of(discriminator(made), labels)
    return F.softplus(real_logits - made_logits).mean()


def variety(made: Tensor, labels: Tensor, usual: Tensor) -> Tensor:
    """How far apart two paintings of a label are, in units of how far two recordings of it are; 1 is as it should be.

    To raise it while it is below 1 keeps the Generator from painting each label in few ways, which a Discriminator
    that sees one painting at a time hardly notices. (Mao et al. 2019 raise the distance of two paintings over that of
    their latents, without end.) Means over 4 × 4 cells are compared: single cells differ by their grain already, and
    more of that is not more variety.

    Shape:
        made (2n, nc, bands, frames), whose rows 2k and 2k + 1 are of one label; labels (2n,); usual (labels,), mean
        absolute difference of two recordings, see `usual_distances`.
    """
    apart = _difference(made[0::2], made[1::2])
    return (apart / usual[labels[::2]]).mean()


def usual_distances(paintings: Tensor, labels: Tensor, count: int, pairs: int = 256) -> Tensor:
    """Mean absolute difference of two recordings of each of `count` labels (1 if there are none). Shape: (count,).

    Of a label with a single recording it is not known: then that of the others serves, or of any two recordings.
    """
    found = torch.full((max(count, 1),), math.nan)
    draw = torch.Generator().manual_seed(0)

    def between(rows: Tensor) -> float:
        one = rows[torch.randint(len(rows), (pairs,), generator=draw)]
        other = rows[torch.randint(len(rows), (pairs,), generator=draw)]
        differ = one != other
        return _difference(paintings[one[differ]], paintings[other[differ]]).mean().item()

    for label in range(len(found)):
        rows = (labels == label).nonzero()[:, 0]
        if len(rows) > 1:
            found[label] = between(rows)
    if found.isnan().all():
        found[:] = between(torch.arange(len(labels)))
    return found.nan_to_num(found.nanmean().item()).clamp_min(1e-3)


def _of(logits: Tensor, labels: Tensor) -> Tensor:
    """That of each row's own label. Shape: (n, labels), (n,) → (n,)."""
    return logits.gather(1, labels[:, None]).squeeze(1)


def _difference(one: Tensor, other: Tensor) -> Tensor:
    """Mean absolute difference of means over 4 × 4 cells. Shape: (n, nc, bands, frames) twice → (n,)."""
    return F.avg_pool2d(one - other, 4).abs().mean((1, 2, 3))
