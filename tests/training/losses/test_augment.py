"""What the Discriminator sees: sounds that are moved, louder or partly blank, and still the same kind of sound."""

from __future__ import annotations

from collections.abc import Iterable

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from soundgan.training.losses import augment as room
from soundgan.training.losses.augment import ADA_RAMP_SAMPLES, DRAWN, MOST, TARGET_D_ACCURACY, augment, update_augment_p
from soundgan.training.runtime.distributed import SINGLE_PROCESS, Distributed
from soundgan.training.runtime.rng import StepRNG

N, BANDS, FRAMES = 64, 64, 48
AMOUNTS = {"MAX_TIME_SHIFT", "MAX_FREQ_SHIFT", "MAX_GAIN", "MAX_MASK"}


def drawn(n: int = N, seed: int = 0, distributed: Distributed = SINGLE_PROCESS) -> Tensor:
    return StepRNG(seed, 0, torch.device("cpu"), distributed).uniform(n, DRAWN)


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
            monkeypatch.setattr(room, name, 0)

    return leave


def moved(spectrogram: Tensor, rows: int, columns: int) -> Tensor:
    """A spectrogram (nc, bands, frames) moved upwards and later, with silence where it came from."""
    there = torch.full_like(spectrogram, -1)
    bands, frames = spectrogram.shape[1:]
    there[:, max(rows, 0) : bands + min(rows, 0), max(columns, 0) : frames + min(columns, 0)] = spectrogram[
        :, max(-rows, 0) : bands - max(rows, 0), max(-columns, 0) : frames - max(columns, 0)
    ]
    return there


def test_never_is_never(spectrograms: Tensor) -> None:
    assert torch.equal(augment(spectrograms, 0.0, drawn()), spectrograms)


@pytest.mark.parametrize(("name", "axis"), [("MAX_TIME_SHIFT", 1), ("MAX_FREQ_SHIFT", 0)])
def test_a_shift_moves_every_cell_and_uncovers_silence(name: str, axis: int, spectrograms: Tensor, only) -> None:
    only([name])
    most = round(getattr(room, name) * (BANDS, FRAMES)[axis])
    shifts = []
    for before, after in zip(spectrograms, augment(spectrograms, 1.0, drawn()), strict=True):
        found = [s for s in range(-most, most + 1) if torch.equal(after, moved(before, *((s, 0), (0, s))[axis]))]
        assert len(found) == 1
        shifts += found
    assert set(shifts) == set(range(-most, most + 1))


def test_a_gain_is_one_for_the_whole_sound_and_leaves_silence_silent(spectrograms: Tensor, only) -> None:
    only(["MAX_GAIN"])
    changed = augment(spectrograms, 1.0, drawn())
    silent = spectrograms == -1
    assert (changed[silent] == -1).all()
    gains = [(after - before)[before > -1] for before, after in zip(spectrograms, changed, strict=True)]
    assert all(gain.std() < 1e-6 and gain.abs().max() <= room.MAX_GAIN for gain in gains)
    means = torch.stack([gain.mean() for gain in gains])
    assert means.min() < -0.5 * room.MAX_GAIN and means.max() > 0.5 * room.MAX_GAIN
    # What is near a bound stays within.
    loud = augment(torch.full_like(spectrograms, 0.99), 1.0, drawn())
    quiet = augment(torch.full_like(spectrograms, -0.99), 1.0, drawn())
    assert loud.max() == 1 and quiet.min() == -1


