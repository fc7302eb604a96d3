"""Pitch tracking of sounds of known pitch."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from soundgan.spectral.pitch import MAX_PITCH, MIN_PITCH, Pitch, track
from soundgan.spectral.presets import preset
from soundgan.spectral.representation import Representation

RATES = (8000, 16000, 44100)


def tracked(waves: NDArray[Any], representation: Representation) -> Pitch:
    return track(waves, representation.sample_rate, representation.hop_length)


def pulses(hz: NDArray[np.float64] | float, representation: Representation) -> NDArray[np.float64]:
    """A sound of all harmonics below 0.45 times the sample rate, at a pitch (samples,) in Hz."""
    hz = np.broadcast_to(hz, representation.samples)
    phase = 2 * np.pi * np.cumsum(hz) / representation.sample_rate
    harmonics = range(1, int(0.45 * representation.sample_rate / hz.max()) + 1)
    wave = sum((np.cos(k * phase) / k for k in harmonics), np.zeros(representation.samples))
    return 0.5 * wave / np.abs(wave).max()


def inner(values: NDArray[Any], representation: Representation) -> NDArray[Any]:
    """Values of the frames whose windows lie within the sound."""
    margin = int(np.ceil(1.25 / MIN_PITCH * representation.sample_rate / representation.hop_length)) + 1
    return values[..., margin:-margin]


@pytest.mark.parametrize("rate", RATES)
@given(hz=st.floats(MIN_PITCH + 5, MAX_PITCH - 20))
def test_pitch_of_a_harmonic_sound_is_exact(rate: int, hz: float) -> None:
    representation = preset(rate, 0.5)
    pitch = tracked(pulses(hz, representation), representation)
    assert pitch.hz.shape == pitch.periodicity.shape == (1, representation.frames - representation.lead_in)
    np.testing.assert_allclose(inner(pitch.hz, representation), hz, rtol=0.01)
    assert inner(pitch.periodicity, representation).min() > 0.85


@pytest.mark.parametrize("rate", RATES)
def test_pitch_follows_a_rising_sound(rate: int) -> None:
    representation = preset(rate, 1.0)
    hz = np.geomspace(90, 320, representation.samples)
    pitch = tracked(pulses(hz, representation), representation)
    expected = hz[(np.arange(pitch.hz.shape[1]) * representation.hop_length + representation.hop_length // 2)]
    np.testing.assert_allclose(inner(pitch.hz[0], representation), inner(expected, representation), rtol=0.03)


def test_noise_and_silence_are_unvoiced_and_sounds_are_independent() -> None:
    representation = preset(8000, 1.0)
    rng = np.random.default_rng(0)
    noise, tone = 0.3 * rng.standard_normal(representation.samples), pulses(150.0, representation)
    silence = np.zeros(representation.samples)
    together = tracked(np.stack([noise, silence, tone]), representation)
    assert np.median(together.periodicity[0]) < 0.5
    assert (together.periodicity[1] == 0).all()
    alone = tracked(tone, representation)
    np.testing.assert_array_equal(together.hz[2], alone.hz[0])
    np.testing.assert_array_equal(together.periodicity[2], alone.periodicity[0])


def test_pitch_is_independent_of_level_and_very_soft_frames_are_unvoiced() -> None:
    representation = preset(8000, 1.0)
    tone = pulses(150.0, representation)
    for gain in (1e-3, 2.0):
        np.testing.assert_allclose(tracked(gain * tone, representation).hz, tracked(tone, representation).hz, rtol=1e-3)
    faded = tone * np.where(np.arange(len(tone)) < len(tone) // 2, 1.0, 1e-3)
    periodicity = inner(tracked(faded, representation).periodicity[0], representation)
    assert periodicity[0] > 0.85
    assert periodicity[-1] == 0
