"""Losses beside the adversarial one: closed forms, gradients, and their targets among the recordings."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import pytest
import torch
from fixture_types import TinySettings
from hypothesis import given
from hypothesis import strategies as st
from spectrograms import flat_spectrograms, zeros
from torch import Tensor

from soundgan.data.dataset import Dataset
from soundgan.spectral.pitch import MIN_PITCH
from soundgan.training.losses.auxiliary import (
    VOICED_THRESHOLD,
    AuxiliaryLosses,
    diversity,
    mode_seeking_loss,
    pitch_loss,
    pitch_weights,
    texture,
    texture_loss,
    typical_difference,
)
from soundgan.training.losses.cells import RealDistances, cells, num_cells
from soundgan.training.losses.imle import LatentBank
from soundgan.training.losses.terms import detached, weighted_sum
from soundgan.training.networks.base import Generator

CPU = torch.device("cpu")
NZ = 8
OCTAVES = 1.5  # above the lowest pitch
LEVELS = st.floats(-1, 1)
UNIT = RealDistances(torch.ones(3), torch.zeros(3))


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
    return LatentBank(len(tiny_dataset.label_names), NZ, num_cells(bands, frames))


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
    z = w = torch.randn(len(fake), NZ)
    terms, batch_diversity = auxiliary.terms(generator, fake, z, w, indices, torch.tensor(ema))
    values = {name: value.item() for name, value in detached(terms).items()}
    return Compared(values, weighted_sum(terms), batch_diversity)


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
    # A spectrogram near every recording was generated once, each from a latent of its own.
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


class Measured(Mute):
    """A generator of one length and level, in the units of the mapped latent."""

    has_length_and_level = True

    def __init__(self, length: float, level: float) -> None:
        super().__init__()
        self.given = torch.tensor([length, level], requires_grad=True)
        self.length_and_level = lambda z, labels: self.given.expand(len(z), 2)  # type: ignore[assignment]


def test_length_and_level_are_compared_with_those_of_the_recordings(
    tiny_dataset: Dataset, tiny_settings: TinySettings, latent_bank: LatentBank, spectrograms: Tensor
) -> None:
    index = torch.tensor([3, 20])
    fake = spectrograms[index].repeat_interleave(2, dim=0)
    result = compare(auxiliary_losses(tiny_dataset, tiny_settings, latent_bank), Measured(0.75, -0.5), fake, index, 1.0)
    lengths = tiny_dataset.lengths[index.numpy()] / tiny_dataset.representation.duration
    assert result.terms["length_loss"] == pytest.approx(np.abs(lengths - 0.75).mean(), rel=1e-5)
    levels = tiny_dataset.levels[index.numpy()] / 20
    assert result.terms["level_loss"] == pytest.approx(np.abs(levels + 0.5).mean(), rel=1e-5)
    assert result.loss.item() == pytest.approx(result.terms["length_loss"] + result.terms["level_loss"], rel=1e-5)
    none = {"imle": 0.0, "texture": 0.0, "pitch": 0.0}  # without a bank, latents belong to no recordings
    unused = auxiliary_losses(tiny_dataset, tiny_settings, latent_bank, **none)
    assert compare(unused, Measured(0.75, -0.5), fake, index, 1.0).loss == 0


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
    three = LatentBank(len(tiny_dataset.label_names), NZ, 3 * num_cells(bands, frames))
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


@given(st.lists(st.tuples(LEVELS, LEVELS, st.integers(0, 2)), min_size=1, max_size=5))
def test_diversity_is_the_mean_pair_distance_over_that_of_real_pairs(pairs: list[tuple[float, float, int]]) -> None:
    generated = flat_spectrograms([value for one, other, _ in pairs for value in (one, other)])
    labels = torch.tensor([label for *_, label in pairs for _ in range(2)])
    usual = torch.tensor([0.1, 0.5, 2.0], dtype=torch.float64)
    expected = sum(abs(one - other) / usual[label].item() for one, other, label in pairs) / len(pairs)
    found = diversity(cells(generated[::2]), cells(generated[1::2]), labels[::2], RealDistances(usual, usual))
    assert found.item() == pytest.approx(expected, abs=1e-9)


def test_diversity_gradient_moves_pairs_apart() -> None:
    generated = flat_spectrograms([0.1, 0.3, 0.2, -0.2]).requires_grad_()
    diversity(cells(generated[::2]), cells(generated[1::2]), torch.tensor([0, 1]), UNIT).backward()
    assert generated.grad is not None
    assert generated.grad.mean((1, 2, 3)).sign().tolist() == [-1, 1, 1, -1]


def test_noise_texture_adds_little_diversity() -> None:
    torch.manual_seed(0)
    noise = torch.randn(40, 1, 32, 32)
    wide = torch.nn.functional.interpolate(torch.randn(40, 1, 8, 8), scale_factor=4)
    assert diversity(cells(noise[:20]), cells(noise[20:]), zeros(20), UNIT) < 0.3 * diversity(
        cells(wide[:20]), cells(wide[20:]), zeros(20), UNIT
    )


def test_mode_seeking_stops_at_the_diversity_of_real_sounds() -> None:
    generated = torch.tensor(0.5)
    assert mode_seeking_loss(generated, torch.tensor(0.4)).item() == pytest.approx(-0.6 * 0.5)
    assert mode_seeking_loss(generated, torch.tensor(1.3)) == 0


def over(spectrogram: Tensor) -> tuple[float, float]:
    """Mean texture over bands and over frames, without the cells at the end."""
    bands, frames = texture(spectrogram)[0, :, 0, :-1, :-1].mean((1, 2)).tolist()
    return bands, frames


def test_texture_separates_harmonics_onsets_and_noise() -> None:
    torch.manual_seed(0)
    harmonic_comb = torch.cos(torch.arange(32) * 2.0)[None, None, :, None].expand(1, 1, 32, 16)
    noise = torch.randn(1, 1, 32, 16)
    assert over(harmonic_comb)[0] > 0.5 and over(harmonic_comb)[1] == 0
    assert over(harmonic_comb.mT)[0] == 0 and over(harmonic_comb.mT)[1] > 0.5
    # Two standard normal numbers differ by 2 / √π in the mean.
    assert over(noise) == pytest.approx((1.128, 1.128), rel=0.15)
    assert over(torch.full((1, 1, 32, 16), 0.7)) == (0, 0)


@given(shift=st.floats(-1, 1), scale=st.floats(0.1, 2))
def test_texture_is_invariant_to_level_and_proportional_to_range(shift: float, scale: float) -> None:
    torch.manual_seed(0)
    spectrogram = torch.randn(2, 3, 16, 16)
    inner = texture(scale * spectrogram + shift)
    assert inner.shape == (2, 2, 3, 4, 4)
    torch.testing.assert_close(inner, scale * texture(spectrogram), atol=1e-5, rtol=1e-4)


def test_texture_loss_between_recordings_is_one() -> None:
    torch.manual_seed(0)
    recorded = texture(torch.rand(300, 1, 1, 1) * torch.randn(300, 1, 16, 16))
    typical = typical_difference(recorded)
    assert typical.shape == (2,)
    assert texture_loss(recorded[:150], recorded[150:], typical).item() == pytest.approx(1, rel=0.1)
    assert texture_loss(recorded[:150], recorded[:150], typical).item() == 0


def test_typical_difference_compares_different_recordings() -> None:
    two = texture(torch.stack([torch.zeros(1, 16, 16), torch.randn(1, 16, 16)]))
    torch.testing.assert_close(typical_difference(two), (two[0] - two[1]).abs().mean((1, 2, 3)))
    assert typical_difference(two[:1]).tolist() == [1, 1]


def test_texture_gradient_lowers_noise_against_a_smooth_target() -> None:
    torch.manual_seed(0)
    strength = torch.tensor(0.5, requires_grad=True)
    noise, smooth = torch.randn(4, 1, 16, 16), torch.zeros(4, 1, 16, 16)
    error = texture_loss(texture(strength * noise), texture(smooth), torch.ones(2))
    error.backward()
    assert strength.grad is not None and strength.grad > 0


def test_pitch_weights_count_voiced_frames_only() -> None:
    periodicity = torch.tensor([[0.0, VOICED_THRESHOLD, 0.8, 1.0]])
    weights = pitch_weights(periodicity)
    assert weights.mean().item() == pytest.approx(1)
    assert weights[0, :2].tolist() == [0, 0]
    assert weights[0, 3].item() == pytest.approx(2 * weights[0, 2].item())
    recorded = torch.tensor([[7.0, 7.0, 7.0, 7.0]])
    generated = recorded + torch.tensor([[3.0, 3.0, 0.3, -0.6]])
    assert pitch_loss(generated, recorded, weights).item() == pytest.approx((0.3 + 2 * 0.6) / 3)
    assert (pitch_weights(torch.zeros(2, 3)) == 0).all()


def test_pitch_weights_stay_small_where_pitch_is_rare() -> None:
    periodicity = torch.zeros(100, 16)
    periodicity[0] = 0.9
    assert pitch_weights(periodicity).max() < 10
    assert pitch_weights(periodicity).mean() < 0.1
