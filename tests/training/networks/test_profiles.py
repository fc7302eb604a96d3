"""Profiles: curves of full resolution, and what the discriminator sees of them."""

from __future__ import annotations

import pytest
import torch

from soundgan.training.networks.blocks import W_DIM
from soundgan.training.networks.profiles import Axis, Profile, ProfileFeatures


@pytest.mark.parametrize("length", [16, 48, 512])
def test_profile_has_the_resolution_of_its_axis(length: int) -> None:
    """Neighbors can be trained apart: to a comb of every other band."""
    torch.manual_seed(0)
    profile, w = Profile(length), torch.randn(1, W_DIM)
    comb = torch.cos(torch.pi * torch.arange(length))
    optimizer = torch.optim.Adam(profile.parameters(), 1e-2)
    for _ in range(300):
        optimizer.zero_grad()
        (profile(w)[0] - comb).square().mean().backward()
        optimizer.step()
    assert (profile(w)[0] - comb).square().mean() < 0.1


@torch.no_grad()
def test_profile_is_float32_under_bfloat16_autocast() -> None:
    with torch.autocast("cpu", torch.bfloat16):
        assert Profile(32)(torch.randn(2, W_DIM)).dtype == torch.float32


@torch.no_grad()
@pytest.mark.parametrize(("axis", "dim"), [("bands", 2), ("frames", 3)])
def test_features_see_lines_that_patches_average(axis: Axis, dim: int) -> None:
    """A line of one band over all frames, or of one frame over all bands, moves by one."""
    torch.manual_seed(0)
    features = ProfileFeatures(64, 64, 1, axis)
    line = torch.full((1, 1, 64, 64), -1.0)
    line.select(dim, 32).fill_(1.0)
    moved = line.roll(1, dim)
    assert features(line).shape == (1, W_DIM)
    assert (features(moved) - features(line)).norm() > 0.05 * features(line).norm()


@torch.no_grad()
@pytest.mark.parametrize("axis", ["bands", "frames"])
def test_features_are_blind_to_the_other_axis_within_a_mean(axis: Axis) -> None:
    """Within four positions, 16 frames here, or a 16th of the bands, only the mean counts."""
    torch.manual_seed(0)
    features, spectrogram = ProfileFeatures(64, 64, 2, axis), torch.randn(1, 2, 64, 64)
    shuffled = spectrogram.clone()
    if axis == "bands":
        shuffled[..., 16:32] = spectrogram[..., 16:32].flip(3)
    else:
        shuffled[:, :, 4:8] = spectrogram[:, :, 4:8].flip(2)
    torch.testing.assert_close(features(shuffled), features(spectrogram), rtol=1e-4, atol=1e-5)
