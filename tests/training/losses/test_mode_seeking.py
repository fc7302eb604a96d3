"""Diversity against its closed form, and its gradient."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from spectrograms import flat_spectrograms, zeros

from soundgan.training.losses.cells import RealDistances, cells
from soundgan.training.losses.mode_seeking import diversity, mode_seeking_loss

LEVELS = st.floats(-1, 1)
UNIT = RealDistances(torch.ones(3), torch.zeros(3))


@given(st.lists(st.tuples(LEVELS, LEVELS, st.integers(0, 2)), min_size=1, max_size=5))
def test_diversity_is_the_mean_pair_distance_over_that_of_real_pairs(pairs: list[tuple[float, float, int]]) -> None:
    made = flat_spectrograms([value for one, other, _ in pairs for value in (one, other)])
    labels = torch.tensor([label for *_, label in pairs for _ in range(2)])
    usual = torch.tensor([0.1, 0.5, 2.0], dtype=torch.float64)
    expected = sum(abs(one - other) / usual[label].item() for one, other, label in pairs) / len(pairs)
    found = diversity(cells(made[::2]), cells(made[1::2]), labels[::2], RealDistances(usual, usual))
    assert found.item() == pytest.approx(expected, abs=1e-9)


def test_diversity_gradient_moves_pairs_apart() -> None:
    made = flat_spectrograms([0.1, 0.3, 0.2, -0.2]).requires_grad_()
    diversity(cells(made[::2]), cells(made[1::2]), torch.tensor([0, 1]), UNIT).backward()
    assert made.grad is not None
    assert made.grad.mean((1, 2, 3)).sign().tolist() == [-1, 1, 1, -1]


def test_noise_texture_adds_little_diversity() -> None:
    torch.manual_seed(0)
    noise = torch.randn(40, 1, 32, 32)
    wide = torch.nn.functional.interpolate(torch.randn(40, 1, 8, 8), scale_factor=4)
    assert diversity(cells(noise[:20]), cells(noise[20:]), zeros(20), UNIT) < 0.3 * diversity(
        cells(wide[:20]), cells(wide[20:]), zeros(20), UNIT
    )


def test_mode_seeking_stops_at_the_diversity_of_real_sounds() -> None:
    generated = torch.tensor(0.5)
    assert mode_seeking_loss(generated, torch.tensor(0.4)).item() == pytest.approx(-0.6 * 0.5)
    assert mode_seeking_loss(generated, torch.tensor(1.3)) == 0
