"""Phase gradients estimated from magnitudes are those of steady tones, clicks and chirps."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from waves import chirp, click, sine

from soundgan.spectral.phase_gradients import frequency_offset, group_delay, phase_gradients
from soundgan.spectral.stft import STFT, Window

Floats = NDArray[np.float32]

RATE = 16_000
WINDOWS: list[Window] = ["hann", "gaussian"]
STFTS = [
    STFT(n_fft, hop_length, window) for n_fft, hop_length in [(256, 128), (48, 16), (512, 128)] for window in WINDOWS
]


def wrap(angles: NDArray[np.floating]) -> NDArray[np.floating]:
    """Angles modulo 2 pi, within ±pi."""
    return angles - 2 * np.pi * np.rint(angles / (2 * np.pi))


@given(st.sampled_from(STFTS), st.floats(0.2, 0.8), st.floats(-0.5, 0.5), st.floats(0, 6.28))
def test_frequency_offset_of_a_steady_tone_is_exact_between_bins(
    stft: STFT, position: float, offset: float, start: float
) -> None:
    bin_ = round(position * stft.n_fft / 2)
    wave = sine(24 * stft.hop_length, stft.n_fft, bin_ + offset, start=start)  # a rate of n_fft: a bin is 1 Hz
    estimate = frequency_offset(np.abs(stft.forward(wave)), stft)
    np.testing.assert_allclose(estimate[8:-8, bin_], offset, atol=0.001 if stft.window == "hann" else 0.006)
    assert not estimate[:, [0, -1]].any(), "the first and the last bin"


@given(st.sampled_from(STFTS), st.floats(-0.47, 0.47))
def test_group_delay_of_a_click_is_exact_between_frames(stft: STFT, position: float) -> None:
    at = 10 * stft.hop_length + stft.hop_length // 2 + int(position * stft.n_fft)
    delay = (at - 10.5 * stft.hop_length) / stft.n_fft
    estimate = group_delay(np.abs(stft.forward(click(24 * stft.hop_length, RATE, at))), stft)
    np.testing.assert_allclose(estimate[10], delay, atol=0.001)


@pytest.mark.parametrize("stft", STFTS, ids=str)
def test_group_delay_of_a_slow_decay_is_slightly_negative(stft: STFT) -> None:
    samples, bin_ = np.arange(40 * stft.hop_length), stft.n_fft // 5
    for windows in (1, 2, 8, 64):
        wave = sine(samples.size, stft.n_fft, bin_) * np.exp(-samples / (windows * stft.n_fft)).astype(np.float32)
        fading, rising = (group_delay(np.abs(stft.forward(signal)), stft)[8:-8, bin_] for signal in (wave, wave[::-1]))
        for delay in (-fading, rising):
            assert (delay > 0.02 / windows).all() and (delay < 0.1 / windows).all()


@pytest.mark.parametrize("stft", STFTS, ids=str)
def test_phase_gradients_equal_those_of_the_true_phase(stft: STFT) -> None:
    """Of a tone in time, of a click in frequency, and of a slow chirp in both, where it is loud."""
    hop_length, n_fft = stft.hop_length, stft.n_fft

    def gradient_errors(wave: Floats, share: float) -> tuple[Floats, Floats]:
        spectrum = stft.forward(wave)
        in_time, in_frequency = (steps[8:-8] for steps in phase_gradients(np.abs(spectrum), stft))
        spectrum = spectrum[8:-8]
        loud = np.abs(spectrum) > share * np.abs(spectrum).max()
        in_time = in_time[:-1] - np.angle(spectrum[1:] * spectrum[:-1].conj())
        in_frequency = in_frequency[:, :-1] - np.angle(spectrum[:, 1:] * spectrum[:, :-1].conj())
        return wrap(in_time)[loud[:-1] & loud[1:]], wrap(in_frequency)[loud[:, :-1] & loud[:, 1:]]

    exact = stft.window == "gaussian"
    for offset in (-0.5, -0.2, 0, 0.4):
        in_time, _ = gradient_errors(sine(40 * hop_length, n_fft, n_fft // 5 + offset), 0.4)
        assert in_time.size and np.abs(in_time).max() < 0.03
    for position in (20.4, 20.5, 20.7):
        _, in_frequency = gradient_errors(click(40 * hop_length, RATE, round(position * hop_length)), 0.9)
        assert in_frequency.size >= stft.bins - 1 and np.abs(in_frequency).max() < 0.01
    rise = 0.25 * 60 * hop_length / n_fft  # a quarter of a bin within a window
    in_time, in_frequency = gradient_errors(chirp(60 * hop_length, n_fft, 0.2 * n_fft, 0.2 * n_fft + rise), 0.3)
    assert in_time.size > 40 and np.abs(in_time).max() < (0.06 if exact else 0.35)
    assert in_frequency.size > 40 and np.abs(in_frequency).max() < (0.01 if exact else 0.15)