def test_a_blank_is_one_stripe_of_bands_or_of_frames(only) -> None:
    only(["MAX_MASK"])
    changed = augment(torch.zeros(N, 1, BANDS, FRAMES), 1.0, drawn())[:, 0]
    kinds = set()
    for spectrogram in changed:
        blank = spectrogram == -1
        assert ((spectrogram == 0) | blank).all()
        rows, columns = blank.all(dim=1).nonzero()[:, 0], blank.all(dim=0).nonzero()[:, 0]
        assert len(rows) == 0 or len(columns) == 0
        for kind, stripe, count in (("bands", rows, BANDS), ("frames", columns, FRAMES)):
            if len(stripe):
                kinds.add(kind)
                assert stripe[-1] - stripe[0] + 1 == len(stripe) <= room.MAX_MASK * count + 1
                assert blank.sum() == len(stripe) * (BANDS * FRAMES // count)
    assert kinds == {"bands", "frames"}


@pytest.mark.parametrize("probability", [0.1, 0.5])
def test_changes_come_as_often_as_told_and_one_by_one(probability: float, only) -> None:
    only(["MAX_GAIN"])
    changed = augment(torch.zeros(2000, 1, 2, 2), probability, drawn(2000))
    assert (changed[:, 0, 0, 0] != 0).float().mean() == pytest.approx(probability, abs=0.04)


def test_most_stays_as_it_was_where_changes_are_rare(spectrograms: Tensor) -> None:
    changed = augment(spectrograms, 0.05, drawn())
    same = sum(torch.equal(before, after) for before, after in zip(spectrograms, changed, strict=True))
    assert 0.6 * N < same < N


def test_the_generator_learns_through_all_changes() -> None:
    spectrograms = 0.4 * torch.rand(6, 1, 8, 8, dtype=torch.float64) - 0.2
    spectrograms.requires_grad_()
    assert torch.autograd.gradcheck(lambda x: augment(x, 1.0, drawn(6)), spectrograms)


def test_what_is_blanked_or_moved_out_teaches_nothing(only) -> None:
    only(["MAX_MASK", "MAX_TIME_SHIFT"])
    spectrograms = torch.zeros(N, 1, BANDS, FRAMES, requires_grad=True)
    changed = augment(spectrograms, 1.0, drawn())
    changed.sum().backward()
    assert spectrograms.grad is not None
    assert spectrograms.grad.sum() == (changed == 0).sum()  # every visible cell comes from one cell
    assert set(spectrograms.grad.unique().tolist()) == {0, 1}


def test_channels_are_changed_together(spectrograms: Tensor) -> None:
    changed = augment(spectrograms.expand(-1, 3, -1, -1), 0.8, drawn())
    assert changed.shape == (N, 3, BANDS, FRAMES) and changed.dtype == spectrograms.dtype
    assert torch.equal(changed, augment(spectrograms, 0.8, drawn()).expand(-1, 3, -1, -1))


def test_every_chance_changes_otherwise_and_the_same_one_alike(spectrograms: Tensor) -> None:
    first = augment(spectrograms, 0.5, drawn())
    assert torch.equal(augment(spectrograms, 0.5, drawn()), first)
    assert not torch.equal(augment(spectrograms, 0.5, drawn(seed=1)), first)


def test_processes_change_their_shares_as_one_changes_all(spectrograms: Tensor) -> None:
    whole = augment(spectrograms, 0.5, drawn())
    worlds = [Distributed(k, 4) for k in range(4)]
    shares = [
        augment(distributed.shard(spectrograms), 0.5, drawn(N // 4, distributed=distributed)) for distributed in worlds
    ]
    assert torch.equal(torch.cat(shares), whole)


@given(probability=st.floats(0, MOST), right=st.floats(0, 1), sounds=st.integers(1, 4096))
def test_it_adapts_against_what_the_discriminator_knows(probability: float, right: float, sounds: int) -> None:
    after = update_augment_p(torch.tensor(probability), torch.tensor(right), sounds).item()
    assert 0 <= after <= MOST + 1e-6
    if right > TARGET_D_ACCURACY:
        assert after > probability or after == pytest.approx(MOST)
    else:
        assert after < probability or after == 0
    assert abs(after - probability) <= sounds / ADA_RAMP_SAMPLES + 1e-6


def test_a_sure_discriminator_sees_changes_as_often_as_can_be_in_the_end() -> None:
    probability = torch.tensor(0.0)
    for _ in range(ADA_RAMP_SAMPLES // 16):
        probability = update_augment_p(probability, torch.tensor(1.0), 16)
    assert probability.item() == pytest.approx(MOST)
