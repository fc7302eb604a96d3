"""Grain is the speckle of white noise: what it does from cell to cell, whatever its level."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray
from waves import noise

from soundgan.spectral.noise_texture import MIN_FRAMES, NoiseTexture
from soundgan.spectral.presets import PRESETS, preset
from soundgan.spectral.representation import Representation, levels_db

LINEAR = preset(8000, 1.0)  # a band for every bin
NEPER = 10 / np.log(10)  # dB of a power e times as high


def tape_db(noise: NoiseTexture, rep: Representation) -> NDArray[np.float64]:
    return noise.levels.astype(np.float64) * (rep.ceiling_db - rep.floor_db) / 2


@pytest.mark.parametrize("rate", PRESETS)
def test_every_band_is_0_on_average_so_that_grain_changes_no_level(rate: int) -> None:
    tape = NoiseTexture(preset(rate, 1.0)).levels
    assert tape.dtype == np.float32 and np.isfinite(tape).all()
    assert np.abs(tape.mean(axis=1, dtype=np.float64)).max() < 1e-6
    assert tape.std() > 0.02


def test_levels_of_bins_are_those_of_exponential_power() -> None:
    """The power of white noise in a bin is exponential: its logarithm has deviation π / √6 and a heavy lower end."""
    levels = tape_db(NoiseTexture(LINEAR), LINEAR)
    inner = levels[2:-2]
    assert inner.std() == pytest.approx(NEPER * np.pi / 6**0.5, rel=0.01)
    for share in (0.01, 0.1, 0.5, 0.9, 0.99):
        expected = NEPER * (np.log(-np.log(1 - share)) + np.euler_gamma)
        assert np.quantile(inner, share) == pytest.approx(expected, abs=0.15)


def test_at_half_the_sample_rate_there_is_only_one_phase() -> None:
    """The last bin is real: its power has one degree of freedom, and √3 times the deviation."""
    levels = tape_db(NoiseTexture(LINEAR), LINEAR)
    assert levels[-1].std() == pytest.approx(NEPER * np.pi / 2**0.5, rel=0.05)


@pytest.mark.parametrize("rate", PRESETS)
def test_neighbouring_cells_are_as_alike_as_in_other_noise(rate: int) -> None:
    rep = preset(rate, 1.0)
    other = rep.with_changes(frames=MIN_FRAMES)
    heard = levels_db(noise(other.samples, rate, seed=5, level=0.01), other)[0].astype(np.float64)
    heard -= heard.mean(axis=1, keepdims=True)
    tape = tape_db(NoiseTexture(rep), rep)

    def likeness(levels: NDArray[np.float64]) -> list[float]:
        shifts = [(1, 0), (2, 0), (0, 1), (0, 2), (1, 1)]
        return [
            float((levels[: len(levels) - i, : MIN_FRAMES - k] * levels[i:, k:]).mean() / levels.var())
            for i, k in shifts
        ]

    assert likeness(tape) == pytest.approx(likeness(heard), abs=0.03)
    np.testing.assert_allclose(tape.std(axis=1), heard.std(axis=1), rtol=0.2)


def test_it_is_as_strong_in_db_whatever_range_a_spectrogram_spans() -> None:
    narrow, wide = (LINEAR.with_changes(floor_db=floor) for floor in (-40.0, -80.0))
    np.testing.assert_allclose(NoiseTexture(narrow).levels, 2 * NoiseTexture(wide).levels, atol=1e-6)


def test_the_same_seed_gives_the_same_tape_and_another_one_another() -> None:
    one, again, other = NoiseTexture(LINEAR, 3), NoiseTexture(LINEAR, 3), NoiseTexture(LINEAR, 4)
    np.testing.assert_array_equal(one.levels, again.levels)
    assert abs(np.corrcoef(one.levels.ravel(), other.levels.ravel())[0, 1]) < 0.02


@pytest.mark.parametrize("duration", [0.25, 1.0, 10.0])
def test_pieces_are_cut_out_of_the_tape_up_to_its_end(duration: float) -> None:
    rep = preset(8000, duration)
    noise = NoiseTexture(rep)
    assert noise.levels.shape[1] == max(MIN_FRAMES, 4 * rep.frames)
    for place in (0, 1, noise.num_offsets // 2, noise.num_offsets - 1):
        piece = noise.crop(place)
        assert piece.shape == (1, 1, *rep.shape) and piece.flags.c_contiguous
        np.testing.assert_array_equal(piece[0, 0], noise.levels[:, place : place + rep.frames])
    assert noise.crop(noise.num_offsets).shape != (1, 1, *rep.shape), "there is one more place than is told"
    assert noise.num_offsets > 3 * rep.frames, "long sounds find more than one grain, too"
