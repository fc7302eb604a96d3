"""The networks that the settings name: the residual ones, or the classic DCGAN."""

from __future__ import annotations

from torch import nn

from soundgan.settings import ModelSettings
from soundgan.spectral.representation import Representation
from soundgan.training.networks.base import Generator
from soundgan.training.networks.dcgan import DCGANDiscriminator, DCGANGenerator
from soundgan.training.networks.residual import ResidualDiscriminator, ResidualGenerator


def build_generator(settings: ModelSettings, representation: Representation, labels: int) -> Generator:
    """Return an untrained generator of spectrograms of this representation; `labels` is 0 for unlabeled sounds."""
    if settings.network == "dcgan":
        return DCGANGenerator(settings.nz, settings.ngf, settings.nc, *_dcgan_grid(*representation.shape), labels)
    return ResidualGenerator(representation, settings.size, settings.nz, settings.nc, labels)


def build_discriminator(settings: ModelSettings, representation: Representation, labels: int) -> nn.Module:
    """Return an untrained discriminator of spectrograms of this representation, as `build_generator`."""
    if settings.network == "dcgan":
        return DCGANDiscriminator(settings.ndf, settings.nc, *_dcgan_grid(*representation.shape), labels)
    return ResidualDiscriminator(*representation.shape, settings.size, settings.nc, labels)


def _dcgan_grid(rows: int, columns: int) -> tuple[int, int, int]:
    """Return rows and columns of the coarsest grid, 2 × 2 or more, and the number of upsamples, at most 6."""
    stages = 0
    while stages < 6 and rows % 2 == 0 and columns % 2 == 0 and min(rows, columns) >= 4:
        rows, columns, stages = rows // 2, columns // 2, stages + 1
    return rows, columns, stages
