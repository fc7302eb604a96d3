"""Length and level: their distributions, their directions, and the ends of spectrograms."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from soundgan.data.dataset import Dataset
from soundgan.spectral.presets import preset
from soundgan.training.networks.length_and_level import LEVEL_UNIT, LengthAndLevelHead, lengths_and_levels
from soundgan.training.networks.residual import ResidualGenerator

NZ, DRAWS = 8, 4000
REPRESENTATION = preset(16000, 0.5)  # with a lead-in


def uneven(dataset: Dataset) -> Dataset:
    """The dataset with skewed and bimodal lengths and levels, of another scale for each label."""
    rng = np.random.default_rng(0)
    lengths = dataset.representation.duration * rng.beta(0.5, 1, len(dataset)) / (1 + dataset.labels)
    levels = np.where(rng.random(len(dataset)) < 0.5, 0, -30 - 5 * rng.random(len(dataset)))
    return replace(dataset, lengths=lengths.astype(np.float32), levels=levels.astype(np.float32))


def fitted(dataset: Dataset) -> LengthAndLevelHead:
    torch.manual_seed(0)
    head = LengthAndLevelHead(dataset.representation, NZ, len(dataset.label_names))
    head.fit(dataset)
    return head


def latents(count: int = DRAWS) -> Tensor:
    return torch.randn(count, NZ, generator=torch.Generator().manual_seed(1))


@torch.no_grad()
def test_lengths_and_levels_have_the_distribution_of_their_label(tiny_dataset: Dataset) -> None:
    data = uneven(tiny_dataset)
    head, ranks = fitted(data), np.linspace(0.05, 0.95, 7)
    for label in range(len(data.label_names)):
        generated = head(latents(), torch.full((DRAWS,), label)).numpy()
        real = lengths_and_levels(data)[data.labels == label]
        # Of ranks, not of values: in a gap of the recordings, the value of a rank depends on the draws.
        for values, others in zip(generated.T, real.T, strict=True):
            quantiles = np.quantile(others, ranks)
            shares = [(np.mean(values < q - 1e-4), np.mean(values <= q + 1e-4)) for q in quantiles]
            assert all(low - 0.03 <= rank <= high + 0.03 for rank, (low, high) in zip(ranks, shares, strict=True))


def test_training_of_directions_keeps_the_distribution_and_orders_sounds(tiny_dataset: Dataset) -> None:
    data = uneven(tiny_dataset)
    head, z, labels = fitted(data), latents(500), torch.zeros(500, dtype=torch.int64)
    before = head(z, labels).detach()
    # Pairs in which the first number of a latent goes with the length, and the second with the level.
    target = torch.stack([before[z[:, index].argsort().argsort(), index].sort().values for index in (0, 1)], 1)
    target = torch.stack([target[:, index][z[:, index].argsort().argsort()] for index in (0, 1)], 1)
    optimizer = torch.optim.Adam(head.parameters(), 0.01)
    for _ in range(300):
        optimizer.zero_grad()
        (head(z, labels) - target).abs().mean().backward()
        optimizer.step()
    after = head(z, labels).detach()
    for index in (0, 1):
        assert torch.corrcoef(torch.stack([after[:, index], target[:, index]]))[0, 1] > 0.95
        torch.testing.assert_close(after[:, index].quantile(0.8), before[:, index].quantile(0.8), rtol=0.15, atol=0.02)


def test_generated_spectrograms_train_no_direction() -> None:
    torch.manual_seed(0)
    generator = ResidualGenerator(REPRESENTATION, size=8, nz=NZ, nc=1, labels=2)
    noise = torch.randn(2, 1, *REPRESENTATION.shape)
    generator(torch.randn(2, NZ), torch.arange(2), noise).sum().backward()
    assert generator.length_and_level.directions.grad is None


def mapped(length: float, level: float) -> Tensor:
    """A mapped latent of these values, s and dBFS."""
    return torch.tensor([[0.0, length / REPRESENTATION.duration, level / LEVEL_UNIT]])


def test_values_are_in_seconds_and_dbfs() -> None:
    head = LengthAndLevelHead(REPRESENTATION, NZ, 0)
    length, level = head.values(mapped(0.3, -12.0))
    assert (length.item(), level.item()) == (pytest.approx(0.3), pytest.approx(-12))
    # Truncation above 1 extrapolates.
    assert head.values(mapped(-0.1, 0.0)).length.item() == pytest.approx(0.02)
    assert head.values(mapped(9.0, 0.0)).length.item() == pytest.approx(REPRESENTATION.duration)


@given(length=st.floats(0.02, 0.5))
def test_spectrogram_ends_behind_the_last_window_that_reaches_into_the_sound(length: float) -> None:
    head = LengthAndLevelHead(REPRESENTATION, NZ, 0)
    spectrogram = torch.rand(1, 2, *REPRESENTATION.shape)
    ended = head.end(spectrogram, mapped(length, 0.0))
    rep = REPRESENTATION
    centers = (np.arange(rep.frames) - rep.lead_in + 0.5) * rep.hop_length / rep.sample_rate
    reaching = torch.from_numpy(centers - rep.n_fft / 2 / rep.sample_rate < length - 1e-6)
    torch.testing.assert_close(ended[..., reaching], spectrogram[..., reaching], atol=1e-4, rtol=0)
    behind = ended[..., ~reaching][..., 1:]
    torch.testing.assert_close(behind, torch.full_like(behind, -1), atol=1e-4, rtol=0)


def test_ends_leave_recordings_unchanged(tiny_dataset: Dataset) -> None:
    spectrograms = torch.from_numpy(np.array(tiny_dataset.spectrograms))
    head = LengthAndLevelHead(tiny_dataset.representation, NZ, 0)
    assert torch.equal(head.end(spectrograms, torch.from_numpy(lengths_and_levels(tiny_dataset))), spectrograms)


def test_untrained_sounds_are_as_long_as_the_representation() -> None:
    head = LengthAndLevelHead(REPRESENTATION, NZ, 3)
    values = head(latents(4), torch.arange(4) % 3)
    torch.testing.assert_close(values, torch.tensor([[1.0, 0.0]]).expand(4, 2))
    spectrogram = torch.rand(1, 1, *REPRESENTATION.shape)
    assert torch.equal(head.end(spectrogram, values[:1]), spectrogram)
