"""Upsampling by linear interpolation, as matrix products or by PyTorch's `interpolate`.

Both give the same values. On a GPU, `interpolate` sums gradients in a nondeterministic order, and takes longer for one
channel than the convolutions around it; for many channels on a CPU it takes half the time of the products.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

MAX_MATMUL_CHANNELS = 4  # up to which matrix products are faster on a CPU
MAX_MATMUL_SIDE = 128  # up to which they are faster in ONNX Runtime


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
        many = x.shape[1] > MAX_MATMUL_CHANNELS
        long = torch.onnx.is_in_onnx_export() and max(x.shape[2:]) > MAX_MATMUL_SIDE
        if x.device.type == "cpu" and (many or long):
            return F.interpolate(x, scale_factor=self.factor, mode=self.mode, align_corners=False)
        return self.by_matmul(x)

    def by_matmul(self, x: Tensor) -> Tensor:
        """Upsample by matrix products, on any device."""
        x = x @ self.columns
        return x if self.rows is None else self.rows @ x


def interpolation_matrix(count: int, factor: int) -> Tensor:
    """Return the matrix of linear interpolation with constant ends, (count, factor · count)."""
    return F.interpolate(torch.eye(count)[None], scale_factor=float(factor), mode="linear", align_corners=False)[0]
