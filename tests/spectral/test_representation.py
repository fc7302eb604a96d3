"""Spectrograms of known sounds have their bands, levels and times."""

from __future__ import annotations

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from pydantic import ValidationError
from waves import click, db, denormalize, sine

from soundgan.spectral.presets import PRESETS, preset
from soundgan.spectral.representation import Representation, analyze, levels_db, normalize, synthesize
from soundgan.spectral.scipy_kernels import SparseMatrix

Floats = NDArray[np.float32]
RATES = sorted(PRESETS)
SMALL = Representation(
    sample_rate=8000, n_fft=128, hop_length=32, bands=24, frames=16, scale="mel", floor_db=-80.0, ceiling_db=0.0
)


def band_areas(rep: Representation) -> NDArray[np.float64]:
    """Number of bins of each band, where bands are wider than bins."""
    gaps = np.diff(rep.band_centers) * rep.n_fft / rep.sample_rate
    return (np.concatenate([gaps[:1], gaps]) + np.concatenate([gaps, gaps[-1:]])) / 2


# Parameters


@given(rate=st.sampled_from(RATES), duration=st.floats(0.25, 10), ceiling=st.floats(-60, 20))
def test_representation_survives_json(rate: int, duration: float, ceiling: float) -> None:
    rep = preset(rate, duration).with_changes(ceiling_db=ceiling)
    again = Representation.model_validate(json.loads(json.dumps(json.loads(rep.model_dump_json()))))
    assert again == rep and hash(again) == hash(rep)
    assert np.array_equal(again.band_centers, rep.band_centers)


@pytest.mark.parametrize(
    "change",
    [
        {"hop_length": 50},
        {"hop_length": 128},
        {"hop_length": 0},
        {"n_fft": 8},
        {"n_fft": 131, "hop_length": 1.5},
        {"sample_rate": 0},
        {"bands": 1},
        {"frames": 0},
        {"scale": "bark"},
        {"window": "kaiser"},
        {"floor_db": 0.0},
        {"floor_db": -301.0},
        {"floor_db": float("nan")},
        {"ceiling_db": float("nan")},
        {"ceiling_db": float("inf")},
        {"f_min": 20.0},
    ],
)
def test_representation_rejects_impossible_values(change: dict[str, float | str]) -> None:
    with pytest.raises(ValidationError):
        Representation.model_validate({**SMALL.model_dump(), **change})
    with pytest.raises(ValidationError):
        SMALL.with_changes(**change)


def test_representation_rejects_missing_values_and_is_immutable() -> None:
    for name in set(Representation.model_fields) - {"window", "lead_in"}:
        with pytest.raises(ValidationError, match=name):
            Representation.model_validate({key: value for key, value in SMALL if key != name})
    assert Representation.model_validate({key: value for key, value in SMALL if key != "window"}).window == "hann"
    with pytest.raises(ValidationError, match="frozen"):
        SMALL.hop_length = 64  # type: ignore[misc]


@given(bands=st.integers(2, 120), frames=st.integers(1, 40), scale=st.sampled_from(["mel", "linear"]))
def test_with_changes_recomputes_cached_properties(bands: int, frames: int, scale: str) -> None:
    # Cached by the original, and not to be copied:
    assert len(SMALL.band_centers) == len(_dense(SMALL.band_weights, 65)) == 24
    assert len(_dense(SMALL.bin_weights, 24)) == 65 and SMALL.stft.bins == 65
    rep = SMALL.with_changes(bands=bands, frames=frames, scale=scale)
    assert rep.shape == (bands, frames) and rep.band_centers.shape == (bands,) and rep.n_fft == SMALL.n_fft
    assert synthesize(np.zeros(rep.shape, np.float32), rep).shape == (1, frames * rep.hop_length)


# Bands


