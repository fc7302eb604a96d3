"""The networks of the original SoundGAN: a deep convolutional GAN without normalization layers.

The shape is that of Radford et al., "Unsupervised Representation Learning with Deep Convolutional Generative
Adversarial Networks" (2015), as SoundGAN first had it: 4×4 kernels, stride 2, leaky ReLU, no bias, no batch norm,
weights from N(0, 0.02). Layers are named `conv1`, `conv2`, … so that weights saved by the original load unchanged.
"""

from __future__ import annotations

from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from soundgan.errors import SettingsError
from soundgan.training.networks.base import Generator


class DCGANGenerator(Generator):
    """A small grid from the latent, upsampled by transposed convolutions.

    Args:
        nz, nc: dimensions of z, and channels of a spectrogram.
        ngf: channels before the last layer; each layer toward the latent has twice as many.
        grid_rows, grid_cols: size of the first feature map.
        stages: upsamples; spectrograms are `grid_rows * 2**stages` × `grid_cols * 2**stages`. The original has a 4×4
            grid and 6 stages, seven layers in all, for 256×256.
        labels: number of labels; 0 for an unlabeled network, which ignores the labels passed to it.

    Raises:
        SettingsError: a size is below 1, or `stages` below 2.
    """

    def __init__(
        self, nz: int, ngf: int, nc: int, grid_rows: int, grid_cols: int, stages: int, labels: int = 0
    ) -> None:
        super().__init__()
        _check_sizes(stages, nz=nz, ngf=ngf, nc=nc, grid_rows=grid_rows, grid_cols=grid_cols)
        self.labels = labels
        self.w_dim = nz + labels
        self.spectrogram_shape = grid_rows * 2**stages, grid_cols * 2**stages
        widths = [ngf * 2**upsamples for upsamples in reversed(range(stages))] + [nc]
        self.conv1 = nn.ConvTranspose2d(self.w_dim, widths[0], (grid_rows, grid_cols), bias=False)
        for number, (wide, narrow) in enumerate(pairwise(widths), start=2):
            self.add_module(f"conv{number}", nn.ConvTranspose2d(wide, narrow, 4, stride=2, padding=1, bias=False))
        _reset_parameters(self)

    def mapping(self, z: Tensor, labels: Tensor) -> Tensor:
        """Return z followed by the label as a one-hot vector, which the first layer turns into a learned offset."""
        if not self.labels:
            return z.clone()  # an exported graph cannot return its input
        return torch.cat([z, F.one_hot(labels, self.labels).to(z.dtype)], dim=1)

    def synthesis(self, w: Tensor, noise: Tensor | None = None) -> Tensor:
        x = w[:, :, None, None]
        *hidden, last = self.children()
        for layer in hidden:
            x = F.leaky_relu(layer(x), 0.2)
        return torch.tanh(last(x).float())


class DCGANDiscriminator(nn.Module):
    """Spectrogram → one logit per label, high for real sounds of that label.

    As in the original there is one downsample less than the generator has upsamples (five for 256×256), so the last
    kernel meets a map twice its size and gives (grid_rows + 1) × (grid_cols + 1) scores (25); the logit is their mean,
    as in the original's loss. With labels the mean feature is also projected on a learned vector of each label
    (Miyato and Koyama, "cGANs with Projection Discriminator", 2018).

    `ndf` is the number of channels after the first layer; each further layer has twice as many. For the others, and for
    the errors raised, see `DCGANGenerator`.
    """

    def __init__(self, ndf: int, nc: int, grid_rows: int, grid_cols: int, stages: int, labels: int = 0) -> None:
        super().__init__()
        _check_sizes(stages, ndf=ndf, nc=nc, grid_rows=grid_rows, grid_cols=grid_cols)
        widths = [nc] + [ndf * 2**upsamples for upsamples in range(stages - 1)]
        for number, (narrow, wide) in enumerate(pairwise(widths), start=1):
            self.add_module(f"conv{number}", nn.Conv2d(narrow, wide, 4, stride=2, padding=1, bias=False))
        self.add_module(f"conv{stages}", nn.Conv2d(widths[-1], 1, (grid_rows, grid_cols), bias=False))
        self.projection = nn.Embedding(labels, widths[-1]) if labels else None
        _reset_parameters(self)

    def forward(self, spectrograms: Tensor) -> Tensor:
        """Return logits. Shape: (n, nc, rows, columns) → (n, labels), or (n, 1) without labels."""
        x = spectrograms
        *hidden, last = (layer for layer in self.children() if isinstance(layer, nn.Conv2d))
        for layer in hidden:
            x = F.leaky_relu(layer(x), 0.2)
        logits = last(x).float().mean(dim=(2, 3))
        if self.projection is not None:
            with torch.autocast(x.device.type, enabled=False):
                logits = logits + x.float().mean(dim=(2, 3)) @ self.projection.weight.t()
        return logits


def _check_sizes(stages: int, **sizes: int) -> None:
    if stages < 2:
        raise SettingsError(
            f"network: dcgan needs spectrograms whose sides halve at least twice, these halve {max(stages, 0)} times: "
            'choose bands and frames that are multiples of 4, or network "residual"'
        )
    for name, size in sizes.items():
        if size < 1:
            raise SettingsError(f"{name}: {size} is not a size; it must be at least 1")


def _reset_parameters(network: nn.Module) -> None:
    for parameter in network.parameters():
        nn.init.normal_(parameter, 0.0, 0.02)
