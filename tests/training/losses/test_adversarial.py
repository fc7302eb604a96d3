"""The losses against their closed forms, and the finite-difference penalty against the gradient itself."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn

from soundgan.training.losses.adversarial import MOST_WEIGHT, class_weights, discriminator_loss, generator_loss

SHAPE = (1, 2, 3)  # of the spectrograms here
NUMBERS = math.prod(SHAPE)
LABELS = torch.arange(3)
PLAIN: dict[str, Any] = {"gamma": 1.0, "sigma": 0.05, "label_weight": 0.0}
PAIRS = st.lists(st.tuples(*[st.floats(-20, 20)] * 2, st.integers(0, 2)), min_size=1, max_size=6)


class Reader(nn.Module):
    """Its logit is the first number of the spectrogram, plus a hundred times the label."""

    def forward(self, spectrograms: Tensor) -> Tensor:
        return spectrograms[:, 0, 0] + 100 * LABELS


class Linear(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(NUMBERS, dtype=torch.float64))

    def forward(self, spectrograms: Tensor) -> Tensor:
        return (spectrograms.flatten(1) @ self.weight)[:, None] + LABELS


class Smooth(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.Sequential(nn.Linear(NUMBERS, 16), nn.Tanh(), nn.Linear(16, 1)).double()

    def forward(self, spectrograms: Tensor) -> Tensor:
        return self.layers(spectrograms.flatten(1)) * (1 + LABELS)


def every_direction() -> Tensor:
    """Noise (2 * NUMBERS, ...) with unit covariance and no odd moment: its mean of (g·ε)² is exactly ‖g‖²."""
    axes = NUMBERS**0.5 * torch.eye(NUMBERS, dtype=torch.float64)
    return torch.cat([axes, -axes]).view(-1, *SHAPE)


def penalty_at(discriminator: nn.Module, spectrogram: Tensor, label: int, sigma: float) -> float:
    spectrograms = spectrogram.expand(NUMBERS, *SHAPE)
    labels = torch.full((NUMBERS,), label)
    loss = discriminator_loss(
        discriminator, spectrograms, spectrograms, labels, every_direction(), **{**PLAIN, "sigma": sigma}
    )
    return loss.penalty.item()


def squared_gradient(discriminator: nn.Module, spectrogram: Tensor, label: int) -> float:
    spectrogram = spectrogram[None].clone().requires_grad_()
    (gradient,) = torch.autograd.grad(discriminator(spectrogram)[0, label], spectrogram)
    return gradient.square().sum().item()


def spectrograms_of(values: list[float]) -> Tensor:
    return torch.tensor(values, dtype=torch.float64)[:, None, None, None]


def softplus(x: float) -> float:
    return max(x, 0.0) + math.log1p(math.exp(-abs(x)))


@pytest.mark.parametrize("sigma", [0.01, 0.05, 1.0])
def test_the_penalty_of_a_linear_discriminator_is_its_squared_gradient(sigma: float) -> None:
    torch.manual_seed(0)
    discriminator, spectrogram = Linear(), torch.randn(*SHAPE, dtype=torch.float64)
    assert penalty_at(discriminator, spectrogram, 1, sigma) == pytest.approx(
        squared_gradient(discriminator, spectrogram, 1)
    )


@pytest.mark.parametrize("label", [0, 2])
def test_the_penalty_of_a_smooth_discriminator_errs_by_the_square_of_the_step(label: int) -> None:
    torch.manual_seed(0)
    discriminator, spectrogram = Smooth(), torch.randn(*SHAPE, dtype=torch.float64)
    true = squared_gradient(discriminator, spectrogram, label)
    errors = [abs(penalty_at(discriminator, spectrogram, label, sigma) - true) for sigma in (0.1, 0.05, 0.025)]
    assert errors[1] < 0.02 * true
    assert errors[0] / errors[1] == pytest.approx(4, rel=0.2)
    assert errors[1] / errors[2] == pytest.approx(4, rel=0.2)


def test_random_noise_gives_the_squared_gradient_on_average() -> None:
    torch.manual_seed(0)
    discriminator, n = Linear(), 20000
    x, labels = torch.zeros(n, *SHAPE, dtype=torch.float64), torch.zeros(n, dtype=torch.int64)
    noise = torch.randn(2 * n, *SHAPE, dtype=torch.float64)
    measured = discriminator_loss(discriminator, x, x, labels, noise, **PLAIN).penalty.item()
    assert measured == pytest.approx(discriminator.weight.square().sum().item(), rel=0.05)


def test_descending_the_penalty_flattens_the_discriminator() -> None:
    torch.manual_seed(0)
    discriminator = Linear()
    x, labels = torch.zeros(NUMBERS, *SHAPE, dtype=torch.float64), torch.zeros(NUMBERS, dtype=torch.int64)
    discriminator_loss(discriminator, x, x, labels, every_direction(), **{**PLAIN, "gamma": 3.0}).loss.backward()
    assert discriminator.weight.grad is not None
    # The gradient of 3 ‖weight‖²; the relativistic part cancels for equal spectrograms.
    torch.testing.assert_close(discriminator.weight.grad, 6 * discriminator.weight.detach())


@given(pairs=PAIRS, gamma=st.floats(0, 10))
def test_losses_against_their_closed_form(pairs: list[tuple[float, float, int]], gamma: float) -> None:
    real, made = (spectrograms_of([pair[i] for pair in pairs]) for i in (0, 1))
    labels = torch.tensor([pair[2] for pair in pairs])
    noise = torch.ones(2 * len(pairs), 1, 1, 1, dtype=torch.float64)
    judged = discriminator_loss(Reader(), real, made, labels, noise, gamma=gamma, sigma=0.5, label_weight=0.0)
    # Every real spectrogram is compared with the made one of its own label, so that the label's share cancels.
    expected = sum(softplus(m - r) for r, m, _ in pairs) / len(pairs)
    assert judged.penalty.item() == pytest.approx(1, abs=1e-9)
    # PyTorch takes softplus for linear beyond 20, where it is off by e^-20 = 2.1e-9 at most.
    assert judged.loss.item() == pytest.approx(expected + gamma, abs=2.5e-9)
    assert judged.correct.item() == pytest.approx(
        sum(r + 100 * label > m + 100 * label for r, m, label in pairs) / len(pairs)
    )
    loss = generator_loss(Reader(), judged.real_logits, made, labels).item()
    assert loss == pytest.approx(sum(softplus(r - m) for r, m, _ in pairs) / len(pairs), abs=2.5e-9)


def test_the_game_is_even_when_nothing_can_be_told_apart() -> None:
    x, labels = spectrograms_of([0.3, -0.2]), torch.tensor([0, 1])
    noise = torch.zeros(4, 1, 1, 1, dtype=torch.float64)
    judged = discriminator_loss(Reader(), x, x, labels, noise, **PLAIN)
    assert judged.loss.item() == pytest.approx(math.log(2))
    assert generator_loss(Reader(), judged.real_logits, x, labels).item() == pytest.approx(math.log(2))


def test_the_generator_is_pushed_to_be_judged_more_real() -> None:
    made = spectrograms_of([-0.5, 0.2]).requires_grad_()
    generator_loss(Reader(), torch.tensor([0.5, 100.0]), made, torch.tensor([0, 1])).backward()
    assert made.grad is not None
    assert (made.grad < 0).all()


def test_what_is_told_beside_the_loss_carries_no_gradient() -> None:
    x, labels = torch.zeros(NUMBERS, *SHAPE, dtype=torch.float64), torch.zeros(NUMBERS, dtype=torch.int64)
    judged = discriminator_loss(Linear(), x, x, labels, every_direction(), **PLAIN)
    assert judged.loss.requires_grad
    assert not any(told.requires_grad for told in judged[1:])


class Table(nn.Module):
    """Logits (n, 3) that stand in the spectrograms themselves."""

    def forward(self, spectrograms: Tensor) -> Tensor:
        return spectrograms[:, 0, 0]


@given(
    rows=st.lists(st.tuples(*[st.floats(-20, 20)] * 3, st.integers(0, 2)), min_size=1, max_size=6),
    label_weight=st.floats(0, 3),
)
def test_label_loss_is_the_cross_entropy_of_the_labels_of_recordings(
    rows: list[tuple[float, float, float, int]], label_weight: float
) -> None:
    real = torch.tensor([row[:3] for row in rows], dtype=torch.float64)[:, None, None]
    labels, noise = torch.tensor([row[3] for row in rows]), torch.zeros(2 * len(rows), 1, 1, 3)
    plain, judged = (
        discriminator_loss(Table(), real, -7 * real, labels, noise, **{**PLAIN, "label_weight": weight})
        for weight in (0.0, label_weight)
    )
    expected = sum(math.log(sum(math.exp(x - row[row[3]]) for x in row[:3])) for row in rows) / len(rows)
    assert judged.label_loss.item() == pytest.approx(expected, abs=1e-9)
    assert judged.loss.item() == pytest.approx(plain.loss.item() + label_weight * expected, abs=1e-8)


@given(counts=st.lists(st.integers(1, 300), min_size=1, max_size=8))
def test_all_labels_weigh_the_same_but_for_the_rarest(counts: list[int]) -> None:
    labels = torch.repeat_interleave(torch.arange(len(counts)), torch.tensor(counts))
    weights = class_weights(labels)
    sums = torch.tensor(counts) * weights
    assert sums.max().item() == pytest.approx(len(labels) / len(counts))
    assert ((weights == MOST_WEIGHT) | torch.isclose(sums, sums.max())).all()


def test_the_label_loss_counts_recordings_by_the_weight_of_their_label() -> None:
    x, labels, weights = torch.randn(4, *SHAPE, dtype=torch.float64), torch.tensor([0, 2, 2, 1]), LABELS + 0.5
    discriminator, noise = nn.Sequential(nn.Flatten(), nn.Linear(NUMBERS, 3).double()), torch.zeros(8, *SHAPE)
    told = [
        discriminator_loss(discriminator, x, x, labels, noise, **PLAIN, label_weights=given).label_loss.item()
        for given in (None, torch.ones(3, dtype=torch.float64), weights.double())
    ]
    each = nn.functional.cross_entropy(discriminator(x), labels, reduction="none")
    assert told == pytest.approx([each.mean().item(), each.mean().item(), (each * weights[labels]).mean().item()])


def test_without_labels_nothing_is_confused() -> None:
    x, labels = spectrograms_of([0.3, -0.2]), torch.zeros(2, dtype=torch.int64)
    noise = torch.zeros(4, 1, 1, 1, dtype=torch.float64)
    judged = discriminator_loss(nn.Flatten(), x, x, labels, noise, **{**PLAIN, "label_weight": 5.0})
    assert judged.label_loss.item() == 0
    assert judged.loss.item() == pytest.approx(math.log(2))


def test_only_recordings_teach_their_labels() -> None:
    torch.manual_seed(0)
    discriminator, labels = Smooth(), torch.tensor([0, 1, 2])
    real = torch.randn(3, *SHAPE, dtype=torch.float64, requires_grad=True)
    made = torch.randn(3, *SHAPE, dtype=torch.float64, requires_grad=True)
    game = {**PLAIN, "gamma": 0.0}
    plain, judged = (
        discriminator_loss(
            discriminator, real, made, labels, torch.zeros(6, *SHAPE), **{**game, "label_weight": weight}
        )
        for weight in (0.0, 1.0)
    )
    of_real, of_made = torch.autograd.grad(judged.loss - plain.loss, (real, made), allow_unused=True)
    assert of_real.abs().sum() > 0
    assert of_made is None or of_made.abs().max() < 1e-12
