"""The residual generator and discriminator.

A spectrogram starts as a coarse grid of about 8 × 5. Three stages of residual blocks upsample it twice, and patches
bring it to full size, so that all the work is done at a quarter of the resolution, or less. Profiles over bands and
over frames, noise texture and harmonics are added to it, with gains that the network predicts.
"""

from __future__ import annotations

from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from soundgan.spectral.representation import Representation
from soundgan.training.networks.base import Generator
from soundgan.training.networks.blocks import (
    W_DIM,
    BilinearUpsample,
    Block,
    StyledBlock,
    clamp_with_inward_gradient,
    reset_parameters,
    unit_variance,
)
from soundgan.training.networks.harmonics import Harmonics
from soundgan.training.networks.length_and_level import VALUES, LengthAndLevelHead
from soundgan.training.networks.patches import Patches, patch_stride
from soundgan.training.networks.profiles import Profile, ProfileFeatures

MAX_NOISE_GAIN = 1.5  # times the log-spectral deviation of white noise
MAX_HARMONIC_GAIN = 0.8  # of half the range of levels: 28 dB of 70
# Of noise, harmonics, and each of the two profiles. Bins fluctuate like white noise unless a sound is a clean tone, and
# a gain of nearly 1 from the start is learned far sooner than one from 0.
INITIAL_GAIN_BIASES = (0.7, -3.0, -1.0, -1.0)


