"""The STFT equals its definition, and its inverse is the least-squares wave."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from waves import click, noise, sine

from soundgan.spectral.stft import STFT, Window

SIZES = [(16, 8), (45, 15), (48, 16), (64, 16), (256, 128), (256, 32), (512, 128)]  # 2, 3, 4 and 8 windows a sample
SMALL = [STFT(n_fft, hop_length, window) for n_fft, hop_length in SIZES[:4] for window in ("hann", "gaussian")]
STFTS = [STFT(n_fft, hop_length, window) for n_fft, hop_length in SIZES for window in ("hann", "gaussian")]

transforms = st.sampled_from(STFTS)
seeds = st.integers(0, 2**32 - 1)


def slow_window(n_fft: int, window: Window) -> NDArray[np.float64]:
    time = np.arange(n_fft) / n_fft
    if window == "hann":
        return np.sin(np.pi * time) ** 2
    return np.exp(-np.pi * (time - 0.5) ** 2 / 0.17054)


def slow_stft(wave: NDArray[np.float32], stft: STFT) -> NDArray[np.complex128]:
    """The definition, term by term: windowed frames of the wave times a DFT matrix."""
    time = np.arange(stft.n_fft)
    matrix = np.exp(-2j * np.pi * np.outer(time, np.arange(stft.n_fft // 2 + 1)) / stft.n_fft)
    frames = []
    for frame in range(len(wave) // stft.hop_length):
        start = round((frame + 0.5) * stft.hop_length - stft.n_fft / 2)
        frame_samples = [wave[start + i] if 0 <= start + i < len(wave) else 0.0 for i in time]
        frames.append((slow_window(stft.n_fft, stft.window) * frame_samples) @ matrix)
    return np.array(frames)


def any_spectrum(frames: int, stft: STFT, seed: int) -> NDArray[np.complex64]:
    """Noise, real where the transform of a real wave is real. No wave has this STFT."""
    random = np.random.default_rng(seed)
    spectrum = random.normal(size=(frames, stft.bins)) + 1j * random.normal(size=(frames, stft.bins))
    spectrum[:, 0] = spectrum[:, 0].real
    if stft.n_fft % 2 == 0:
        spectrum[:, -1] = spectrum[:, -1].real
    return spectrum.astype(np.complex64)


# Forward


@pytest.mark.parametrize("stft", SMALL, ids=str)
@pytest.mark.parametrize("frames", [1, 2, 5])
def test_forward_equals_the_definition(stft: STFT, frames: int) -> None:
    wave = noise(frames * stft.hop_length, 8000)
    before = wave.copy()
    fast, slow = stft.forward(wave), slow_stft(wave, stft)
    assert fast.shape == slow.shape == (frames, stft.bins) and fast.dtype == np.complex64
    assert np.abs(fast - slow).max() < 1e-6 * np.sqrt(stft.n_fft)
    assert np.array_equal(wave, before), "the argument is modified"


@pytest.mark.parametrize("n_fft", [16, 45, 256, 2048])
def test_gaussian_window_ends_at_one_percent(n_fft: int) -> None:
    stft = STFT(n_fft, n_fft // (3 if n_fft % 2 else 4), "gaussian")
    assert stft.window_values.dtype == np.float32 and stft.window_values.shape == (n_fft,)
    assert stft.window_values[0] == pytest.approx(0.01, rel=1e-3)
    np.testing.assert_allclose(stft.window_values, slow_window(n_fft, "gaussian"), rtol=1e-5)
    if n_fft % 2 == 0:
        assert stft.window_values[n_fft // 2] == 1, "the peak"


def test_gaussian_spread_is_closest_to_a_hann_window() -> None:
    time = np.arange(-4096, 4096) / 4096
    hann = np.where(np.abs(time) < 0.5, np.cos(np.pi * time) ** 2, 0)
    spreads = np.linspace(0.2, 0.3, 201)
    distances = [np.linalg.norm(hann - np.exp(-np.pi * time**2 / spread)) for spread in spreads]
    assert STFT(4096, 1024).time_frequency_ratio == pytest.approx(spreads[np.argmin(distances)], rel=0.005)


@given(transforms, st.integers(0, 15))
def test_frames_are_centered_half_a_hop_in(stft: STFT, frame: int) -> None:
    assume(stft.n_fft % 2 == 0)  # otherwise the center lies between two samples
    spectrum = stft.forward(click(16 * stft.hop_length, 8000, frame * stft.hop_length + stft.hop_length // 2))
    assert np.abs(spectrum).sum(axis=1).argmax() == frame
    # A pulse at the window's center: full height, and phase pi times the bin, that is alternating signs.
    np.testing.assert_allclose(spectrum[frame], (-1.0) ** np.arange(stft.bins), atol=1e-5)


@given(transforms, st.floats(0.1, 0.9), st.floats(0, 6.28))
def test_sine_gain_is_the_magnitude_of_a_full_scale_sine(stft: STFT, position: float, start: float) -> None:
    edge = 2 if stft.window == "hann" else 3
    bin_ = edge + round(position * (stft.n_fft // 2 - 2 * edge))
    wave = sine(32 * stft.hop_length, stft.n_fft, bin_, level=1, start=start)  # a rate of n_fft makes the bins whole Hz
    magnitudes = np.abs(stft.forward(wave))[8:-8]
    assert (magnitudes.argmax(axis=1) == bin_).all()
    # A truncated Gaussian window leaks a little of the mirrored, negative frequency.
    np.testing.assert_allclose(
        magnitudes[:, bin_], stft.full_scale_magnitude, rtol=1e-4 if stft.window == "hann" else 5e-3
    )


@pytest.mark.parametrize("n_fft", [48, 256, 2048])
def test_sine_gain_is_half_the_sum_of_the_window(n_fft: int) -> None:
    assert STFT(n_fft, n_fft // 4).full_scale_magnitude == pytest.approx(n_fft / 4, rel=1e-6), (
        "a Hann window's mean is 1/2"
    )
    gaussian = slow_window(n_fft, "gaussian").sum()
    assert STFT(n_fft, n_fft // 4, "gaussian").full_scale_magnitude == pytest.approx(gaussian / 2, rel=1e-6)


# Inverse


@given(transforms, st.integers(1, 20), seeds)
def test_inverse_restores_the_wave(stft: STFT, frames: int, seed: int) -> None:
    wave = noise(frames * stft.hop_length, 8000, seed)
    back = stft.inverse(stft.forward(wave))
    assert back.shape == wave.shape and back.dtype == np.float32
    assert np.abs(back - wave).max() < 4e-6, "at the ends, too"


@given(transforms, st.integers(1, 12), seeds)
def test_inverse_is_the_least_squares_wave(stft: STFT, frames: int, seed: int) -> None:
    """Least squares: the residual is orthogonal to the STFT of any wave (Griffin and Lim 1984)."""
    spectrum = any_spectrum(frames, stft, seed)
    residual = spectrum - stft.forward(stft.inverse(spectrum))
    other = stft.forward(noise(frames * stft.hop_length, 8000, seed ^ 1))
    mirrored = np.full(stft.bins, 2.0)  # a bin counts for itself and its mirror image
    mirrored[0] = 1
    if stft.n_fft % 2 == 0:
        mirrored[-1] = 1
    product = (mirrored * residual * other.conj()).real.sum()
    assert abs(product) < 1e-5 * np.linalg.norm(spectrum) * np.linalg.norm(other)


@given(transforms, st.integers(1, 12))
def test_gain_is_one_over_the_sum_of_squared_windows(stft: STFT, frames: int) -> None:
    squares = np.zeros(frames * stft.hop_length + 2 * stft.n_fft)
    for frame in range(frames):
        start = stft.n_fft + round((frame + 0.5) * stft.hop_length - stft.n_fft / 2)
        squares[start : start + stft.n_fft] += slow_window(stft.n_fft, stft.window) ** 2
    gain = stft.gain(frames)
    assert gain.shape == (frames * stft.hop_length,) and gain.dtype == np.float32
    np.testing.assert_allclose(gain * squares[stft.n_fft : -stft.n_fft], 1, rtol=2e-5)


@given(transforms, st.integers(1, 12), seeds)
def test_inverse_accepts_another_gain(stft: STFT, frames: int, seed: int) -> None:
    spectrum = any_spectrum(frames, stft, seed)
    before = spectrum.copy()
    default, gain = stft.inverse(spectrum), stft.gain(frames)
    assert np.array_equal(stft.inverse(spectrum, gain), default)
    factors = np.random.default_rng(seed).choice([0.0, 0.5, 1.0], gain.shape).astype(np.float32)
    np.testing.assert_allclose(stft.inverse(spectrum, factors * gain), factors * default, rtol=1e-5)
    assert np.array_equal(spectrum, before), "the argument is modified"


# Errors


@given(st.integers(-4, 64), st.integers(-4, 64), st.sampled_from(["hann", "gaussian"]))
@settings(max_examples=300)
def test_stft_accepts_exactly_the_hops_that_fit(n_fft: int, hop_length: int, window: Window) -> None:
    if hop_length > 0 and n_fft in range(2 * hop_length, 65, hop_length) and (n_fft - hop_length) % 2 == 0:
        stft = STFT(n_fft, hop_length, window)
        wave = noise(3 * hop_length, 8000)
        assert stft.overlap * hop_length == n_fft and stft.padding == (n_fft - hop_length) / 2
        np.testing.assert_allclose(stft.inverse(stft.forward(wave)), wave, atol=1e-5)
    else:
        with pytest.raises(ValueError, match="hop_length must divide n_fft at least twice"):
            STFT(n_fft, hop_length, window)


@pytest.mark.parametrize(
    "n_fft, hop_length", [(256, 0), (256, -64), (256, 100), (256, 256), (256, 512), (6, 3), (0, 0)]
)
def test_stft_rejects_impossible_hops(n_fft: int, hop_length: int) -> None:
    with pytest.raises(
        ValueError, match="hop_length must divide n_fft at least twice, and n_fft - hop_length must be even"
    ):
        STFT(n_fft, hop_length)


def test_stft_rejects_unknown_windows_and_partial_hops() -> None:
    with pytest.raises(ValueError, match="window = 'kaiser': must be one of hann, gaussian"):
        STFT(64, 16, "kaiser")  # type: ignore[arg-type]
    for samples in (0, 7, 33):
        with pytest.raises(ValueError, match=f"a wave of {samples} samples is not a whole number of hops of 16"):
            STFT(64, 16).forward(np.zeros(samples, np.float32))
