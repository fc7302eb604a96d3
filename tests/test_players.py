"""The networks of a training and what trains them: learning rates, the average, and what a Generator paints from."""

from __future__ import annotations

import pytest
import torch
from conftest import TinySettings

from soundgan.data.dataset import Dataset
from soundgan.training.runtime.rng import Chance
from soundgan.training.state.state import CONSTANT_RATES, NEW_TAPE, Painter, Players, new_players

CPU = torch.device("cpu")


@pytest.fixture
def players(tiny_dataset: Dataset, tiny_settings: TinySettings) -> Players:
    return new_players(tiny_dataset, tiny_settings(), CPU)


def rates(players: Players) -> list[float]:
    return [optimizer.param_groups[0]["lr"] for optimizer in players.optimizers().values()]


def test_learning_rates_stay_and_then_fall_with_the_square_root_of_the_sounds_seen(
    players: Players, tiny_settings: TinySettings
) -> None:
    settings = tiny_settings(lr_G=2e-3, lr_D=1e-3)
    constant = CONSTANT_RATES * settings.batch_size
    for seen in (0, 8, constant):
        players.set_rates(settings, seen)
        assert rates(players) == [2e-3, 1e-3]
    players.set_rates(settings, 4 * constant)
    assert rates(players) == pytest.approx([1e-3, 5e-4])
    players.set_rates(settings, 400 * constant)
    assert rates(players) == pytest.approx([1e-4, 5e-5])
    players.set_rates(settings, 0)  # they follow from the sounds seen, not from what they were
    assert rates(players) == [2e-3, 1e-3]


def test_the_average_moves_by_the_rest_of_the_decay(players: Players) -> None:
    with torch.no_grad():
        for parameter in players.generator.parameters():
            parameter += 1
    before = [parameter.clone() for parameter in players.average.parameters()]
    players.take_average(0.75)
    for old, now in zip(before, players.average.parameters(), strict=True):
        torch.testing.assert_close(now, old + 0.25)


def test_a_new_tape_of_grain_is_laid_where_the_old_one_was(tiny_dataset: Dataset, tiny_settings: TinySettings) -> None:
    painter = Painter(tiny_settings(), tiny_dataset.representation)
    painter.lay_out(Chance(3, 0, CPU))
    before, place = painter._tape.clone(), painter._tape.data_ptr()
    painter.lay_out(Chance(3, NEW_TAPE, CPU))
    assert not torch.equal(painter._tape, before)
    assert painter._tape.data_ptr() == place  # where a recorded step of a GPU looks


@torch.no_grad()
def test_paintings_follow_from_seed_and_sounds_seen(
    players: Players, tiny_dataset: Dataset, tiny_settings: TinySettings
) -> None:
    painter = Painter(tiny_settings(), tiny_dataset.representation)
    labels = torch.tensor([0, 1, 1])

    def paint(seen: int, one_grain: bool = False) -> torch.Tensor:
        return painter.paint(players.generator, labels, Chance(3, seen, CPU), one_grain=one_grain)

    assert torch.equal(paint(8), paint(8))
    assert not torch.equal(paint(8), paint(16))
    assert not torch.equal(paint(0), paint(NEW_TAPE))
    assert torch.equal(paint(0), paint(0))  # though other tapes were asked for in between
    assert not torch.equal(paint(8), paint(8, one_grain=True))
