"""The noise texture has the statistics of white noise in a spectrogram, apart from its level."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray
from waves import noise

from soundgan.spectral.noise_texture import MIN_FRAMES, NoiseTexture
from soundgan.spectral.presets import PRESETS, preset
from soundgan.spectral.representation import Representation, levels_db

LINEAR = preset(8000, 1.0)  # a band for each bin
NEPER = 10 / np.log(10)  # dB of a power e times as high


def texture_db(noise: NoiseTexture, rep: Representation) -> NDArray[np.float64]:
    return noise.levels.astype(np.float64) * (rep.ceiling_db - rep.floor_db) / 2


@pytest.mark.parametrize("rate", PRESETS)
def test_each_band_of_the_texture_has_mean_0(rate: int) -> None:
    texture = NoiseTexture(preset(rate, 1.0)).levels
    assert texture.dtype == np.float32 and np.isfinite(texture).all()
    assert np.abs(texture.mean(axis=1, dtype=np.float64)).max() < 1e-6
    assert texture.std() > 0.02


def test_texture_levels_have_the_distribution_of_exponential_power() -> None:
    """The power of white noise in a bin is exponential: its logarithm has deviation π / √6 and a heavy lower end."""
    levels = texture_db(NoiseTexture(LINEAR), LINEAR)
    inner = levels[2:-2]
    assert inner.std() == pytest.approx(NEPER * np.pi / 6**0.5, rel=0.01)
    for share in (0.01, 0.1, 0.5, 0.9, 0.99):
        expected = NEPER * (np.log(-np.log(1 - share)) + np.euler_gamma)
        assert np.quantile(inner, share) == pytest.approx(expected, abs=0.15)


def test_nyquist_bin_of_the_texture_has_one_degree_of_freedom() -> None:
    """The last bin is real: its power has one degree of freedom, and √3 times the deviation."""
    levels = texture_db(NoiseTexture(LINEAR), LINEAR)
    assert levels[-1].std() == pytest.approx(NEPER * np.pi / 2**0.5, rel=0.05)


@pytest.mark.parametrize("rate", PRESETS)
def test_texture_correlates_between_cells_like_other_noise(rate: int) -> None:
    rep = preset(rate, 1.0)
    other = rep.with_changes(frames=MIN_FRAMES, lead_in=0)
    expected_levels = levels_db(noise(other.samples, rate, seed=5, level=0.01), other)[0].astype(np.float64)
    expected_levels -= expected_levels.mean(axis=1, keepdims=True)
    texture = texture_db(NoiseTexture(rep), rep)

    def correlations(levels: NDArray[np.float64]) -> list[float]:
        shifts = [(1, 0), (2, 0), (0, 1), (0, 2), (1, 1)]
        return [
            float((levels[: len(levels) - i, : MIN_FRAMES - k] * levels[i:, k:]).mean() / levels.var())
            for i, k in shifts
        ]

    assert correlations(texture) == pytest.approx(correlations(expected_levels), abs=0.03)
    np.testing.assert_allclose(texture.std(axis=1), expected_levels.std(axis=1), rtol=0.2)


def test_texture_in_db_is_independent_of_the_range_of_levels() -> None:
    narrow, wide = (LINEAR.with_changes(floor_db=floor) for floor in (-40.0, -80.0))
    np.testing.assert_allclose(NoiseTexture(narrow).levels, 2 * NoiseTexture(wide).levels, atol=1e-6)


def test_texture_depends_only_on_the_seed() -> None:
    texture, again, other = NoiseTexture(LINEAR, 3), NoiseTexture(LINEAR, 3), NoiseTexture(LINEAR, 4)
    np.testing.assert_array_equal(texture.levels, again.levels)
    assert abs(np.corrcoef(texture.levels.ravel(), other.levels.ravel())[0, 1]) < 0.02


@pytest.mark.parametrize("duration", [0.25, 1.0, 10.0])
def test_crops_cover_the_texture_to_its_end(duration: float) -> None:
    rep = preset(8000, duration)
    noise = NoiseTexture(rep)
    assert noise.levels.shape[1] == max(MIN_FRAMES, 4 * rep.frames)
    for offset in (0, 1, noise.num_offsets // 2, noise.num_offsets - 1):
        crop = noise.crop(offset)
        assert crop.shape == (1, 1, *rep.shape) and crop.flags.c_contiguous
        np.testing.assert_array_equal(crop[0, 0], noise.levels[:, offset : offset + rep.frames])
    assert noise.crop(noise.num_offsets).shape != (1, 1, *rep.shape), "num_offsets is too small"
    assert noise.num_offsets > 3 * rep.frames, "long sounds have many textures, too"
