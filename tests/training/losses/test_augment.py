"""Augmentation: shifts, gains and masks within their limits, and the adaptation of their probability."""

from __future__ import annotations

from collections.abc import Iterable

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from soundgan.training.losses import augment as module
from soundgan.training.losses.augment import (
    ADA_RAMP_SAMPLES,
    MAX_P,
    NUM_RANDOM,
    TARGET_D_ACCURACY,
    augment,
    update_augment_p,
)
from soundgan.training.runtime.distributed import SINGLE_PROCESS, Distributed
from soundgan.training.runtime.rng import StepRNG

N, BANDS, FRAMES = 64, 64, 48
AMOUNTS = {"MAX_TIME_SHIFT", "MAX_FREQ_SHIFT", "MAX_GAIN", "MAX_MASK"}


def drawn(n: int = N, seed: int = 0, distributed: Distributed = SINGLE_PROCESS) -> Tensor:
    return StepRNG(seed, 0, torch.device("cpu"), distributed).uniform(n, NUM_RANDOM)


@pytest.fixture
def spectrograms() -> Tensor:
    """Random ones that are silent in a quarter of their cells."""
    drawn = 0.6 * torch.rand(N, 1, BANDS, FRAMES, generator=torch.Generator().manual_seed(1)) - 0.3
    return torch.where(torch.rand(drawn.shape, generator=torch.Generator().manual_seed(2)) < 0.25, -1.0, drawn)


@pytest.fixture
def only(monkeypatch: pytest.MonkeyPatch):
    """Leaves one change."""

    def leave(names: Iterable[str]) -> None:
        for name in AMOUNTS - set(names):
            monkeypatch.setattr(module, name, 0)

    return leave


def moved(spectrogram: Tensor, rows: int, columns: int) -> Tensor:
    """A spectrogram (nc, bands, frames) moved upwards and later, with silence where it came from."""
    there = torch.full_like(spectrogram, -1)
    bands, frames = spectrogram.shape[1:]
    there[:, max(rows, 0) : bands + min(rows, 0), max(columns, 0) : frames + min(columns, 0)] = spectrogram[
        :, max(-rows, 0) : bands - max(rows, 0), max(-columns, 0) : frames - max(columns, 0)
    ]
    return there


def test_augmentation_at_probability_zero_is_the_identity(spectrograms: Tensor) -> None:
    assert torch.equal(augment(spectrograms, 0.0, drawn()), spectrograms)


@pytest.mark.parametrize(("name", "axis"), [("MAX_TIME_SHIFT", 1), ("MAX_FREQ_SHIFT", 0)])
def test_shift_moves_all_values_and_fills_with_silence(name: str, axis: int, spectrograms: Tensor, only) -> None:
    only([name])
    most = round(getattr(module, name) * (BANDS, FRAMES)[axis])
    shifts = []
    for before, after in zip(spectrograms, augment(spectrograms, 1.0, drawn()), strict=True):
        matches = [s for s in range(-most, most + 1) if torch.equal(after, moved(before, *((s, 0), (0, s))[axis]))]
        assert len(matches) == 1
        shifts += matches
    assert set(shifts) == set(range(-most, most + 1))


def test_gain_is_constant_and_keeps_silence(spectrograms: Tensor, only) -> None:
    only(["MAX_GAIN"])
    changed = augment(spectrograms, 1.0, drawn())
    silent = spectrograms == -1
    assert (changed[silent] == -1).all()
    gains = [(after - before)[before > -1] for before, after in zip(spectrograms, changed, strict=True)]
    assert all(gain.std() < 1e-6 and gain.abs().max() <= module.MAX_GAIN for gain in gains)
    means = torch.stack([gain.mean() for gain in gains])
    assert means.min() < -0.5 * module.MAX_GAIN and means.max() > 0.5 * module.MAX_GAIN
    # What is near a bound stays within.
    loud = augment(torch.full_like(spectrograms, 0.99), 1.0, drawn())
    quiet = augment(torch.full_like(spectrograms, -0.99), 1.0, drawn())
    assert loud.max() == 1 and quiet.min() == -1


