"""Textures of spectrograms whose texture is known."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from soundgan.training.losses.texture import texture, texture_loss, typical_difference


def over(spectrogram: Tensor) -> tuple[float, float]:
    """Mean texture over bands and over frames, without the cells at the end."""
    bands, frames = texture(spectrogram)[0, :, 0, :-1, :-1].mean((1, 2)).tolist()
    return bands, frames


def test_texture_separates_harmonics_onsets_and_noise() -> None:
    torch.manual_seed(0)
    harmonic_comb = torch.cos(torch.arange(32) * 2.0)[None, None, :, None].expand(1, 1, 32, 16)
    noise = torch.randn(1, 1, 32, 16)
    assert over(harmonic_comb)[0] > 0.5 and over(harmonic_comb)[1] == 0
    assert over(harmonic_comb.mT)[0] == 0 and over(harmonic_comb.mT)[1] > 0.5
    # Two standard normal numbers differ by 2 / √π in the mean.
    assert over(noise) == pytest.approx((1.128, 1.128), rel=0.15)
    assert over(torch.full((1, 1, 32, 16), 0.7)) == (0, 0)


@given(shift=st.floats(-1, 1), scale=st.floats(0.1, 2))
def test_texture_is_invariant_to_level_and_proportional_to_range(shift: float, scale: float) -> None:
    torch.manual_seed(0)
    spectrogram = torch.randn(2, 3, 16, 16)
    inner = texture(scale * spectrogram + shift)
    assert inner.shape == (2, 2, 3, 4, 4)
    torch.testing.assert_close(inner, scale * texture(spectrogram), atol=1e-5, rtol=1e-4)


def test_texture_loss_between_recordings_is_one() -> None:
    torch.manual_seed(0)
    recorded = texture(torch.rand(300, 1, 1, 1) * torch.randn(300, 1, 16, 16))
    typical = typical_difference(recorded)
    assert typical.shape == (2,)
    assert texture_loss(recorded[:150], recorded[150:], typical).item() == pytest.approx(1, rel=0.1)
    assert texture_loss(recorded[:150], recorded[:150], typical).item() == 0


def test_typical_difference_compares_different_recordings() -> None:
    two = texture(torch.stack([torch.zeros(1, 16, 16), torch.randn(1, 16, 16)]))
    torch.testing.assert_close(typical_difference(two), (two[0] - two[1]).abs().mean((1, 2, 3)))
    assert typical_difference(two[:1]).tolist() == [1, 1]


def test_texture_gradient_lowers_noise_against_a_smooth_target() -> None:
    torch.manual_seed(0)
    strength = torch.tensor(0.5, requires_grad=True)
    noise, smooth = torch.randn(4, 1, 16, 16), torch.zeros(4, 1, 16, 16)
    error = texture_loss(texture(strength * noise), texture(smooth), torch.ones(2))
    error.backward()
    assert strength.grad is not None and strength.grad > 0
