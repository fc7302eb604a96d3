from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sets import LABELS, RATE, SAMPLES, SECONDS, fresh, sound

from soundgan.evaluation.features.logmel import LogMel, pad_or_cut, pad_to_frames


@given(gain_db=st.floats(-40, 0), seed=st.integers(0, 99), label=st.sampled_from(LABELS))
def test_spectrograms_are_independent_of_loudness(gain_db: float, seed: int, label: str) -> None:
    frontend = LogMel(RATE, SECONDS)
    wave = sound(label, np.random.default_rng(seed)).astype(np.float32)
    loud, soft = frontend.spectrograms([wave]), frontend.spectrograms([wave * np.float32(10 ** (gain_db / 20))])
    assert loud.shape == (1, 40, SAMPLES // 80 + 1)
    assert loud.max() == pytest.approx(1)
    np.testing.assert_allclose(soft, loud, atol=1e-3)


@pytest.mark.parametrize("rate", [8000, 22050])
@pytest.mark.parametrize("hertz", [200.0, 1000.0, 3000.0])
def test_tone_is_loudest_in_the_band_of_its_pitch(rate: int, hertz: float) -> None:
    frontend = LogMel(rate, 0.5)
    tone = np.sin(2 * np.pi * hertz * np.arange(frontend.samples) / rate).astype(np.float32)
    (spectrogram,) = frontend.spectrograms([tone])
    mel = 2595 * np.log10(1 + np.array([hertz, rate / 2]) / 700)
    assert spectrogram.mean(axis=1).argmax() == pytest.approx(mel[0] / mel[1] * (frontend.bands + 1) - 1, abs=1)


def test_silence_is_the_minimum_and_sounds_are_padded_or_cut() -> None:
    frontend = LogMel(RATE, 0.2)
    assert (frontend.spectrograms([np.zeros(frontend.samples, np.float32)] * 2) == -1).all()
    ramp = np.arange(3000, dtype=np.float32)
    np.testing.assert_array_equal(pad_or_cut(ramp, 1600), ramp[:1600])
    np.testing.assert_array_equal(pad_or_cut(ramp[:500], 1600), np.r_[ramp[:500], np.zeros(1100, np.float32)])


def test_levels_of_many_sounds_equal_their_spectrograms_in_decibels() -> None:
    frontend = LogMel(RATE, SECONDS, bands=24, range_db=60)
    waves = [wave[: 1000 + 700 * i] for i, wave in enumerate(fresh(6, seed=0)[0])]
    levels = frontend.levels(waves)
    assert levels.max() == pytest.approx(60, abs=1e-3) and levels.min() >= 0
    for level, wave in zip(levels, waves, strict=True):
        np.testing.assert_allclose(level, (frontend.spectrograms([wave])[0] + 1) * 30, atol=1e-3)


@given(samples=st.integers(0, 50), hop_length=st.integers(1, 20))
def test_waves_are_padded_to_the_fewest_whole_frames(samples: int, hop_length: int) -> None:
    padded = pad_to_frames(np.ones(samples, np.float32), hop_length)
    assert len(padded) % hop_length == 0 and 0 <= len(padded) - samples < hop_length
    assert padded[:samples].all() and not padded[samples:].any()
