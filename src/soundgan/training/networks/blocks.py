"""Parts of the residual networks: blocks, initialization, and the bound of their output."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

W_DIM = 128  # dimensions of the mapped latent w


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
        if isinstance(module, nn.Conv2d | nn.Linear) and not name.endswith("style"):
            nn.init.kaiming_normal_(module.weight, a=0.2)
            if module.bias is not None:
                nn.init.zeros_(module.bias)


def unit_variance(x: Tensor) -> Tensor:
    """Scale every row to a mean square of 1."""
    return x * torch.rsqrt(x.square().mean(dim=1, keepdim=True) + 1e-8)
