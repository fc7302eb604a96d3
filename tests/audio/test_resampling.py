"""Resampling keeps frequency, level, phase and duration."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import soundfile
from hypothesis import given
from hypothesis import strategies as st
from recordings import RATE, difference_db, middle, pitch, sine

from soundgan import audio


@pytest.mark.parametrize(
    ("source", "target"), [(44_100, 16_000), (44_100, 8000), (8000, 44_100), (96_000, 22_050), (48_000, 44_100)]
)
def test_resampling_keeps_frequency_level_and_phase_of_a_tone(source: int, target: int) -> None:
    resampled = audio.resample(sine(1234.5, 1.0, source), source, target)
    assert resampled.dtype == np.float32 and resampled.size == target
    assert pitch(resampled, target) == pytest.approx(1234.5, abs=0.05)
    assert audio.rms_db(middle(resampled)) == pytest.approx(audio.rms_db(sine(1234.5, 1.0, source)), abs=0.01)
    assert difference_db(middle(resampled), middle(sine(1234.5, 1.0, target))) < -90  # and its phase


def test_resampling_removes_frequencies_above_nyquist() -> None:
    assert audio.rms_db(middle(audio.resample(sine(10_000, 1.0), RATE, 16_000))) < -100


def test_read_resamples_a_stereo_part(tmp_path: Path) -> None:
    stereo = np.stack([sine(440, 0.5, 96_000), sine(440, 0.5, 96_000)], axis=1)
    soundfile.write(tmp_path / "a.wav", stereo, 96_000, subtype="PCM_24")
    wave, rate = audio.read(tmp_path / "a.wav", 16_000, start=0.1, seconds=0.3)
    assert rate == 16_000 and wave.size == 4800 and pitch(wave, rate) == pytest.approx(440, abs=0.5)


@given(st.integers(1, 3000), st.sampled_from([8000, 16_000, 22_050, 44_100, 48_000]), st.sampled_from([8000, 44_100]))
def test_resampling_keeps_the_duration(samples: int, source: int, target: int) -> None:
    assert abs(audio.resample(np.zeros(samples), source, target).size - samples * target / source) <= 0.5 + 1e-6


def test_resampling_refuses_rates_of_zero_and_below(tmp_path: Path) -> None:
    audio.write(tmp_path / "a.wav", sine(), RATE)
    for source, target in ((0, 8000), (8000, 0), (-1, -1)):
        with pytest.raises(ValueError, match="above 0 Hz"):
            audio.resample(sine(), source, target)
    with pytest.raises(ValueError, match="above 0 Hz"):
        audio.read(tmp_path / "a.wav", 0)
