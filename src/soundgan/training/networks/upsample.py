"""Enlarging by linear interpolation, as products with matrices or as PyTorch interpolates.

Both do the same. But on a GPU PyTorch adds gradients up in an order that may change from one time to the next, and a
picture of one channel takes it longer than the convolutions around it; many channels on a processor, half as long.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

FEW = 4  # channels up to which a processor multiplies faster than it interpolates
SHORT = 128  # sides up to which ONNX Runtime does so, too


class BilinearUpsample(nn.Module):
    """(n, nc, columns) or (n, nc, rows, columns) → the same, with every side `factor` times as long.

    Args:
        sides: (columns,) or (rows, columns).
    """

    rows: Tensor | None
    columns: Tensor

    def __init__(self, *sides: int, factor: int) -> None:
        super().__init__()
        self.factor, self.mode = float(factor), "linear" if len(sides) == 1 else "bilinear"
        *rows, columns = (interpolation_matrix(side, factor) for side in sides)
        self.register_buffer("rows", rows[0].T.contiguous() if rows else None, persistent=False)
        self.register_buffer("columns", columns, persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        many, long = x.shape[1] > FEW, torch.onnx.is_in_onnx_export() and max(x.shape[2:]) > SHORT
        if x.device.type == "cpu" and (many or long):
            return F.interpolate(x, scale_factor=self.factor, mode=self.mode, align_corners=False)
        return self.multiplied(x)

    def multiplied(self, x: Tensor) -> Tensor:
        """The same by products, wherever x is."""
        x = x @ self.columns
        return x if self.rows is None else self.rows @ x


def interpolation_matrix(count: int, factor: int) -> Tensor:
    """The matrix that interpolates linearly between so many numbers, and keeps the ends: (count, factor · count)."""
    return F.interpolate(torch.eye(count)[None], scale_factor=float(factor), mode="linear", align_corners=False)[0]
