"""Weights and closed form of the pitch loss."""

from __future__ import annotations

import pytest
import torch

from soundgan.training.losses.pitch import VOICED_THRESHOLD, pitch_loss, pitch_weights


def test_pitch_weights_count_voiced_frames_only() -> None:
    periodicity = torch.tensor([[0.0, VOICED_THRESHOLD, 0.8, 1.0]])
    weights = pitch_weights(periodicity)
    assert weights.mean().item() == pytest.approx(1)
    assert weights[0, :2].tolist() == [0, 0]
    assert weights[0, 3].item() == pytest.approx(2 * weights[0, 2].item())
    recorded = torch.tensor([[7.0, 7.0, 7.0, 7.0]])
    sung = recorded + torch.tensor([[3.0, 3.0, 0.3, -0.6]])
    assert pitch_loss(sung, recorded, weights).item() == pytest.approx((0.3 + 2 * 0.6) / 3)
    assert (pitch_weights(torch.zeros(2, 3)) == 0).all()


def test_pitch_weights_stay_small_where_pitch_is_rare() -> None:
    periodicity = torch.zeros(100, 16)
    periodicity[0] = 0.9
    assert pitch_weights(periodicity).max() < 10
    assert pitch_weights(periodicity).mean() < 0.1
