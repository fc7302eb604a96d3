"""Momentary loudness and true peak."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from recordings import sine

from soundgan import audio
from soundgan.audio.loudness import _k_weighting


def test_k_weighting_has_the_coefficients_of_the_standard_at_48_khz() -> None:
    shelf = [1.53512485958697, -2.69169618940638, 1.19839281085285, 1, -1.69065929318241, 0.73248077421585]
    high_pass = [1, -2, 1, 1, -1.99004745483398, 0.99007225036621]
    np.testing.assert_allclose(_k_weighting(48_000), [shelf, high_pass], atol=1e-8)


@pytest.mark.parametrize("rate", [8000, 16000, 22050, 44100, 48000])
def test_full_scale_sine_of_997_hz_is_at_minus_3_lufs(rate: int) -> None:
    assert audio.loudness_lufs(sine(997, 1.0, rate, 1.0), rate) == pytest.approx(-3.01, abs=0.05)


@given(gain=st.floats(-80, 0), seconds=st.floats(0.4, 1.5))
def test_loudness_follows_the_gain_and_not_the_length_beyond_400_ms(gain: float, seconds: float) -> None:
    tone = sine(1000, seconds, 16000, 10 ** (gain / 20))
    assert audio.loudness_lufs(tone, 16000) == pytest.approx(gain - 3, abs=0.1)


def test_shorter_sounds_are_softer_by_their_share_of_400_ms() -> None:
    whole, half, click = (audio.loudness_lufs(sine(1000, seconds, 16000), 16000) for seconds in (0.4, 0.2, 0.01))
    assert half - whole == pytest.approx(-3.01, abs=0.05)
    assert click - whole == pytest.approx(-16, abs=0.3)


def test_loudest_moment_counts() -> None:
    soft, loud = sine(1000, 2.0, 16000, 0.05), sine(1000, 0.5, 16000, 0.5)
    together = audio.loudness_lufs(np.concatenate([soft, loud, soft]), 16000)
    assert together == pytest.approx(audio.loudness_lufs(loud, 16000), abs=0.05)


def test_bass_is_softer_and_treble_louder_than_its_power() -> None:
    middle, bass, treble = (audio.loudness_lufs(sine(hz, 1.0, 48_000), 48_000) for hz in (1000, 30, 10_000))
    assert bass < middle - 6 and treble == pytest.approx(middle + 3.3, abs=0.3)


def test_true_peak_lies_between_samples() -> None:
    wave = np.sin(np.pi / 2 * np.arange(4800) + np.pi / 4) * np.hanning(4800)  # 12 kHz; samples miss its peaks by 3 dB
    assert audio.peak_db(wave) == pytest.approx(-3.01, abs=0.01)
    assert audio.true_peak_db(wave, 48_000) == pytest.approx(0, abs=0.1)
    assert audio.true_peak_db(sine(100, 0.1, 48_000), 48_000) == pytest.approx(-6.02, abs=0.1)


def test_silence_has_no_loudness_and_no_peak() -> None:
    for silence in (np.zeros(100), np.zeros(1)):
        assert audio.loudness_lufs(silence, 8000) == audio.true_peak_db(silence, 8000) == -np.inf
