"""What a Generator is result by recordings: from whom, and how much of what."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import pytest
import torch
from fixture_types import TinySettings
from torch import Tensor

from soundgan.data.dataset import Dataset
from soundgan.spectral.pitch import MIN_PITCH
from soundgan.training.losses.auxiliary import AuxiliaryLosses
from soundgan.training.losses.cells import CELL, cells
from soundgan.training.losses.imle import LatentBank
from soundgan.training.losses.pitch import pitch_weights
from soundgan.training.losses.terms import PairedBatch, detached, weighted_sum
from soundgan.training.networks.base import Generator

CPU = torch.device("cpu")
NZ = 8
OCTAVES = 1.5  # above the lowest pitch


class Mute(Generator):
    """A generator without pitch."""

    def mapping(self, z: Tensor, labels: Tensor) -> Tensor:
        raise NotImplementedError

    def synthesis(self, w: Tensor, noise: Tensor | None = None) -> Tensor:
        raise NotImplementedError


class Singer(Mute):
    """A generator of one pitch, in octaves."""

    has_pitch = True

    def __init__(self, octaves: float, frames: int) -> None:
        super().__init__()
        self.octaves, self.frames = octaves, frames

    def pitch(self, w: Tensor) -> Tensor:
        return torch.full((len(w), self.frames), self.octaves)


@pytest.fixture
def latent_bank(tiny_dataset: Dataset) -> LatentBank:
    bands, frames = tiny_dataset.representation.shape
    return LatentBank(len(tiny_dataset.label_names), NZ, bands // CELL * frames // CELL)


@pytest.fixture
def spectrograms(tiny_dataset: Dataset) -> Tensor:
    return torch.from_numpy(np.array(tiny_dataset.spectrograms))


@pytest.fixture
def labels(tiny_dataset: Dataset) -> Tensor:
    return torch.from_numpy(np.array(tiny_dataset.labels))


class Compared(NamedTuple):
    terms: dict[str, float]
    loss: Tensor
    diversity: Tensor


def compare(auxiliary: AuxiliaryLosses, generator: Generator, fake: Tensor, indices: Tensor, ema: float) -> Compared:
    """The losses of pairs, from any mapped latents."""
    w = PairedBatch(torch.randn(len(fake), NZ))
    terms, diversity = auxiliary.terms(generator, PairedBatch(fake), w, indices, torch.tensor(ema))
    return Compared({name: value.item() for name, value in detached(terms).items()}, weighted_sum(terms), diversity)


def auxiliary_losses(
    dataset: Dataset, settings: TinySettings, latent_bank: LatentBank, **weights: float
) -> AuxiliaryLosses:
    return AuxiliaryLosses(dataset, settings(**weights).losses, CPU, latent_bank)


def test_nearest_latents_are_those_of_the_nearest_spectrograms(
    tiny_dataset: Dataset, tiny_settings: TinySettings, latent_bank: LatentBank, spectrograms: Tensor, labels: Tensor
) -> None:
    torch.manual_seed(0)
    auxiliary = auxiliary_losses(tiny_dataset, tiny_settings, latent_bank)
    index, drawn = torch.tensor([0, len(labels) - 1, 9]), torch.randn(3, NZ)
    # Something like every recording was painted once, each from a latent of its own.
    latents = torch.randn(len(labels), NZ)
    auxiliary.update_bank(latents, spectrograms + 0.01 * torch.randn(spectrograms.shape), labels)
    assert torch.equal(auxiliary.nearest_latents(index, drawn), latents[index])


def test_nearest_latents_of_an_empty_label_are_as_drawn(
    tiny_dataset: Dataset, tiny_settings: TinySettings, latent_bank: LatentBank, spectrograms: Tensor, labels: Tensor
) -> None:
    auxiliary = auxiliary_losses(tiny_dataset, tiny_settings, latent_bank)
    latents, drawn = torch.randn(1, NZ), torch.randn(2, NZ)
    auxiliary.update_bank(latents, spectrograms[:1], labels[:1])
    index = torch.stack([torch.tensor(0), (labels != labels[0]).nonzero()[0, 0]])
    assert torch.equal(auxiliary.nearest_latents(index, drawn), torch.cat([latents, drawn[1:]]))


def test_latent_bank_is_unused_without_weights(
    tiny_dataset: Dataset, tiny_settings: TinySettings, latent_bank: LatentBank, spectrograms: Tensor, labels: Tensor
) -> None:
    auxiliary = auxiliary_losses(tiny_dataset, tiny_settings, latent_bank, imle=0.0, texture=0.0, pitch=0.0)
    auxiliary.update_bank(torch.randn(len(labels), NZ), spectrograms, labels)
    drawn = torch.randn(2, NZ)
    assert torch.equal(auxiliary.nearest_latents(torch.tensor([0, 9]), drawn), drawn)
    assert not latent_bank.valid.any()


def test_reproduced_recordings_have_only_a_pitch_loss(
    tiny_dataset: Dataset, tiny_settings: TinySettings, latent_bank: LatentBank, spectrograms: Tensor
) -> None:
    auxiliary = auxiliary_losses(tiny_dataset, tiny_settings, latent_bank)
    index = torch.tensor([3, 20])
    fake = spectrograms[index].repeat_interleave(2, dim=0)
    frames = tiny_dataset.representation.frames
    result = compare(auxiliary, Singer(OCTAVES, frames), fake, index, 1.0)
    assert result.terms["imle_loss"] == result.terms["texture_loss"] == result.diversity == 0
    weights = pitch_weights(torch.from_numpy(np.array(tiny_dataset.pitch.periodicity)))[index]
    assert weights.sum() > 0
    off = (OCTAVES - torch.from_numpy(np.log2(tiny_dataset.pitch.hz / MIN_PITCH))[index]).abs()
    assert result.terms["pitch_loss"] == pytest.approx((weights * off).mean().item(), rel=1e-5)
    mute = compare(auxiliary, Mute(), fake, index, 1.0)
    assert mute.terms["pitch_loss"] == mute.loss == 0


@pytest.mark.parametrize("part", ["imle", "texture", "pitch", "mode_seeking"])
def test_each_weight_scales_its_term(
    part: str, tiny_dataset: Dataset, tiny_settings: TinySettings, latent_bank: LatentBank
) -> None:
    torch.manual_seed(0)
    none = {"imle": 0.0, "texture": 0.0, "pitch": 0.0, "mode_seeking": 0.0}
    auxiliary = auxiliary_losses(tiny_dataset, tiny_settings, latent_bank, **{**none, part: 1.5})
    index = torch.tensor([3, 20])
    rep = tiny_dataset.representation
    fake = torch.randn(4, 1, *rep.shape).clamp(-1, 1)
    result = compare(auxiliary, Singer(OCTAVES, rep.frames), fake, index, 0.4)
    assert result.terms["mode_seeking_loss"] == pytest.approx(-0.6 * result.diversity.item(), rel=1e-5)
    assert result.loss.item() == pytest.approx(1.5 * result.terms[f"{part}_loss"], rel=1e-5)
    assert result.loss != 0


def test_mode_seeking_loss_is_zero_above_real_diversity(
    tiny_dataset: Dataset, tiny_settings: TinySettings, latent_bank: LatentBank
) -> None:
    auxiliary = auxiliary_losses(tiny_dataset, tiny_settings, latent_bank, imle=0.0, texture=0.0, pitch=0.0)
    fake, index = torch.randn(4, 1, *tiny_dataset.representation.shape), torch.tensor([3, 20])
    result = compare(auxiliary, Mute(), fake, index, 1.3)
    assert result.loss == 0


def test_all_channels_are_result(
    tiny_dataset: Dataset, tiny_settings: TinySettings, spectrograms: Tensor, labels: Tensor
) -> None:
    bands, frames = tiny_dataset.representation.shape
    three = LatentBank(len(tiny_dataset.label_names), NZ, 3 * (bands // CELL) * (frames // CELL))
    auxiliary = auxiliary_losses(tiny_dataset, tiny_settings, three, nc=3)
    index = torch.tensor([3])
    fake = spectrograms[index].expand(2, 3, -1, -1)
    auxiliary.update_bank(torch.randn(2, NZ), fake, labels[index].repeat(2))
    assert auxiliary.nearest_latents(index, torch.randn(1, NZ)).shape == (1, NZ)
    assert compare(auxiliary, Mute(), fake, index, 1.0).loss == 0
    wrong = torch.stack([fake[:, 0], fake[:, 1], -fake[:, 2]], dim=1)
    result = compare(auxiliary, Mute(), wrong, index, 1.0)
    assert result.terms["imle_loss"] > 0
    assert cells(wrong).shape[1] == three.spectrograms.shape[2]
