"""Parts of the residual networks: blocks, upsampling, initialization, and the bound of their output."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

W_DIM = 128  # dimensions of the mapped latent w
MAX_MATMUL_CHANNELS = 4  # up to which matrix products are faster on a CPU
MAX_MATMUL_SIDE = 128  # up to which they are faster in ONNX Runtime


class Block(nn.Module):
    """Residual block of two 3×3 convolutions, whose branch starts at a gain of 0.1."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.first = nn.Conv2d(width, width, 3, padding=1)
        self.second = nn.Conv2d(width, width, 3, padding=1)
        self.gain = nn.Parameter(torch.tensor(0.1))

    def forward(self, x: Tensor) -> Tensor:
        return x + self._second_with_gain(self.first(F.leaky_relu(x, 0.2)))

    def _second_with_gain(self, y: Tensor) -> Tensor:
        """Apply the second convolution, with the gain multiplied into its weights: they are fewer than its outputs."""
        y = F.leaky_relu(y, 0.2)
        if torch.onnx.is_in_onnx_export():  # the graph refers to the stored weights, which are without the gain
            return self.gain * self.second(y)
        weight, bias = self.gain * self.second.weight, self.gain * self.second.bias  # type: ignore[operator]
        return F.conv2d(y, weight, bias, padding=1)


class StyledBlock(Block):
    """A `Block` whose channels are scaled by the mapped latent w between its convolutions."""

    def __init__(self, width: int) -> None:
        super().__init__(width)
        self.style = nn.Linear(W_DIM, width)

    def forward(self, x: Tensor, w: Tensor) -> Tensor:  # type: ignore[override]
        scale = 1 + self.style(w)[:, :, None, None]
        return x + self._second_with_gain(self.first(F.leaky_relu(x, 0.2) * scale))


class BilinearUpsample(nn.Module):
    """(n, nc, columns) or (n, nc, rows, columns) → the same, with each side a factor as long.

    Interpolates linearly, by matrix products or by PyTorch's `interpolate`, which give the same values. On a GPU,
    `interpolate` sums gradients in a nondeterministic order, and takes longer for one channel than the convolutions
    around it; for many channels on a CPU it takes half the time of the products.

    Args:
        sides: (columns,) or (rows, columns).
        factors: of the sides.
    """

    rows: Tensor | None
    columns: Tensor

    def __init__(self, *sides: int, factors: tuple[int, ...]) -> None:
        super().__init__()
        self.factors, self.mode = tuple(map(float, factors)), "linear" if len(sides) == 1 else "bilinear"
        *rows, columns = (interpolation_matrix(side, factor) for side, factor in zip(sides, factors, strict=True))
        self.register_buffer("rows", rows[0].T.contiguous() if rows else None, persistent=False)
        self.register_buffer("columns", columns, persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        many = x.shape[1] > MAX_MATMUL_CHANNELS
        long = torch.onnx.is_in_onnx_export() and max(x.shape[2:]) > MAX_MATMUL_SIDE
        if x.device.type == "cpu" and (many or long):
            return F.interpolate(x, scale_factor=self.factors, mode=self.mode, align_corners=False)
        return self.by_matmul(x)

    def by_matmul(self, x: Tensor) -> Tensor:
        """Upsample by matrix products, on any device."""
        x = x @ self.columns
        return x if self.rows is None else self.rows @ x


def interpolation_matrix(count: int, factor: int) -> Tensor:
    """Return the matrix of linear interpolation with constant ends, (count, factor · count)."""
    return F.interpolate(torch.eye(count)[None], scale_factor=float(factor), mode="linear", align_corners=False)[0]


class _ClampWithInwardGradient(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        ctx.save_for_backward(x)
        return x.clamp(-1, 1)

    @staticmethod
    def backward(ctx: Any, *grad_outputs: Tensor) -> Tensor:
        (x,), (gradient,) = ctx.saved_tensors, grad_outputs
        outward = ((x < -1) & (gradient > 0)) | ((x > 1) & (gradient < 0))
        return gradient.masked_fill(outward, 0)


def clamp_with_inward_gradient(x: Tensor) -> Tensor:
    """Clamp to [-1, 1] with gradients that move a saturated value inward; those of a plain clamp are zero there."""
    return _ClampWithInwardGradient.apply(x) if x.requires_grad else x.clamp(-1, 1)  # type: ignore[no-any-return]


def reset_parameters(network: nn.Module) -> None:
    """Initialize as He et al. 2015, which keeps the variance from layer to layer, all but the layers named `style`."""
    for name, module in network.named_modules():
        if isinstance(module, nn.Conv1d | nn.Conv2d | nn.Linear) and not name.endswith("style"):
            nn.init.kaiming_normal_(module.weight, a=0.2)
            if module.bias is not None:
                nn.init.zeros_(module.bias)


def unit_variance(x: Tensor) -> Tensor:
    """Scale every row to a mean square of 1."""
    return x * torch.rsqrt(x.square().mean(dim=1, keepdim=True) + 1e-8)