def test_mask_covers_adjacent_bands_or_frames(only) -> None:
    only(["MAX_MASK"])
    changed = augment(torch.zeros(N, 1, BANDS, FRAMES), 1.0, drawn())[:, 0]
    kinds = set()
    for spectrogram in changed:
        silent = spectrogram == -1
        assert ((spectrogram == 0) | silent).all()
        rows, columns = silent.all(dim=1).nonzero()[:, 0], silent.all(dim=0).nonzero()[:, 0]
        assert len(rows) == 0 or len(columns) == 0
        for kind, masked, count in (("bands", rows, BANDS), ("frames", columns, FRAMES)):
            if len(masked):
                kinds.add(kind)
                assert masked[-1] - masked[0] + 1 == len(masked) <= module.MAX_MASK * count + 1
                assert silent.sum() == len(masked) * (BANDS * FRAMES // count)
    assert kinds == {"bands", "frames"}


@pytest.mark.parametrize("probability", [0.1, 0.5])
def test_augmentation_frequency_matches_the_probability(probability: float, only) -> None:
    only(["MAX_GAIN"])
    changed = augment(torch.zeros(2000, 1, 2, 2), probability, drawn(2000))
    assert (changed[:, 0, 0, 0] != 0).float().mean() == pytest.approx(probability, abs=0.04)


def test_most_spectrograms_are_unchanged_at_low_probability(spectrograms: Tensor) -> None:
    changed = augment(spectrograms, 0.05, drawn())
    same = sum(torch.equal(before, after) for before, after in zip(spectrograms, changed, strict=True))
    assert 0.6 * N < same < N


def test_augmentation_is_differentiable() -> None:
    spectrograms = 0.4 * torch.rand(6, 1, 8, 8, dtype=torch.float64) - 0.2
    spectrograms.requires_grad_()
    assert torch.autograd.gradcheck(lambda x: augment(x, 1.0, drawn(6)), spectrograms)


def test_masked_and_shifted_out_values_have_no_gradient(only) -> None:
    only(["MAX_MASK", "MAX_TIME_SHIFT"])
    spectrograms = torch.zeros(N, 1, BANDS, FRAMES, requires_grad=True)
    changed = augment(spectrograms, 1.0, drawn())
    changed.sum().backward()
    assert spectrograms.grad is not None
    assert spectrograms.grad.sum() == (changed == 0).sum()  # every visible cell comes from one cell
    assert set(spectrograms.grad.unique().tolist()) == {0, 1}


def test_augmentation_is_the_same_for_all_channels(spectrograms: Tensor) -> None:
    changed = augment(spectrograms.expand(-1, 3, -1, -1), 0.8, drawn())
    assert changed.shape == (N, 3, BANDS, FRAMES) and changed.dtype == spectrograms.dtype
    assert torch.equal(changed, augment(spectrograms, 0.8, drawn()).expand(-1, 3, -1, -1))


def test_augmentation_is_a_function_of_its_random_numbers(spectrograms: Tensor) -> None:
    first = augment(spectrograms, 0.5, drawn())
    assert torch.equal(augment(spectrograms, 0.5, drawn()), first)
    assert not torch.equal(augment(spectrograms, 0.5, drawn(seed=1)), first)


def test_augmentation_of_shards_is_that_of_the_batch(spectrograms: Tensor) -> None:
    whole = augment(spectrograms, 0.5, drawn())
    worlds = [Distributed(k, 4) for k in range(4)]
    shares = [
        augment(distributed.shard(spectrograms), 0.5, drawn(N // 4, distributed=distributed)) for distributed in worlds
    ]
    assert torch.equal(torch.cat(shares), whole)


@given(probability=st.floats(0, MAX_P), right=st.floats(0, 1), sounds=st.integers(1, 4096))
def test_augment_p_follows_the_accuracy_of_the_discriminator(probability: float, right: float, sounds: int) -> None:
    after = update_augment_p(torch.tensor(probability), torch.tensor(right), sounds).item()
    assert 0 <= after <= MAX_P + 1e-6
    if right > TARGET_D_ACCURACY:
        assert after > probability or after == pytest.approx(MAX_P)
    else:
        assert after < probability or after == 0
    assert abs(after - probability) <= sounds / ADA_RAMP_SAMPLES + 1e-6


def test_augment_p_reaches_its_maximum_at_full_accuracy() -> None:
    probability = torch.tensor(0.0)
    for _ in range(ADA_RAMP_SAMPLES // 16):
        probability = update_augment_p(probability, torch.tensor(1.0), 16)
    assert probability.item() == pytest.approx(MAX_P)
