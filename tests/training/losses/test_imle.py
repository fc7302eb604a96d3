"""The IMLE loss against its closed form, and the entries of the latent bank."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from spectrograms import flat_spectrograms, zeros
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from soundgan.training.losses import imle
from soundgan.training.losses.cells import RealDistances, cells
from soundgan.training.losses.imle import MAX_BANK_LATENTS, MIN_LATENTS_PER_LABEL, LatentBank, imle_loss

LEVELS = st.floats(-1, 1)
MANY_LABELS = MAX_BANK_LATENTS // MIN_LATENTS_PER_LABEL  # so many that each has the minimum of latents


@given(st.lists(st.tuples(LEVELS, LEVELS, st.integers(0, 1)), min_size=1, max_size=5))
def test_imle_loss_is_the_excess_distance_in_closed_form(rows: list[tuple[float, float, int]]) -> None:
    generated, near = flat_spectrograms([row[0] for row in rows]), cells(flat_spectrograms([row[1] for row in rows]))
    labels = torch.tensor([row[2] for row in rows])
    distances = RealDistances(torch.tensor([0.5, 2.0]).double(), torch.tensor([0.1, 0.3]).double())
    expected = sum(
        max(0.0, abs(a - b) - distances.nearest[label].item()) / distances.mean_pairwise[label].item()
        for a, b, label in rows
    )
    assert imle_loss(cells(generated), near, labels, distances).item() == pytest.approx(expected / len(rows), abs=1e-9)


@given(
    spectrograms=st.lists(st.tuples(LEVELS, st.integers(0, 1)), min_size=1, max_size=60),
    step=st.integers(1, 40),
    targets=st.lists(LEVELS, min_size=1, max_size=3),
)
def test_latent_bank_returns_the_nearest_of_its_latest_entries(
    spectrograms: list[tuple[float, int]], step: int, targets: list[float]
) -> None:
    latent_bank = LatentBank(MANY_LABELS, 1, 4)
    kept: dict[int, list[float]] = {0: [], 1: []}
    for start in range(0, len(spectrograms), step):
        values, labels = (list(column) for column in zip(*spectrograms[start : start + step], strict=True))
        numbers = torch.tensor(values)[:, None]
        latent_bank.add(numbers, numbers.expand(-1, 4), torch.tensor(labels))
        for value, label in zip(values, labels, strict=True):
            kept[label] = [*kept[label], value][-MIN_LATENTS_PER_LABEL:]
    for label, values_kept in kept.items():
        for target in targets if values_kept else ():
            near = latent_bank.nearest(torch.full((1, 4), target), torch.tensor([label])).item()
            assert abs(near - target) == pytest.approx(min(abs(value - target) for value in values_kept), abs=1e-6)


def test_latent_bank_searches_several_labels_in_one_call() -> None:
    torch.manual_seed(0)
    latent_bank, labels = LatentBank(2, 1, 8), torch.tensor([0, 1] * 20)
    spectrograms = torch.randn(40, 8)
    latent_bank.add(torch.arange(40.0)[:, None], spectrograms, labels)
    indices = torch.tensor([5, 38, 0, 7, 12])
    assert latent_bank.nearest(spectrograms[indices] + 1e-3, labels[indices])[:, 0].tolist() == indices.tolist()


class LargestTensor(TorchDispatchMode):
    """Measures the numbers in the largest new tensor; views are not counted."""

    numbers = 0

    def __torch_dispatch__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        found = function(*args, **(kwargs or {}))
        if isinstance(found, Tensor) and not function.is_view:
            self.numbers = max(self.numbers, found.numel())
        return found


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
def test_latent_bank_capacity_respects_its_limits(width: int, labels: int, each: int) -> None:
    assert LatentBank(labels, 1, width).capacity == each


def test_imle_gradient_points_to_the_recording_and_vanishes_nearby() -> None:
    generated, near = flat_spectrograms([0.9, 0.1, -0.4]).requires_grad_(), cells(flat_spectrograms([0.0, 0.0, 0.0]))
    distances = RealDistances(torch.ones(1), torch.tensor([0.2]))
    imle_loss(cells(generated), near, zeros(3), distances).backward()
    assert generated.grad is not None
    assert generated.grad.mean((1, 2, 3)).sign().tolist() == [1, 0, -1]


def test_latent_bank_copies_few_entries_at_a_time_and_only_on_cuda(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(imle, "MAX_BANK_ELEMENTS", 2 * MIN_LATENTS_PER_LABEL * 100)
    torch.manual_seed(0)
    latent_bank, labels = LatentBank(MANY_LABELS, 1, 100), torch.randint(MANY_LABELS, (7,))
    latent_bank.spectrograms.normal_()
    near = torch.randn(7, 100)
    with LargestTensor() as of_views:
        uncopied = latent_bank._distances(near, labels)
    with LargestTensor() as of_copies:
        copied = latent_bank._copied_distances(near, labels)
    assert torch.equal(uncopied, copied)
    assert of_views.numbers == 7 * MIN_LATENTS_PER_LABEL  # the distances
    assert of_copies.numbers == imle.MAX_BANK_ELEMENTS
