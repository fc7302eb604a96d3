"""What a Generator is taught by recordings: from whom, and how much of what."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from fixture_types import TinySettings
from torch import Tensor

from soundgan.data.dataset import Dataset
from soundgan.spectral.pitch import MIN_PITCH
from soundgan.training.losses.auxiliary import AuxiliaryLosses
from soundgan.training.losses.diversity import CELL, LatentBank, cells
from soundgan.training.losses.pitch import pitch_weights
from soundgan.training.networks.base import Generator
from soundgan.training.runtime.distributed import SINGLE_PROCESS

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
def candidates(tiny_dataset: Dataset) -> LatentBank:
    bands, frames = tiny_dataset.representation.shape
    return LatentBank(len(tiny_dataset.label_names), NZ, bands // CELL * frames // CELL)


@pytest.fixture
def spectrograms(tiny_dataset: Dataset) -> Tensor:
    return torch.from_numpy(np.array(tiny_dataset.spectrograms))


@pytest.fixture
def labels(tiny_dataset: Dataset) -> Tensor:
    return torch.from_numpy(np.array(tiny_dataset.labels))


def guide(dataset: Dataset, settings: TinySettings, candidates: LatentBank, **strengths: float) -> AuxiliaryLosses:
    return AuxiliaryLosses(dataset, settings(**strengths), CPU, candidates, SINGLE_PROCESS)


def test_the_latent_that_came_nearest_to_a_recording_is_found(
    tiny_dataset: Dataset, tiny_settings: TinySettings, candidates: LatentBank, spectrograms: Tensor, labels: Tensor
) -> None:
    torch.manual_seed(0)
    auxiliary = guide(tiny_dataset, tiny_settings, candidates)
    index, fresh = torch.tensor([0, len(labels) - 1, 9]), torch.randn(3, NZ)
    # Something like every recording was painted once, each from a latent of its own.
    latents = torch.randn(len(labels), NZ)
    auxiliary.keep(latents, spectrograms + 0.01 * torch.randn(spectrograms.shape), labels)
    assert torch.equal(auxiliary.nearest(index, fresh), latents[index])


def test_where_nothing_is_kept_yet_latents_stay_as_drawn(
    tiny_dataset: Dataset, tiny_settings: TinySettings, candidates: LatentBank, spectrograms: Tensor, labels: Tensor
) -> None:
    auxiliary = guide(tiny_dataset, tiny_settings, candidates)
    latents, fresh = torch.randn(1, NZ), torch.randn(2, NZ)
    auxiliary.keep(latents, spectrograms[:1], labels[:1])
    index = torch.stack([torch.tensor(0), (labels != labels[0]).nonzero()[0, 0]])
    assert torch.equal(auxiliary.nearest(index, fresh), torch.cat([latents, fresh[1:]]))


def test_where_nothing_is_learnt_from_the_nearest_latents_stay_as_drawn(
    tiny_dataset: Dataset, tiny_settings: TinySettings, candidates: LatentBank, spectrograms: Tensor, labels: Tensor
) -> None:
    auxiliary = guide(tiny_dataset, tiny_settings, candidates, imle=0.0, texture=0.0, pitch=0.0)
    auxiliary.keep(torch.randn(len(labels), NZ), spectrograms, labels)
    fresh = torch.randn(2, NZ)
    assert torch.equal(auxiliary.nearest(torch.tensor([0, 9]), fresh), fresh)
    assert not candidates.there.any()


def test_a_perfect_pupil_has_nothing_to_learn_but_pitch(
    tiny_dataset: Dataset, tiny_settings: TinySettings, candidates: LatentBank, spectrograms: Tensor
) -> None:
    auxiliary = guide(tiny_dataset, tiny_settings, candidates)
    index = torch.tensor([3, 20])
    made = spectrograms[index].repeat_interleave(2, dim=0)
    frames = tiny_dataset.representation.frames
    taught = auxiliary.compare(Singer(OCTAVES, frames), made, torch.randn(4, NZ), index, torch.tensor(1.0))
    assert taught.imle_loss == taught.texture_loss == taught.variety == 0
    weights = pitch_weights(torch.from_numpy(np.array(tiny_dataset.pitch.periodicity)))[index]
    assert weights.sum() > 0
    off = (OCTAVES - torch.from_numpy(np.log2(tiny_dataset.pitch.hz / MIN_PITCH))[index]).abs()
    assert taught.pitch_loss.item() == pytest.approx((weights * off).mean().item(), rel=1e-5)
    mute = auxiliary.compare(Mute(), made, torch.randn(4, NZ), index, torch.tensor(1.0))
    assert mute.pitch_loss == mute.loss == 0


@pytest.mark.parametrize("part", ["imle", "texture", "pitch", "mode_seeking"])
def test_each_strength_is_that_of_its_part(
    part: str, tiny_dataset: Dataset, tiny_settings: TinySettings, candidates: LatentBank
) -> None:
    torch.manual_seed(0)
    none = {"imle": 0.0, "texture": 0.0, "pitch": 0.0, "mode_seeking": 0.0}
    auxiliary = guide(tiny_dataset, tiny_settings, candidates, **{**none, part: 1.5})
    index = torch.tensor([3, 20])
    rep = tiny_dataset.representation
    made = torch.randn(4, 1, *rep.shape).clamp(-1, 1)
    taught = auxiliary.compare(Singer(OCTAVES, rep.frames), made, torch.randn(4, NZ), index, torch.tensor(0.4))
    of_part = {
        "imle": taught.imle_loss,
        "texture": taught.texture_loss,
        "pitch": taught.pitch_loss,
        "mode_seeking": -taught.variety,
    }
    strength = 1.5 * (0.6 if part == "mode_seeking" else 1)
    assert taught.loss.item() == pytest.approx(strength * of_part[part].item(), rel=1e-5)
    assert taught.loss != 0


def test_enough_variety_is_not_raised_further(
    tiny_dataset: Dataset, tiny_settings: TinySettings, candidates: LatentBank
) -> None:
    auxiliary = guide(tiny_dataset, tiny_settings, candidates, imle=0.0, texture=0.0, pitch=0.0)
    made, index = torch.randn(4, 1, *tiny_dataset.representation.shape), torch.tensor([3, 20])
    taught = auxiliary.compare(Mute(), made, torch.randn(4, NZ), index, torch.tensor(1.3))
    assert taught.loss == 0


def test_all_channels_are_taught(
    tiny_dataset: Dataset, tiny_settings: TinySettings, spectrograms: Tensor, labels: Tensor
) -> None:
    bands, frames = tiny_dataset.representation.shape
    three = LatentBank(len(tiny_dataset.label_names), NZ, 3 * (bands // CELL) * (frames // CELL))
    auxiliary = guide(tiny_dataset, tiny_settings, three, nc=3)
    index = torch.tensor([3])
    made = spectrograms[index].expand(2, 3, -1, -1)
    auxiliary.keep(torch.randn(2, NZ), made, labels[index].repeat(2))
    assert auxiliary.nearest(index, torch.randn(1, NZ)).shape == (1, NZ)
    assert auxiliary.compare(Mute(), made, torch.randn(2, NZ), index, torch.tensor(1.0)).loss == 0
    wrong = torch.stack([made[:, 0], made[:, 1], -made[:, 2]], dim=1)
    taught = auxiliary.compare(Mute(), wrong, torch.randn(2, NZ), index, torch.tensor(1.0))
    assert taught.imle_loss > 0
    assert cells(wrong).shape[1] == three.spectrograms.shape[2]
