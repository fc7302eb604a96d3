"""The residual Generator and Discriminator, and the choice between them and the classic DCGAN.

A spectrogram of (bands, frames) starts as a grid of (bands / 16, frames / 16). Three stages of residual blocks double it
twice, and patches bring it to full size, so that all the work is done at a quarter of the resolution. On that lie grain
and harmonics, which are not painted but laid on. Every Generator has `mapping(z, labels) -> w`, and `paint(w) ->
spectrograms`, or `paint(w, grain)` if it is `grainy`, and `pitch(w)` if it is `harmonic`; every Discriminator is
called with spectrograms and answers, for each, one logit a label.
"""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from soundgan.settings import Settings
from soundgan.spectral.representation import Representation
from soundgan.training.networks.dcgan import DCGANDiscriminator, DCGANGenerator
from soundgan.training.networks.harmonics import Harmonics
from soundgan.training.networks.patches import PATCH, Patches
from soundgan.training.networks.upsample import BilinearUpsample

W_DIM = 128  # numbers in the mapped latent w
MAX_NOISE_GAIN = 1.5  # times the speckle of white noise
MAX_HARMONIC_GAIN = 0.8  # of half the range of levels: 28 dB of 70


class Generator(nn.Module):
    """Latent z, label and grain → spectrogram: a smooth picture, and where grain and harmonics lie on it how strongly.

    Args:
        representation: of the spectrogram, whose bands and frames are multiples of 16.
        size: channels of the finest stage; the coarser ones have two and three times as many.
        nz: numbers in z.   nc: channels of a spectrogram.   labels: number of labels, 0 for none.
    """

    uses_noise = True
    has_pitch = True
    strongest: Tensor

    def __init__(self, representation: Representation, size: int, nz: int, nc: int, labels: int) -> None:
        super().__init__()
        rows, columns = representation.shape
        widths = (3 * size, 2 * size, size)
        self.grid = (widths[0], rows // 16, columns // 16)
        self.embedding = nn.Embedding(max(labels, 1), nz)
        self.to_style = nn.Sequential(nn.Linear(2 * nz, W_DIM), nn.LeakyReLU(0.2), nn.Linear(W_DIM, W_DIM))
        self.dense = nn.Linear(W_DIM, self.grid[0] * self.grid[1] * self.grid[2])
        self.stages = nn.ModuleList(StyledBlock(width) for width in widths)
        self.channel_convs = nn.ModuleList(nn.Conv2d(wide, narrow, 1) for wide, narrow in pairwise(widths))
        self.upsamples = nn.ModuleList(BilinearUpsample(rows // side, columns // side, factor=2) for side in (16, 8))
        self.to_full_size = BilinearUpsample(rows // PATCH, columns // PATCH, factor=PATCH)
        self.to_patches = Patches(size, nc)
        self.to_strengths = nn.Conv2d(size, 2 * nc, 1)  # of grain in each channel, then of harmonics
        strongest = torch.tensor([MAX_NOISE_GAIN, MAX_HARMONIC_GAIN]).repeat_interleave(nc)
        self.register_buffer("strongest", strongest[:, None, None], persistent=False)
        self.harmonics = Harmonics(representation, W_DIM)
        _reset_parameters(self)
        with torch.no_grad():
            self.to_patches.reset_parameters()
            self.to_strengths.weight *= 0.2
            self.to_strengths.bias.copy_(torch.tensor([-2.0, -1.0]).repeat_interleave(nc))  # type: ignore[union-attr]
            self.harmonics.reset_parameters()

    def mapping(self, z: Tensor, labels: Tensor) -> Tensor:
        """z (n, nz), labels (n,) → mapped latent w (n, 128)."""
        z = torch.cat([_unit_variance(z), _unit_variance(self.embedding(labels))], dim=1)
        with torch.autocast(z.device.type, enabled=False):  # a pitch hears the difference
            return F.leaky_relu(self.to_style(z), 0.2)

    def pitch(self, w: Tensor) -> Tensor:
        """w (n, 128) → pitch of every frame, in octaves above the lowest: (n, frames)."""
        return self.harmonics.pitch(w)

    def synthesis(self, w: Tensor, noise: Tensor) -> Tensor:
        """w (n, 128) and grain (n, 1, rows, columns), see `soundgan.spectral.noise_texture` → spectrograms (n, nc, rows, columns).

        The output is clamped to [-1, 1], not squashed: quiet parts of real spectrograms lie exactly on the floor of -1,
        and a smooth output that never reaches it shows its patches there.
        """
        x = self.dense(w).view(-1, *self.grid)
        for index, stage in enumerate(self.stages):
            if index:
                x = self.upsamples[index - 1](
                    self.channel_convs[index - 1](x)
                )  # the same as the other way round, and less
            x = stage(x, w)
        x = F.leaky_relu(x, 0.2)
        noise_gain, harmonic_gain = self._strengths(x).chunk(2, dim=1)
        # Recordings teach the pitch: what would make one spectrogram pass for real moves every stripe elsewhere.
        harmonic_comb = self.harmonics.harmonic_comb(self.pitch(w).detach())
        return clamp_with_inward_gradient(self.to_patches(x) + noise_gain * noise + harmonic_gain * harmonic_comb)

    def forward(self, z: Tensor, labels: Tensor, noise: Tensor) -> Tensor:
        return self.synthesis(self.mapping(z, labels), noise)

    def _strengths(self, x: Tensor) -> Tensor:
        """How strong grain is in each channel, then harmonics: (n, size, rows / 4, …) → (n, 2 · nc, rows, …)."""
        strengths = self.to_strengths(x).float()
        with torch.autocast(x.device.type, enabled=False):
            return self.to_full_size((self.strongest * torch.sigmoid(strengths)).contiguous())


class Discriminator(nn.Module):
    """Spectrogram → a logit for every label, high for a real sound of it; the Generator's mirror.

    The logits differ by a projection on a vector of each label (Miyato and Koyama 2018).
    """

    def __init__(self, rows: int, columns: int, size: int, nc: int, labels: int) -> None:
        super().__init__()
        widths = (size, 2 * size, 3 * size)
        self.from_patch = nn.Conv2d(nc * PATCH**2, size, 3, padding=1)
        self.stages = nn.ModuleList(Block(width) for width in widths)
        self.channel_convs = nn.ModuleList(nn.Conv2d(narrow, wide, 1) for narrow, wide in pairwise(widths))
        self.dense = nn.Linear(widths[-1] * (rows // 16) * (columns // 16), W_DIM)
        self.fc_out = nn.Linear(W_DIM, 1)
        self.projection = nn.Embedding(labels, W_DIM) if labels else None
        _reset_parameters(self)

    def forward(self, spectrograms: Tensor) -> Tensor:
        """spectrograms (n, nc, rows, columns) → logits (n, labels), or (n, 1) without labels."""
        n, nc, rows, columns = spectrograms.shape
        # What F.pixel_unshuffle does, channels last.
        squares = spectrograms.reshape(n, nc, rows // PATCH, PATCH, columns // PATCH, PATCH).permute(0, 2, 4, 1, 3, 5)
        x = self.from_patch(squares.flatten(3).permute(0, 3, 1, 2))
        for index, stage in enumerate(self.stages):
            if index:
                x = self.channel_convs[index - 1](F.avg_pool2d(x, 2))
            x = stage(x)
        features = F.leaky_relu(self.dense(F.leaky_relu(x, 0.2).flatten(1)), 0.2)
        # The last sums are float32: the gradient penalty is a small difference of two logits.
        with torch.autocast(features.device.type, enabled=False):
            features = features.float()
            logits = self.fc_out(features)
            if self.projection is not None:
                logits = logits + features @ self.projection.weight.t() / W_DIM**0.5
        return logits


class Block(nn.Module):
    """Two 3×3 convolutions around a residual path that starts at a tenth of its strength."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.first = nn.Conv2d(width, width, 3, padding=1)
        self.second = nn.Conv2d(width, width, 3, padding=1)
        self.gain = nn.Parameter(torch.tensor(0.1))

    def forward(self, x: Tensor) -> Tensor:
        return x + self._gained(self.first(F.leaky_relu(x, 0.2)))

    def _gained(self, y: Tensor) -> Tensor:
        """The second convolution, whose weights take the gain: they are fewer than what comes out."""
        y = F.leaky_relu(y, 0.2)
        if torch.onnx.is_in_onnx_export():  # which stores weights as they are
            return self.gain * self.second(y)
        weight, bias = self.gain * self.second.weight, self.gain * self.second.bias  # type: ignore[operator]
        return F.conv2d(y, weight, bias, padding=1)


class StyledBlock(Block):
    """A `Block` whose channels are scaled by the mapped latent between the convolutions."""

    def __init__(self, width: int) -> None:
        super().__init__(width)
        self.style = nn.Linear(W_DIM, width)

    def forward(self, x: Tensor, w: Tensor) -> Tensor:  # type: ignore[override]
        scale = 1 + self.style(w)[:, :, None, None]
        return x + self._gained(self.first(F.leaky_relu(x, 0.2) * scale))


def build_generator(settings: Settings, representation: Representation, labels: int) -> Generator | DCGANGenerator:
    """The Generator that `settings.model.network` names, for spectrograms of this representation."""
    if settings.model.network == "dcgan":
        grid_rows, grid_columns, stages = _dcgan_grid(*representation.shape)
        return DCGANGenerator(
            settings.model.nz, settings.model.ngf, settings.model.nc, grid_rows, grid_columns, stages, labels
        )
    return Generator(representation, settings.model.size, settings.model.nz, settings.model.nc, labels)


def build_discriminator(
    settings: Settings, representation: Representation, labels: int
) -> Discriminator | DCGANDiscriminator:
    """The Discriminator that `settings.model.network` names, for spectrograms of this representation."""
    rows, columns = representation.shape
    if settings.model.network == "dcgan":
        grid_rows, grid_columns, stages = _dcgan_grid(rows, columns)
        return DCGANDiscriminator(settings.model.ndf, settings.model.nc, grid_rows, grid_columns, stages, labels)
    return Discriminator(rows, columns, settings.model.size, settings.model.nc, labels)


def _dcgan_grid(rows: int, columns: int) -> tuple[int, int, int]:
    """Grid and number of doublings: as many as leave at least 2 × 2, six at most as in the classic network."""
    stages = 0
    while stages < 6 and rows % 2 == 0 and columns % 2 == 0 and min(rows, columns) >= 4:
        rows, columns, stages = rows // 2, columns // 2, stages + 1
    return rows, columns, stages


class _Bounded(torch.autograd.Function):
    """Clamp to [-1, 1] that still lets through what would bring a value back: a plain clamp never wakes silence."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        ctx.save_for_backward(x)
        return x.clamp(-1, 1)

    @staticmethod
    def backward(ctx: Any, *grad_outputs: Tensor) -> Tensor:
        (x,), (gradient,) = ctx.saved_tensors, grad_outputs
        outwards = ((x < -1) & (gradient > 0)) | ((x > 1) & (gradient < 0))
        return gradient.masked_fill(outwards, 0)


def clamp_with_inward_gradient(x: Tensor) -> Tensor:
    """Clamp to [-1, 1]; a gradient that would bring a value back passes."""
    return _Bounded.apply(x) if x.requires_grad else x.clamp(-1, 1)  # type: ignore[no-any-return]


def _reset_parameters(network: nn.Module) -> None:
    """He et al. 2015: keep the variance from layer to layer, so that the latent is heard from the first step on."""
    for name, module in network.named_modules():
        if isinstance(module, nn.Conv2d | nn.Linear) and not name.endswith("style"):
            nn.init.kaiming_normal_(module.weight, a=0.2)
            if module.bias is not None:
                nn.init.zeros_(module.bias)


def _unit_variance(x: Tensor) -> Tensor:
    return x * torch.rsqrt(x.square().mean(dim=1, keepdim=True) + 1e-8)
