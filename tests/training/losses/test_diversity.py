"""Variety, and that no recording is left out: closed forms, and what candidates are kept and found."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from soundgan.training.losses import diversity
from soundgan.training.losses.diversity import (
    MAX_BANK_LATENTS,
    MIN_LATENTS_PER_LABEL,
    Distances,
    LatentBank,
    cells,
    imle,
    recorded_distances,
    variety,
)

LEVELS = st.floats(-1, 1)
UNIT = Distances(torch.ones(3), torch.zeros(3))
MANY_LABELS = MAX_BANK_LATENTS // MIN_LATENTS_PER_LABEL  # so many that the least number of candidates is kept of each


def flat(values: list[float]) -> Tensor:
    """Spectrograms of one level each, of 2 × 1 cells."""
    return torch.tensor(values, dtype=torch.float64)[:, None, None, None].repeat(1, 1, 8, 4)


def zeros(count: int) -> Tensor:
    return torch.zeros(count, dtype=torch.int64)


@given(st.lists(st.tuples(LEVELS, LEVELS, st.integers(0, 2)), min_size=1, max_size=5))
def test_variety_is_the_mean_difference_of_pairs_over_what_is_usual(pairs: list[tuple[float, float, int]]) -> None:
    made = flat([value for one, other, _ in pairs for value in (one, other)])
    labels = torch.tensor([label for *_, label in pairs for _ in range(2)])
    usual = torch.tensor([0.1, 0.5, 2.0], dtype=torch.float64)
    expected = sum(abs(one - other) / usual[label].item() for one, other, label in pairs) / len(pairs)
    found = variety(cells(made[::2]), cells(made[1::2]), labels[::2], Distances(usual, usual))
    assert found.item() == pytest.approx(expected, abs=1e-9)


def test_raising_variety_moves_pairs_apart() -> None:
    made = flat([0.1, 0.3, 0.2, -0.2]).requires_grad_()
    variety(cells(made[::2]), cells(made[1::2]), torch.tensor([0, 1]), UNIT).backward()
    assert made.grad is not None
    assert made.grad.mean((1, 2, 3)).sign().tolist() == [-1, 1, 1, -1]


def test_grain_is_hardly_variety() -> None:
    torch.manual_seed(0)
    noise = torch.randn(40, 1, 32, 32)
    wide = torch.nn.functional.interpolate(torch.randn(40, 1, 8, 8), scale_factor=4)
    assert variety(cells(noise[:20]), cells(noise[20:]), zeros(20), UNIT) < 0.3 * variety(
        cells(wide[:20]), cells(wide[20:]), zeros(20), UNIT
    )


def test_distances_are_those_of_two_different_recordings_of_a_label() -> None:
    torch.manual_seed(0)
    spectrograms = torch.cat([flat([-0.5, 0.5]), flat((0.2 * torch.randn(200)).tolist()), flat([0.9])])
    labels = torch.tensor([0, 0, *[2] * 200, 1])
    usual, nearest = recorded_distances(cells(spectrograms), labels, 3, rivals=1000)
    assert usual[0].item() == nearest[0].item() == pytest.approx(1)
    # Two normal numbers differ by 2 / √π standard deviations in the mean.
    assert usual[2].item() == pytest.approx(0.2 * 2 / math.pi**0.5, rel=0.15)
    levels = spectrograms[2:202, 0, 0, 0]
    gaps = (levels[:, None] - levels).abs() + 9 * torch.eye(200)
    assert nearest[2].item() == pytest.approx(gaps.amin(1).mean().item())
    # Its one recording tells nothing.
    assert usual[1].item() == pytest.approx((usual[0] + usual[2]).item() / 2)
    assert nearest[1].item() == pytest.approx((nearest[0] + nearest[2]).item() / 2)


def test_distances_without_labels_with_one_recording_each_and_of_equal_ones() -> None:
    spectrograms = flat([0.0, 0.4])
    for labels, count in ((zeros(2), 0), (torch.tensor([0, 1]), 2)):
        for distance in recorded_distances(cells(spectrograms), labels, count, rivals=16):
            assert distance.tolist() == pytest.approx([0.4] * max(count, 1))
    assert (recorded_distances(cells(flat([0.3, 0.3])), zeros(2), 1, rivals=16).usual > 0).all()
    alone = recorded_distances(cells(flat([0.3])), zeros(1), 1, rivals=16)
    assert alone.usual.isfinite().all() and alone.nearest.isfinite().all()


def test_fewer_rivals_are_further_away() -> None:
    torch.manual_seed(0)
    recordings = torch.randn(100, 8)
    found = [recorded_distances(recordings, zeros(100), 0, rivals).nearest.item() for rivals in (1, 10, 99)]
    assert found[0] > found[1] > found[2]
    assert found[0] == pytest.approx(recorded_distances(recordings, zeros(100), 0, 1).usual.item(), rel=0.2)


@given(st.lists(st.tuples(LEVELS, LEVELS, st.integers(0, 1)), min_size=1, max_size=5))
def test_imle_is_what_a_made_sound_is_too_far_off(rows: list[tuple[float, float, int]]) -> None:
    made, near = flat([row[0] for row in rows]), cells(flat([row[1] for row in rows]))
    labels = torch.tensor([row[2] for row in rows])
    distances = Distances(torch.tensor([0.5, 2.0]).double(), torch.tensor([0.1, 0.3]).double())
    expected = sum(
        max(0.0, abs(a - b) - distances.nearest[label].item()) / distances.usual[label].item() for a, b, label in rows
    )
    assert imle(cells(made), near, labels, distances).item() == pytest.approx(expected / len(rows), abs=1e-9)


def test_imle_draws_towards_the_recording_and_ends_before_it_is_copied() -> None:
    made, near = flat([0.9, 0.1, -0.4]).requires_grad_(), cells(flat([0.0, 0.0, 0.0]))
    distances = Distances(torch.ones(1), torch.tensor([0.2]))
    imle(cells(made), near, zeros(3), distances).backward()
    assert made.grad is not None
    assert made.grad.mean((1, 2, 3)).sign().tolist() == [1, 0, -1]


@given(
    painted=st.lists(st.tuples(LEVELS, st.integers(0, 1)), min_size=1, max_size=60),
    step=st.integers(1, 40),
    wishes=st.lists(LEVELS, min_size=1, max_size=3),
)
def test_the_nearest_of_those_kept_lately_is_found(
    painted: list[tuple[float, int]], step: int, wishes: list[float]
) -> None:
    candidates = LatentBank(MANY_LABELS, 1, 4)
    kept: dict[int, list[float]] = {0: [], 1: []}
    for start in range(0, len(painted), step):
        values, labels = (list(column) for column in zip(*painted[start : start + step], strict=True))
        numbers = torch.tensor(values)[:, None]
        candidates.keep(numbers, numbers.expand(-1, 4), torch.tensor(labels))
        for value, label in zip(values, labels, strict=True):
            kept[label] = [*kept[label], value][-MIN_LATENTS_PER_LABEL:]
    for label, there in kept.items():
        for wanted in wishes if there else ():
            near = candidates.nearest(torch.full((1, 4), wanted), torch.tensor([label])).item()
            assert abs(near - wanted) == pytest.approx(min(abs(value - wanted) for value in there), abs=1e-6)


def test_many_recordings_of_some_labels_are_looked_up_together() -> None:
    torch.manual_seed(0)
    candidates, labels = LatentBank(2, 1, 8), torch.tensor([0, 1] * 20)
    painted = torch.randn(40, 8)
    candidates.keep(torch.arange(40.0)[:, None], painted, labels)
    asked = torch.tensor([5, 38, 0, 7, 12])
    assert candidates.nearest(painted[asked] + 1e-3, labels[asked])[:, 0].tolist() == asked.tolist()


class Largest(TorchDispatchMode):
    """Notes how many numbers the largest tensor has that is made in it; views are made of nothing."""

    numbers = 0

    def __torch_dispatch__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        found = function(*args, **(kwargs or {}))
        if isinstance(found, Tensor) and not function.is_view:
            self.numbers = max(self.numbers, found.numel())
        return found


def test_candidates_are_copied_for_a_gpu_alone_and_few_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(diversity, "ROOM", 2 * MIN_LATENTS_PER_LABEL * 100)
    torch.manual_seed(0)
    candidates, labels = LatentBank(MANY_LABELS, 1, 100), torch.randint(MANY_LABELS, (7,))
    candidates.spectrograms.normal_()
    near = torch.randn(7, 100)
    with Largest() as of_views:
        looked_at = candidates._looked_at(near, labels)
    with Largest() as of_copies:
        copied = candidates._copied(near, labels)
    assert torch.equal(looked_at, copied)
    assert of_views.numbers == 7 * MIN_LATENTS_PER_LABEL  # the distances
    assert of_copies.numbers == diversity.ROOM


@pytest.mark.parametrize(
    ("width", "labels", "each"),
    [
        (512, 1, 1280),
        (512, 10, 128),
        (512, 1000, MIN_LATENTS_PER_LABEL),
        (4 * 7040, 1, 142),
        (4 * 7040, 20, MIN_LATENTS_PER_LABEL),
    ],
)
def test_candidates_find_room(width: int, labels: int, each: int) -> None:
    assert LatentBank(labels, 1, width).each == each
