"""Distances between real spectrograms, against closed forms."""

from __future__ import annotations

import math

import pytest
import torch
from spectrograms import flat_spectrograms, zeros

from soundgan.training.losses.cells import cells, real_distances


def test_real_distances_compare_different_recordings_of_a_label() -> None:
    torch.manual_seed(0)
    spectrograms = torch.cat(
        [flat_spectrograms([-0.5, 0.5]), flat_spectrograms((0.2 * torch.randn(200)).tolist()), flat_spectrograms([0.9])]
    )
    labels = torch.tensor([0, 0, *[2] * 200, 1])
    usual, nearest = real_distances(cells(spectrograms), labels, 3, max_neighbors=1000)
    assert usual[0].item() == nearest[0].item() == pytest.approx(1)
    # Two normal numbers differ by 2 / √π standard deviations in the mean.
    assert usual[2].item() == pytest.approx(0.2 * 2 / math.pi**0.5, rel=0.15)
    levels = spectrograms[2:202, 0, 0, 0]
    gaps = (levels[:, None] - levels).abs() + 9 * torch.eye(200)
    assert nearest[2].item() == pytest.approx(gaps.amin(1).mean().item())
    # A single recording has no distances.
    assert usual[1].item() == pytest.approx((usual[0] + usual[2]).item() / 2)
    assert nearest[1].item() == pytest.approx((nearest[0] + nearest[2]).item() / 2)


def test_real_distances_are_positive_without_labels_pairs_or_differences() -> None:
    spectrograms = flat_spectrograms([0.0, 0.4])
    for labels, count in ((zeros(2), 0), (torch.tensor([0, 1]), 2)):
        for distance in real_distances(cells(spectrograms), labels, count, max_neighbors=16):
            assert distance.tolist() == pytest.approx([0.4] * max(count, 1))
    assert (real_distances(cells(flat_spectrograms([0.3, 0.3])), zeros(2), 1, max_neighbors=16).mean_pairwise > 0).all()
    alone = real_distances(cells(flat_spectrograms([0.3])), zeros(1), 1, max_neighbors=16)
    assert alone.mean_pairwise.isfinite().all() and alone.nearest.isfinite().all()


def test_nearest_distance_falls_with_the_number_of_others() -> None:
    torch.manual_seed(0)
    recordings = torch.randn(100, 8)
    found = [real_distances(recordings, zeros(100), 0, num_others).nearest.item() for num_others in (1, 10, 99)]
    assert found[0] > found[1] > found[2]
    assert found[0] == pytest.approx(real_distances(recordings, zeros(100), 0, 1).mean_pairwise.item(), rel=0.2)
