"""Patches: smooth spectrograms without a checkerboard."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from soundgan.training.networks.patches import PATCH_STRIDE, Patches, ramp, remove_checkerboard

SIZE, ROWS, COLUMNS = 5, 6, 7
INSIDE = slice(PATCH_STRIDE, -PATCH_STRIDE)  # what all patches around reach


@pytest.fixture
def patches() -> Patches:
    """As rough as can be."""
    torch.manual_seed(0)
    patches = Patches(SIZE, 1)
    torch.nn.init.normal_(patches.kernel)
    return patches


def inner(patches: Patches, features: Tensor) -> Tensor:
    return patches(features.expand(-1, -1, ROWS, COLUMNS))[0, 0, INSIDE, INSIDE]


@torch.no_grad()
def test_patches_upsample_by_four(patches: Patches) -> None:
    with torch.autocast("cpu", torch.bfloat16):
        spectrogram = patches(torch.randn(3, SIZE, ROWS, COLUMNS))
    assert spectrogram.shape == (3, 1, PATCH_STRIDE * ROWS, PATCH_STRIDE * COLUMNS)
    assert spectrogram.dtype == torch.float32


@torch.no_grad()
def test_constant_features_over_frames_give_no_checkerboard(patches: Patches) -> None:
    spectrogram = inner(patches, torch.randn(1, SIZE, ROWS, 1))
    assert spectrogram.std(1).max() < 1e-5, "over frames"
    assert spectrogram.std(0).min() > 0.1, "bands differ"


@torch.no_grad()
def test_constant_features_give_constant_spectrograms(patches: Patches) -> None:
    spectrogram = inner(patches, torch.randn(1, SIZE, 1, 1))
    assert spectrogram.std() < 1e-5
    assert spectrogram.abs().mean() > 0.01, "at a level of its own"


@torch.no_grad()
def test_remove_checkerboard_is_a_projection() -> None:
    patches = remove_checkerboard(torch.randn(SIZE, 2, 2 * PATCH_STRIDE, 2 * PATCH_STRIDE))
    torch.testing.assert_close(remove_checkerboard(patches), patches)
    smooth = (ramp()[:, None] * ramp()).expand(1, 1, -1, -1)
    torch.testing.assert_close(remove_checkerboard(smooth), smooth)


@torch.no_grad()
def test_patches_apply_ramp_and_remove_checkerboard(patches: Patches) -> None:
    expected = remove_checkerboard(patches.kernel * ramp()[:, None] * ramp())
    torch.testing.assert_close(patches.patches(), expected)


@torch.no_grad()
@pytest.mark.parametrize("nc", [1, 3])
def test_patches_equal_a_transposed_convolution(nc: int) -> None:
    torch.manual_seed(0)
    patches, x = Patches(SIZE, nc), torch.randn(2, SIZE, ROWS, COLUMNS)
    for weight in patches.parameters():
        torch.nn.init.normal_(weight)
    expected = F.conv_transpose2d(
        x, patches.patches(), patches.bias.flatten(), stride=PATCH_STRIDE, padding=PATCH_STRIDE // 2
    )
    torch.testing.assert_close(patches(x), expected, rtol=1e-4, atol=1e-4)


@torch.no_grad()
def test_initial_patches_are_smooth() -> None:
    torch.manual_seed(0)
    patches = Patches(SIZE, 1)
    patches.reset_parameters()
    spectrogram = patches(torch.randn(1, SIZE, ROWS, COLUMNS))
    assert spectrogram.diff(dim=3).std() < spectrogram.std() / 2
    assert spectrogram.diff(dim=2).std() < spectrogram.std() / 2
