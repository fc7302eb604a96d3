"""Presets cover the duration, accept other values, and reject impossible ones."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from soundgan.spectral.presets import FINE_BANDS, PRESETS, preset, with_duration
from soundgan.spectral.representation import Scale
from soundgan.spectral.stft import STFT, Window

RATES = sorted(PRESETS)


@given(rate=st.sampled_from(RATES), duration=st.floats(0.25, 10))
def test_preset_covers_the_duration_with_a_multiple_of_16_or_32_frames(rate: int, duration: float) -> None:
    rep = preset(rate, duration)
    multiple = 32 if rep.bands >= FINE_BANDS else 16
    assert rep.sample_rate == rate and rep.bands == PRESETS[rate].bands
    assert rep.frames % multiple == 0 and rep.frames <= 1312
    assert rep.samples == (rep.frames - rep.lead_in) * rep.hop_length and rep.duration == rep.samples / rate
    samples = round(duration * rate)
    assert samples <= rep.samples < samples + multiple * rep.hop_length, "not rounded up"


@given(rate=st.sampled_from(RATES), frames=st.integers(1, 40), bands=st.integers(2, 200), span=st.floats(20, 120))
def test_preset_accepts_a_size_and_a_range(rate: int, frames: int, bands: int, span: float) -> None:
    rep = preset(rate, 1.0, bands=bands, frames=16 * frames, range_db=span)
    assert rep.shape == (bands, 16 * frames) and rep.ceiling_db - rep.floor_db == span


@given(
    rate=st.sampled_from(RATES),
    overlap=st.sampled_from([2, 4, 8]),
    scale=st.sampled_from(["mel", "linear"]),
    window=st.sampled_from(["hann", "gaussian"]),
)
def test_preset_accepts_overlap_and_scale(rate: int, overlap: int, scale: Scale, window: Window) -> None:
    rep = preset(rate, 0.5, overlap=overlap, scale=scale).with_changes(window=window)
    assert (rep.n_fft // rep.hop_length, rep.scale, rep.window) == (overlap, scale, window)
    assert rep.stft == STFT(PRESETS[rate][0], PRESETS[rate][0] // overlap, window)


@pytest.mark.parametrize("rate, duration", [(96000, 1), (8000, 0.2), (8000, 10.1), (8000, float("nan")), (0, 1)])
def test_preset_rejects_other_sample_rates_and_durations(rate: int, duration: float) -> None:
    with pytest.raises(
        ValueError, match=r"= .*: (must be one of 8000, 16000, 22050, 44100, 48000 Hz|must be between 0\.25 and 10 s)"
    ):
        preset(rate, duration)


@pytest.mark.parametrize("overlap", [0, 1, 3, 16])
def test_preset_rejects_other_overlaps(overlap: int) -> None:
    with pytest.raises(ValueError, match=f"overlap = {overlap}: must be 2, 4 or 8"):
        preset(8000, 1.0, overlap=overlap)


def test_fine_spectrograms_have_a_multiple_of_32_frames() -> None:
    assert [preset(44100, 1.0, bands=bands, scale="linear").frames for bands in (128, 512)] == [176, 192]
    assert [preset(44100, 1.15, bands=bands, scale="linear").frames for bands in (128, 512)] == [208, 224]


@given(rate=st.sampled_from(RATES), durations=st.tuples(st.floats(0.25, 4), st.floats(0.25, 4)))
def test_duration_changes_the_frames_alone(rate: int, durations: tuple[float, float]) -> None:
    first, second = (preset(rate, duration) for duration in durations)
    assert with_duration(first, durations[1]) == first.with_changes(frames=with_duration(first, durations[1]).frames)
    if first.hop_length == second.hop_length:
        assert with_duration(first, durations[1]) == second
