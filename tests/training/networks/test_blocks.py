"""Bilinear upsampling: PyTorch's interpolation, forward and backward."""

from __future__ import annotations

import pytest
import torch
from torch.nn import functional as F

from soundgan.training.networks.blocks import BilinearUpsample


@pytest.mark.parametrize(("rows", "columns", "factor"), [(8, 4, 2), (1, 1, 4), (2, 5, 4), (3, 1, 2)])
@pytest.mark.parametrize(("channels", "by"), [(3, "forward"), (7, "forward"), (7, "by_matmul")])
def test_upsample_equals_interpolate_forward_and_backward(
    rows: int, columns: int, factor: int, channels: int, by: str
) -> None:
    torch.manual_seed(0)
    x = torch.randn(2, channels, rows, columns, requires_grad=True)
    found = getattr(BilinearUpsample(rows, columns, factors=(factor, factor)), by)(x)
    expected = F.interpolate(x, scale_factor=float(factor), mode="bilinear", align_corners=False)
    torch.testing.assert_close(found, expected)
    gradient = torch.randn_like(found)
    both = [torch.autograd.grad(enlarged, x, gradient)[0] for enlarged in (found, expected)]
    torch.testing.assert_close(*both)


def test_upsample_of_one_side_equals_linear_interpolate() -> None:
    x = torch.tensor([[[0.0, 1.0, -1.0]]])
    expected = F.interpolate(x, scale_factor=4.0, mode="linear", align_corners=False)
    torch.testing.assert_close(BilinearUpsample(3, factors=(4,))(x), expected)


def test_upsample_commutes_with_pointwise_convolution() -> None:
    torch.manual_seed(0)
    x, mixed, enlarged = torch.randn(2, 6, 3, 4), torch.nn.Conv2d(6, 4, 1), BilinearUpsample(3, 4, factors=(2, 2))
    torch.testing.assert_close(enlarged(mixed(x)), mixed(enlarged(x)))


def test_upsample_has_no_state() -> None:
    assert not BilinearUpsample(2, 2, factors=(2, 2)).state_dict()