REPRESENTATIONS = st.builds(
    lambda rate, overlap, hop_length, bands, scale: Representation(
        sample_rate=rate,
        n_fft=overlap * hop_length,
        hop_length=hop_length,
        bands=bands,
        frames=4,
        scale=scale,
        floor_db=-80,
        ceiling_db=0,
    ),
    st.sampled_from([8000, 22050, 48000]),
    st.sampled_from([2, 4, 8]),
    st.sampled_from([16, 64, 128]),
    st.integers(2, 150),
    st.sampled_from(["mel", "linear"]),
)


def _dense(matrix: SparseMatrix, columns: int) -> Floats:
    return matrix @ np.eye(columns, dtype=np.float32)


@given(REPRESENTATIONS)
def test_band_weights_average_bins(rep: Representation) -> None:
    weights = _dense(rep.band_weights, rep.n_fft // 2 + 1)
    assert weights.shape == (rep.bands, rep.n_fft // 2 + 1) and (weights >= 0).all()
    np.testing.assert_allclose(weights.sum(axis=1), 1, atol=1e-6)
    assert not weights[:, 0].any(), "0 Hz is not left out"


@given(REPRESENTATIONS)
def test_bin_weights_interpolate_between_two_bands(rep: Representation) -> None:
    weights = _dense(rep.bin_weights, rep.bands)
    frequencies = np.arange(rep.n_fft // 2 + 1) * rep.sample_rate / rep.n_fft
    assert weights.shape == (len(frequencies), rep.bands)
    assert (weights >= 0).all() and ((weights > 0).sum(axis=1) <= 2).all()
    np.testing.assert_allclose(weights.sum(axis=1), 1, atol=1e-6)
    np.testing.assert_allclose((weights @ rep.band_centers)[1:], frequencies[1:], rtol=1e-5)


@given(REPRESENTATIONS)
def test_band_centers_rise_from_the_first_bin_to_half_the_rate(rep: Representation) -> None:
    assert rep.band_centers[0] == pytest.approx(rep.sample_rate / rep.n_fft)
    assert rep.band_centers[-1] == pytest.approx(rep.sample_rate / 2)
    steps = np.diff(rep.band_centers)
    assert (steps > 0).all()
    if rep.scale == "linear":
        np.testing.assert_allclose(steps, steps[0])
    else:
        mel = 1127 * np.log1p(rep.band_centers / 700)
        np.testing.assert_allclose(np.diff(mel), np.diff(mel)[0], rtol=1e-4)


# Levels


@pytest.mark.parametrize("rate", RATES)
def test_tone_is_loudest_in_its_band(rate: int) -> None:
    rep = preset(rate, 0.25)
    for hertz in np.geomspace(2 * rate / rep.n_fft, 0.45 * rate, 20):
        levels = levels_db(sine(rep.samples, rep.sample_rate, hertz, level=1), rep)[0][:, 4:-4].mean(axis=1)
        nearest = np.abs(rep.band_centers - hertz).argmin()
        assert abs(int(levels.argmax()) - nearest) <= 1, f"{hertz:.0f} Hz"
        far = np.abs(rep.band_centers - hertz) > np.maximum(4 * rate / rep.n_fft, 0.15 * hertz)
        assert levels[far].max() < levels.max() - 30, f"{hertz:.0f} Hz"


@pytest.mark.parametrize("rate", RATES)
def test_full_scale_sine_is_0_db(rate: int) -> None:
    """In bands as narrow as a bin; a Hann window attenuates tones between bins by up to 1.4 dB."""
    rep = preset(rate, 0.25, bands=16).with_changes(scale="linear", bands=preset(rate, 0.5).n_fft // 2)  # all bins
    for bin_ in (2, 9, rep.bands // 2, rep.bands - 4):
        levels = levels_db(sine(rep.samples, rep.sample_rate, bin_ * rate / rep.n_fft, level=1), rep)[0][:, 4:-4]
        np.testing.assert_allclose(levels[bin_ - 1], 0, atol=0.01)
        halfway = sine(rep.samples, rep.sample_rate, (bin_ + 0.5) * rate / rep.n_fft, level=1)
        between = levels_db(halfway, rep)[0][:, 4:-4]
        np.testing.assert_allclose(between[bin_ - 1], -1.42, atol=0.05)


@pytest.mark.parametrize("rate", RATES)
@pytest.mark.parametrize("level", [0.0, -20.0, -50.0])
def test_band_levels_add_up_to_the_power_of_a_tone(rate: int, level: float) -> None:
    """Bands are means: times their numbers of bins they add up to the power, times 1.5 for a Hann window."""
    rep = preset(rate, 0.25)
    wide = rep.band_centers[band_areas(rep).searchsorted(1.6)] if rep.scale == "mel" else 200
    for hertz in np.geomspace(1.2 * wide, 0.42 * rate, 6):
        tone = sine(rep.samples, rep.sample_rate, hertz, level=1)
        powers = 10 ** (levels_db(10 ** (level / 20) * tone, rep)[0][:, 5:-5].mean(axis=1) / 10)
        assert db(powers @ band_areas(rep) / 1.5) == pytest.approx(level, abs=0.2), f"{hertz:.0f} Hz"


@pytest.mark.parametrize("rate", RATES)
def test_white_noise_has_equal_levels_in_all_bands(rate: int) -> None:
    rep = preset(rate, 0.25)
    rms = 0.1
    waves = np.random.default_rng(0).normal(0, rms, (40, rep.samples)).astype(np.float32)
    levels = 10 * np.log10((10 ** (levels_db(waves, rep)[:, :, 3:-3] / 10)).mean(axis=(0, 2)))
    # Power of the window over its gain for a full-scale sine: 3/8 n over (n/4)².
    expected = db(rms**2 * 0.375 * rep.n_fft / (rep.n_fft / 4) ** 2)
    assert np.abs(levels - expected).max() < 1.0 and abs(levels.mean() - expected) < 0.15


@given(gain=st.floats(-40, 0), seed=st.integers(0, 2**32 - 1))
def test_gain_is_added_to_all_levels(gain: float, seed: int) -> None:
    wave = np.random.default_rng(seed).normal(0, 0.1, SMALL.samples).astype(np.float32)
    change = levels_db(np.float32(10 ** (gain / 20)) * wave, SMALL) - levels_db(wave, SMALL)
    np.testing.assert_allclose(change, gain, atol=2e-3)


@given(st.lists(st.floats(-150, 50), min_size=1, max_size=8))
def test_normalize_is_linear_between_floor_and_ceiling(values: list[float]) -> None:
    levels = np.full((1, *SMALL.shape), -80, np.float32)
    levels[0, 0, : len(values)] = values
    spectrogram = normalize(levels, SMALL)
    assert (
        spectrogram.shape == (1, 1, *SMALL.shape) and spectrogram.dtype == np.float32 and np.abs(spectrogram).max() <= 1
    )
    np.testing.assert_allclose(denormalize(spectrogram[:, 0], SMALL), np.clip(levels, -80, 0), atol=1e-4)


def test_click_is_loudest_in_its_frame() -> None:
    for frame in (0, 3, 15):
        spectrogram = analyze(
            click(SMALL.samples, SMALL.sample_rate, frame * SMALL.hop_length + SMALL.hop_length // 2), SMALL
        )[0, 0]
        assert spectrogram.mean(axis=0).argmax() == frame


def test_analyze_pads_short_waves_and_cuts_long_ones() -> None:
    wave = np.random.default_rng(0).normal(0, 0.1, SMALL.samples).astype(np.float32)
    whole = analyze(wave, SMALL)
    assert whole.shape == (1, 1, *SMALL.shape) and whole.dtype == np.float32
    assert np.array_equal(analyze(np.concatenate([wave, wave]), SMALL), whole)
    padded = np.concatenate([wave[:100], np.zeros(SMALL.samples - 100, np.float32)])
    assert np.array_equal(analyze(wave[:100], SMALL), analyze(padded, SMALL))
    assert (analyze(np.empty(0, np.float32), SMALL) == -1).all()
    assert analyze(np.empty((0, 50), np.float32), SMALL).shape == (0, 1, *SMALL.shape)
