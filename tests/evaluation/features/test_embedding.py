from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sets import LABELS, RATE, SECONDS, fresh, sound
from waves import burst, click, sine

from soundgan.errors import DataError
from soundgan.evaluation.features.embedding import LogMelStatistics

BANDS = 32
MEAN, SPREAD, RISE, FALL = (slice(i * BANDS, (i + 1) * BANDS) for i in range(4))
ENVELOPE = slice(4 * BANDS, 4 * BANDS + 16)


def embed(*waves: np.ndarray, seconds: float = SECONDS, rate: int = RATE) -> np.ndarray:
    return LogMelStatistics(seconds).embed([wave.astype(np.float32) for wave in waves], rate)


@given(gain_db=st.floats(-30, 20), seed=st.integers(0, 99), label=st.sampled_from(LABELS))
def test_embedding_is_independent_of_loudness(gain_db: float, seed: int, label: str) -> None:
    wave = sound(label, np.random.default_rng(seed))
    loud, soft = embed(wave, wave * 10 ** (gain_db / 20))
    np.testing.assert_allclose(soft, loud, atol=0.01)


@given(seed=st.integers(0, 99), label=st.sampled_from(LABELS))
def test_reversal_swaps_rise_and_fall_of_every_band(seed: int, label: str) -> None:
    wave = sound(label, np.random.default_rng(seed))
    forward, backward = embed(wave, wave[::-1])  # of whole hops, so that frames are at the same positions
    np.testing.assert_allclose(backward[RISE], forward[FALL], atol=0.02)
    np.testing.assert_allclose(backward[FALL], forward[RISE], atol=0.02)
    np.testing.assert_allclose(backward[MEAN], forward[MEAN], atol=0.02)
    np.testing.assert_allclose(backward[ENVELOPE], forward[ENVELOPE][::-1], atol=0.02)


def test_steady_tone_has_its_maximum_at_its_pitch_and_no_changes() -> None:
    (point,) = embed(sine(RATE, RATE, 1000), seconds=1)
    mel = 2595 * np.log10(1 + np.array([1000, RATE / 2]) / 700)
    band = round(mel[0] / mel[1] * (BANDS + 1) - 1)
    assert point[MEAN].argmax() == pytest.approx(band, abs=1)
    assert point[MEAN].max() == pytest.approx(7, abs=0.1), "70 dB above the floor, in units of 10 dB"
    assert point[SPREAD][point[MEAN].argmax()] < 0.15


def test_envelope_is_positive_while_the_sound_lasts() -> None:
    (point,) = embed(burst(RATE, RATE), seconds=1)
    envelope = point[ENVELOPE]
    assert (envelope[4:8] > 3).all(), "sixteenths of the second quarter"
    assert (envelope[[0, 1, 2, *range(10, 16)]] == 0).all()


def test_padding_and_cutting_change_nothing_and_silence_is_the_origin() -> None:
    short = click(1000, RATE)
    a, b, c = embed(short, np.pad(short, (0, 3000)), np.pad(short, (0, 9000)))
    np.testing.assert_array_equal(a, b)
    np.testing.assert_array_equal(a, c)
    assert not embed(np.zeros(500)).any()


def test_embedding_of_a_batch_equals_those_of_single_sounds() -> None:
    waves = fresh(8, seed=1)[0]
    together = LogMelStatistics(SECONDS).embed(waves, RATE)
    assert together.shape == (8, 192) and together.dtype == np.float64
    for wave, point in zip(waves, together, strict=True):
        np.testing.assert_allclose(embed(wave)[0], point, atol=1e-4)


@pytest.mark.parametrize("rate", [1000, 8000, 44100])
def test_embedding_accepts_any_rate_and_lengths_shorter_than_the_envelope(rate: int) -> None:
    (point,) = embed(sine(rate // 20, rate, 200), seconds=0.05, rate=rate)
    assert point.shape == (192,) and np.isfinite(point).all() and point.any()


def test_embedding_refuses_an_empty_list() -> None:
    with pytest.raises(DataError, match="no sounds"):
        LogMelStatistics(1.0).embed([], RATE)
