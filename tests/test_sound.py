"""The finish of a sound: its end, its fade and its level."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from soundgan import audio
from soundgan.sound import Finish, leveled, limit_and_fade

RATE = 8000
FADE = 40  # samples, 5 ms


def ringing(samples: int = 2000, amplitude: float = 1.0) -> NDArray[np.float32]:
    return (amplitude * np.sin(2 * np.pi * 440 / RATE * np.arange(samples))).astype(np.float32)


def decaying(seconds: float = 0.02) -> NDArray[np.float32]:
    """A tone of 0.5 s that falls by 60 dB in `seconds` · ln(1000)."""
    return (ringing(4000) * np.exp(-np.arange(4000) / RATE / seconds)).astype(np.float32)


def test_ringing_sound_is_faded_out_at_its_end() -> None:
    wave = limit_and_fade(ringing(), RATE)
    assert wave[-1] == 0 and np.abs(np.diff(wave[-FADE:])).max() <= np.abs(np.diff(ringing())).max()
    np.testing.assert_array_equal(wave[:-FADE], ringing()[:-FADE])
    assert len(limit_and_fade(ringing(10), RATE)) == 10


@given(end=st.integers(1, 2000))
def test_sound_of_known_length_ends_there_with_a_fade(end: int) -> None:
    wave = Finish(end)(ringing(), RATE)
    np.testing.assert_array_equal(wave, limit_and_fade(ringing()[:end], RATE))
    kept = Finish(end, keep_length=True)(ringing(), RATE)
    np.testing.assert_array_equal(kept[:end], wave)
    assert len(kept) == 2000 and not kept[end:].any()


def test_sound_of_unknown_length_ends_where_it_falls_silent() -> None:
    wave = Finish()(decaying(), RATE)
    end = len(wave) - FADE
    np.testing.assert_array_equal(wave[:end], decaying()[:end])
    assert end / RATE == pytest.approx(0.02 * np.log(1000), rel=0.02)
    assert np.abs(decaying()[end:]).max() < 1e-3 * np.abs(wave).max()
    np.testing.assert_array_equal(Finish(keep_length=True)(decaying(), RATE), limit_and_fade(decaying(), RATE))
    np.testing.assert_array_equal(Finish()(ringing(), RATE), limit_and_fade(ringing(), RATE))


@pytest.mark.parametrize("level", ["recorded", "peak", "loudness"])
def test_silence_stays_silent(level: str) -> None:
    finish = Finish(level=level, recorded_db=-3.0)  # type: ignore[arg-type]
    assert not finish(np.zeros(100, np.float32), RATE).any() and len(finish(np.zeros(100, np.float32), RATE)) == 100


@given(amplitude=st.floats(1e-3, 4), recorded=st.floats(-60, 3))
def test_recorded_and_peak_level_set_the_peak(amplitude: float, recorded: float) -> None:
    wave = Finish(recorded_db=recorded)(ringing(amplitude=amplitude), RATE)
    assert audio.peak_db(wave) == pytest.approx(min(recorded, 0), abs=1e-3) and np.abs(wave).max() <= 1
    assert audio.peak_db(Finish(level="peak")(ringing(amplitude=amplitude), RATE)) == pytest.approx(-1, abs=1e-3)


def test_unknown_recorded_level_is_that_of_the_wave() -> None:
    np.testing.assert_array_equal(Finish()(0.1 * ringing(), RATE), limit_and_fade(0.1 * ringing(), RATE))


def test_loudness_equalizes_sounds_up_to_the_true_peak() -> None:
    long, soft = leveled(ringing(4000), RATE, "loudness", 0.0), leveled(0.01 * ringing(4000), RATE, "loudness", 0.0)
    np.testing.assert_allclose(long, soft, atol=1e-5)
    assert audio.loudness_lufs(long, RATE) == pytest.approx(-23, abs=0.01)
    click = np.zeros(4000, np.float32)
    click[2000] = 0.1
    loud = leveled(click, RATE, "loudness", 0.0)
    assert audio.loudness_lufs(loud, RATE) < -23 and audio.true_peak_db(loud, RATE) == pytest.approx(-1, abs=0.01)


def test_stretched_finish_moves_its_end_only() -> None:
    finish = Finish(1000, "peak", -3.0, keep_length=True)
    assert finish.stretched(1.5) == replace(finish, samples=1500) and Finish().stretched(2) == Finish()
