"""The losses against their closed forms, and the finite-difference penalty against the gradient itself."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn

from soundgan.settings import LossSettings
from soundgan.training.losses.adversarial import (
    MAX_CLASS_WEIGHT,
    balanced_class_weights,
    discriminator_loss,
    generator_loss,
)

SHAPE = (1, 2, 3)  # of the spectrograms here
NUMBERS = math.prod(SHAPE)
LABELS = torch.arange(3)
PLAIN = LossSettings(gradient_penalty=1.0, gradient_penalty_sigma=0.05, label_loss=0.0)
PAIRS = st.lists(st.tuples(*[st.floats(-20, 20)] * 2, st.integers(0, 2)), min_size=1, max_size=6)


def with_losses(**values: float) -> LossSettings:
    return PLAIN.model_copy(update=values)


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
        discriminator, spectrograms, spectrograms, labels, every_direction(), with_losses(gradient_penalty_sigma=sigma)
    )
    return loss.terms["gradient_penalty"].item()


def squared_gradient(discriminator: nn.Module, spectrogram: Tensor, label: int) -> float:
    spectrogram = spectrogram[None].clone().requires_grad_()
    (gradient,) = torch.autograd.grad(discriminator(spectrogram)[0, label], spectrogram)
    return gradient.square().sum().item()


def spectrograms_of(values: list[float]) -> Tensor:
    return torch.tensor(values, dtype=torch.float64)[:, None, None, None]


def softplus(x: float) -> float:
    return max(x, 0.0) + math.log1p(math.exp(-abs(x)))


@pytest.mark.parametrize("sigma", [0.01, 0.05, 1.0])
def test_penalty_of_a_linear_discriminator_is_its_squared_gradient(sigma: float) -> None:
    torch.manual_seed(0)
    discriminator, spectrogram = Linear(), torch.randn(*SHAPE, dtype=torch.float64)
    assert penalty_at(discriminator, spectrogram, 1, sigma) == pytest.approx(
        squared_gradient(discriminator, spectrogram, 1)
    )


@pytest.mark.parametrize("label", [0, 2])
def test_penalty_error_is_quadratic_in_sigma(label: int) -> None:
    torch.manual_seed(0)
    discriminator, spectrogram = Smooth(), torch.randn(*SHAPE, dtype=torch.float64)
    true = squared_gradient(discriminator, spectrogram, label)
    errors = [abs(penalty_at(discriminator, spectrogram, label, sigma) - true) for sigma in (0.1, 0.05, 0.025)]
    assert errors[1] < 0.02 * true
    assert errors[0] / errors[1] == pytest.approx(4, rel=0.2)
    assert errors[1] / errors[2] == pytest.approx(4, rel=0.2)


def test_penalty_is_an_unbiased_estimate_of_the_squared_gradient() -> None:
    torch.manual_seed(0)
    discriminator, n = Linear(), 20000
    x, labels = torch.zeros(n, *SHAPE, dtype=torch.float64), torch.zeros(n, dtype=torch.int64)
    noise = torch.randn(2 * n, *SHAPE, dtype=torch.float64)
    measured = discriminator_loss(discriminator, x, x, labels, noise, PLAIN).terms["gradient_penalty"].item()
    assert measured == pytest.approx(discriminator.weight.square().sum().item(), rel=0.05)


def test_penalty_gradient_flattens_the_discriminator() -> None:
    torch.manual_seed(0)
    discriminator = Linear()
    x, labels = torch.zeros(NUMBERS, *SHAPE, dtype=torch.float64), torch.zeros(NUMBERS, dtype=torch.int64)
    discriminator_loss(
        discriminator, x, x, labels, every_direction(), with_losses(gradient_penalty=3.0)
    ).loss.backward()
    assert discriminator.weight.grad is not None
    # The gradient of 3 ‖weight‖²; the relativistic part cancels for equal spectrograms.
    torch.testing.assert_close(discriminator.weight.grad, 6 * discriminator.weight.detach())


@given(pairs=PAIRS, gamma=st.floats(0, 10))
def test_adversarial_losses_match_their_closed_form(pairs: list[tuple[float, float, int]], gamma: float) -> None:
    real, fake = (spectrograms_of([pair[i] for pair in pairs]) for i in (0, 1))
    labels = torch.tensor([pair[2] for pair in pairs])
    noise = torch.ones(2 * len(pairs), 1, 1, 1, dtype=torch.float64)
    d_loss = discriminator_loss(
        Reader(), real, fake, labels, noise, with_losses(gradient_penalty=gamma, gradient_penalty_sigma=0.5)
    )
    # Every real spectrogram is compared with the fake one of its own label, so that the label's share cancels.
    expected = sum(softplus(m - r) for r, m, _ in pairs) / len(pairs)
    assert d_loss.terms["gradient_penalty"].item() == pytest.approx(1, abs=1e-9)
    # PyTorch takes softplus for linear beyond 20, where it is off by e^-20 = 2.1e-9 at most.
    assert d_loss.loss.item() == pytest.approx(expected + gamma, abs=2.5e-9)
    assert d_loss.d_accuracy.item() == pytest.approx(
        sum(r + 100 * label > m + 100 * label for r, m, label in pairs) / len(pairs)
    )
    loss = generator_loss(Reader(), d_loss.real_logits, fake, labels).item()
    assert loss == pytest.approx(sum(softplus(r - m) for r, m, _ in pairs) / len(pairs), abs=2.5e-9)


def test_adversarial_losses_of_equal_pairs_are_log_2() -> None:
    x, labels = spectrograms_of([0.3, -0.2]), torch.tensor([0, 1])
    noise = torch.zeros(4, 1, 1, 1, dtype=torch.float64)
    d_loss = discriminator_loss(Reader(), x, x, labels, noise, PLAIN)
    assert d_loss.loss.item() == pytest.approx(math.log(2))
    assert generator_loss(Reader(), d_loss.real_logits, x, labels).item() == pytest.approx(math.log(2))


def test_generator_loss_gradient_raises_fake_logits() -> None:
    fake = spectrograms_of([-0.5, 0.2]).requires_grad_()
    generator_loss(Reader(), torch.tensor([0.5, 100.0]), fake, torch.tensor([0, 1])).backward()
    assert fake.grad is not None
    assert (fake.grad < 0).all()


def test_discriminator_statistics_carry_no_gradient() -> None:
    x, labels = torch.zeros(NUMBERS, *SHAPE, dtype=torch.float64), torch.zeros(NUMBERS, dtype=torch.int64)
    d_loss = discriminator_loss(Linear(), x, x, labels, every_direction(), PLAIN)
    assert d_loss.loss.requires_grad
    assert not any(value.requires_grad for value in (*d_loss.terms.values(), *d_loss[2:]))


class Table(nn.Module):
    """Logits (n, 3) that stand in the spectrograms themselves."""

    def forward(self, spectrograms: Tensor) -> Tensor:
        return spectrograms[:, 0, 0]


@given(
    rows=st.lists(st.tuples(*[st.floats(-20, 20)] * 3, st.integers(0, 2)), min_size=1, max_size=6),
    label_weight=st.floats(0, 3),
)
def test_label_loss_is_the_cross_entropy_of_real_labels(
    rows: list[tuple[float, float, float, int]], label_weight: float
) -> None:
    real = torch.tensor([row[:3] for row in rows], dtype=torch.float64)[:, None, None]
    labels, noise = torch.tensor([row[3] for row in rows]), torch.zeros(2 * len(rows), 1, 1, 3)
    plain, d_loss = (
        discriminator_loss(Table(), real, -7 * real, labels, noise, with_losses(label_loss=weight))
        for weight in (0.0, label_weight)
    )
    expected = sum(math.log(sum(math.exp(x - row[row[3]]) for x in row[:3])) for row in rows) / len(rows)
    assert d_loss.terms["label_loss"].item() == pytest.approx(expected, abs=1e-9)
    assert d_loss.loss.item() == pytest.approx(plain.loss.item() + label_weight * expected, abs=1e-8)


@given(counts=st.lists(st.integers(1, 300), min_size=1, max_size=8))
def test_class_weights_balance_all_but_the_rarest_labels(counts: list[int]) -> None:
    labels = torch.repeat_interleave(torch.arange(len(counts)), torch.tensor(counts))
    weights = balanced_class_weights(labels)
    sums = torch.tensor(counts) * weights
    assert sums.max().item() == pytest.approx(len(labels) / len(counts))
    assert ((weights == MAX_CLASS_WEIGHT) | torch.isclose(sums, sums.max())).all()


def test_label_loss_applies_class_weights() -> None:
    x, labels, weights = torch.randn(4, *SHAPE, dtype=torch.float64), torch.tensor([0, 2, 2, 1]), LABELS + 0.5
    discriminator, noise = nn.Sequential(nn.Flatten(), nn.Linear(NUMBERS, 3).double()), torch.zeros(8, *SHAPE)
    losses = [
        discriminator_loss(discriminator, x, x, labels, noise, PLAIN, given).terms["label_loss"].item()
        for given in (None, torch.ones(3, dtype=torch.float64), weights.double())
    ]
    expected = nn.functional.cross_entropy(discriminator(x), labels, reduction="none")
    assert losses == pytest.approx(
        [expected.mean().item(), expected.mean().item(), (expected * weights[labels]).mean().item()]
    )


def test_label_loss_is_zero_without_labels() -> None:
    x, labels = spectrograms_of([0.3, -0.2]), torch.zeros(2, dtype=torch.int64)
    noise = torch.zeros(4, 1, 1, 1, dtype=torch.float64)
    d_loss = discriminator_loss(nn.Flatten(), x, x, labels, noise, with_losses(label_loss=5.0))
    assert d_loss.terms["label_loss"].item() == 0
    assert d_loss.loss.item() == pytest.approx(math.log(2))


def test_label_loss_has_no_gradient_for_fake_spectrograms() -> None:
    torch.manual_seed(0)
    discriminator, labels = Smooth(), torch.tensor([0, 1, 2])
    real = torch.randn(3, *SHAPE, dtype=torch.float64, requires_grad=True)
    fake = torch.randn(3, *SHAPE, dtype=torch.float64, requires_grad=True)
    plain, d_loss = (
        discriminator_loss(
            discriminator,
            real,
            fake,
            labels,
            torch.zeros(6, *SHAPE),
            with_losses(gradient_penalty=0.0, label_loss=weight),
        )
        for weight in (0.0, 1.0)
    )
    of_real, of_fake = torch.autograd.grad(d_loss.loss - plain.loss, (real, fake), allow_unused=True)
    assert of_real.abs().sum() > 0
    assert of_fake is None or of_fake.abs().max() < 1e-12
