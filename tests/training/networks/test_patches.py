"""Patches: smooth spectrograms without a checkerboard."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from soundgan.training.networks.patches import Patches, patch_stride, ramp, remove_checkerboard

SIZE, ROWS, COLUMNS = 5, 6, 7
STRIDES = [(4, 4), (8, 8), (16, 8)]


@pytest.fixture(params=STRIDES)
def patches(request: pytest.FixtureRequest) -> Patches:
    """As rough as can be."""
    torch.manual_seed(0)
    patches = Patches(SIZE, 1, request.param)
    torch.nn.init.normal_(patches.kernel)
    return patches


def inner(patches: Patches, features: Tensor) -> Tensor:
    """Return the part of a spectrogram that all patches around reach."""
    height, width = patches.stride
    return patches(features.expand(-1, -1, ROWS, COLUMNS))[0, 0, height:-height, width:-width]


@torch.no_grad()
def test_patches_upsample_by_their_stride(patches: Patches) -> None:
    with torch.autocast("cpu", torch.bfloat16):
        spectrogram = patches(torch.randn(3, SIZE, ROWS, COLUMNS))
    assert spectrogram.shape == (3, 1, patches.stride[0] * ROWS, patches.stride[1] * COLUMNS)
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
@pytest.mark.parametrize("stride", STRIDES)
def test_remove_checkerboard_is_a_projection(stride: tuple[int, int]) -> None:
    height, width = stride
    patches = remove_checkerboard(torch.randn(SIZE, 2, 2 * height, 2 * width))
    torch.testing.assert_close(remove_checkerboard(patches), patches)
    smooth = (ramp(height)[:, None] * ramp(width)).expand(1, 1, -1, -1)
    torch.testing.assert_close(remove_checkerboard(smooth), smooth)


@torch.no_grad()
def test_patches_apply_ramp_and_remove_checkerboard(patches: Patches) -> None:
    expected = remove_checkerboard(patches.kernel * ramp(patches.stride[0])[:, None] * ramp(patches.stride[1]))
    torch.testing.assert_close(patches.patches(), expected)


@torch.no_grad()
@pytest.mark.parametrize("nc", [1, 3])
@pytest.mark.parametrize("stride", STRIDES)
def test_patches_equal_a_transposed_convolution(stride: tuple[int, int], nc: int) -> None:
    torch.manual_seed(0)
    patches, x = Patches(SIZE, nc, stride), torch.randn(2, SIZE, ROWS, COLUMNS)
    for weight in patches.parameters():
        torch.nn.init.normal_(weight)
    padding = stride[0] // 2, stride[1] // 2
    expected = F.conv_transpose2d(x, patches.patches(), patches.bias.flatten(), stride=stride, padding=padding)
    torch.testing.assert_close(patches(x), expected, rtol=1e-4, atol=1e-4)


@torch.no_grad()
@pytest.mark.parametrize("stride", STRIDES)
def test_initial_patches_are_smooth(stride: tuple[int, int]) -> None:
    torch.manual_seed(0)
    patches = Patches(SIZE, 1, stride)
    patches.reset_parameters()
    spectrogram = patches(torch.randn(1, SIZE, ROWS, COLUMNS))
    assert spectrogram.diff(dim=3).std() < 0.65 * spectrogram.std()
    assert spectrogram.diff(dim=2).std() < 0.65 * spectrogram.std()


def test_fine_spectrograms_have_larger_patches_where_their_sides_allow_it() -> None:
    sizes = {(128, 80): (4, 4), (256, 96): (8, 8), (512, 160): (16, 8), (512, 80): (4, 4), (272, 96): (4, 8)}
    assert {size: patch_stride(*size) for size in sizes} == sizes


def test_fine_spectrograms_have_the_positions_of_coarse_ones() -> None:
    """At 44.1 kHz, 0.9 s are 128 × 80 mel bands or 512 × 160 linear bins."""
    for bands, frames in [(256, 160), (512, 160), (1024, 160)]:
        height, width = patch_stride(bands, frames)
        assert (bands // height, frames // width) == (128 // 4, 80 // 4)