class ResidualGenerator(Generator):
    """A smooth spectrogram from patches, plus noise texture and a harmonic comb with gains of their own.

    Args:
        representation: of the spectrogram, whose bands and frames are multiples of 16.
        size: channels of the finest stage; the coarser ones have two and three times as many.
        nz, nc: dimensions of z, and channels of a spectrogram.
        labels: number of labels, 0 for none.
    """

    uses_noise = True
    has_pitch = True
    has_length_and_level = True
    max_gains: Tensor

    def __init__(self, representation: Representation, size: int, nz: int, nc: int, labels: int) -> None:
        super().__init__()
        rows, columns = representation.shape
        widths = (3 * size, 2 * size, size)
        stride = patch_stride(rows, columns)
        positions = rows // stride[0], columns // stride[1]
        self.grid = (widths[0], positions[0] // 4, positions[1] // 4)
        self.embedding = nn.Embedding(max(labels, 1), nz)
        self.to_style = nn.Sequential(nn.Linear(2 * nz, W_DIM), nn.LeakyReLU(0.2), nn.Linear(W_DIM, W_DIM - VALUES))
        self.length_and_level = LengthAndLevelHead(representation, nz, labels)
        self.dense = nn.Linear(W_DIM, self.grid[0] * self.grid[1] * self.grid[2])
        self.stages = nn.ModuleList(StyledBlock(width) for width in widths)
        self.channel_convs = nn.ModuleList(nn.Conv2d(wide, narrow, 1) for wide, narrow in pairwise(widths))
        self.upsamples = nn.ModuleList(
            BilinearUpsample(*(side // part for side in positions), factors=(2, 2)) for part in (4, 2)
        )
        self.to_full_size = BilinearUpsample(*positions, factors=stride)
        self.to_patches = Patches(size, nc, stride)
        self.to_gains = nn.Conv2d(size, len(INITIAL_GAIN_BIASES) * nc, 1)  # of noise in each channel, of harmonics, …
        max_gains = torch.tensor([MAX_NOISE_GAIN, MAX_HARMONIC_GAIN, 1.0, 1.0]).repeat_interleave(nc)
        self.register_buffer("max_gains", max_gains[:, None, None], persistent=False)
        self.harmonics = Harmonics(representation, W_DIM)
        self.over_bands, self.over_frames = Profile(rows), Profile(columns)
        reset_parameters(self)
        with torch.no_grad():
            self.to_patches.reset_parameters()
            self.to_gains.weight *= 0.2
            self.to_gains.bias.copy_(torch.tensor(INITIAL_GAIN_BIASES).repeat_interleave(nc))  # type: ignore[union-attr]
            self.harmonics.reset_parameters()

    def mapping(self, z: Tensor, labels: Tensor) -> Tensor:
        inputs = torch.cat([unit_variance(z), unit_variance(self.embedding(labels))], dim=1)
        with torch.autocast(z.device.type, enabled=False):  # bfloat16 would detune the pitch
            style = F.leaky_relu(self.to_style(inputs), 0.2)
        # The loss of pairs alone trains the directions of length and level.
        return torch.cat([style, self.length_and_level(z, labels).detach()], dim=1)

    def pitch(self, w: Tensor) -> Tensor:
        return self.harmonics.pitch(w)

    def synthesis(self, w: Tensor, noise: Tensor | None = None) -> Tensor:
        """Return spectrograms, see `Generator.synthesis`.

        The output is clamped to [-1, 1], without a squashing function: quiet parts of real spectrograms lie exactly on
        the floor of -1, and a smooth output that never reaches it shows its patches there.
        """
        assert noise is not None, "this generator uses noise"
        x = self.dense(w).view(-1, *self.grid)
        for index, stage in enumerate(self.stages):
            if index:  # 1×1 convolution and upsample commute; this order computes less
                x = self.upsamples[index - 1](self.channel_convs[index - 1](x))
            x = stage(x, w)
        x = F.leaky_relu(x, 0.2)
        gains = self._gains(x).chunk(len(INITIAL_GAIN_BIASES), dim=1)
        # The pitch loss alone trains the pitch: the adversarial gradient would move all harmonics for one spectrogram.
        harmonic_comb = self.harmonics.harmonic_comb(self.pitch(w).detach())
        added = noise, harmonic_comb, self.over_bands(w)[:, None, :, None], self.over_frames(w)[:, None, None, :]
        spectrograms = self.to_patches(x)
        for gain, part in zip(gains, added, strict=True):
            spectrograms = spectrograms + gain * part
        return self.length_and_level.end(clamp_with_inward_gradient(spectrograms), w)

    def _gains(self, x: Tensor) -> Tensor:
        """Return the gains of what is added to the patches. Shape: (n, size, …) of positions → (n, 4 · nc, rows, …)."""
        gains = self.to_gains(x).float()
        with torch.autocast(x.device.type, enabled=False):
            return self.to_full_size((self.max_gains * torch.sigmoid(gains)).contiguous())


class ResidualDiscriminator(nn.Module):
    """Spectrogram → one logit per label, high for real sounds of that label; mirrors the generator.

    The logits differ by a projection on a vector of each label (Miyato and Koyama 2018).
    """

    def __init__(self, rows: int, columns: int, size: int, nc: int, labels: int) -> None:
        super().__init__()
        widths = (size, 2 * size, 3 * size)
        self.stride = patch_stride(rows, columns)
        height, width = self.stride
        # Adam moves all weights alike, and quiet patches are -1 throughout: the more weights add up, the smaller inputs
        # have to be, or the logits diverge (as in muP, Yang et al. 2022). Weights are larger at first in return.
        self.patch_scale = 16 / (height * width)
        self.from_patch = nn.Conv2d(nc * height * width, size, 3, padding=1)
        self.stages = nn.ModuleList(Block(width) for width in widths)
        self.channel_convs = nn.ModuleList(nn.Conv2d(narrow, wide, 1) for narrow, wide in pairwise(widths))
        self.dense = nn.Linear(widths[-1] * (rows // (4 * height)) * (columns // (4 * width)), W_DIM)
        self.profile_features = nn.ModuleList(ProfileFeatures(rows, columns, nc, axis) for axis in ("bands", "frames"))
        self.fc_out = nn.Linear(W_DIM, 1)
        self.projection = nn.Embedding(labels, W_DIM) if labels else None
        reset_parameters(self)
        with torch.no_grad():
            self.from_patch.weight /= self.patch_scale

    def forward(self, spectrograms: Tensor) -> Tensor:
        """Return logits. Shape: (n, nc, rows, columns) → (n, labels), or (n, 1) without labels."""
        n, nc, rows, columns = spectrograms.shape
        height, width = self.stride
        # F.pixel_unshuffle, but channels last, and of rectangles.
        blocks = spectrograms.reshape(n, nc, rows // height, height, columns // width, width).permute(0, 2, 4, 1, 3, 5)
        x = self.from_patch(self.patch_scale * blocks.flatten(3).permute(0, 3, 1, 2))
        for index, stage in enumerate(self.stages):
            if index:
                x = self.channel_convs[index - 1](F.avg_pool2d(x, 2))
            x = stage(x)
        features = [F.leaky_relu(self.dense(F.leaky_relu(x, 0.2).flatten(1)), 0.2)]
        features += [profile_features(spectrograms) for profile_features in self.profile_features]
        # The last sums are float32: the gradient penalty is a small difference of two logits.
        with torch.autocast(spectrograms.device.type, enabled=False):
            added = torch.stack([part.float() for part in features]).sum(0)
            logits = self.fc_out(added)
            if self.projection is not None:
                logits = logits + added @ self.projection.weight.t() / W_DIM**0.5
        return logits
