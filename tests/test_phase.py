"""The STFT is the textbook's, its inverse is exact, and phases are found that fit the magnitudes."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from soundgan import phase

# n_fft, hop: 50 %, 67 %, 75 % and 87.5 % overlap.
WINDOWS = [(16, 8), (48, 16), (64, 16), (256, 128), (512, 64), (1024, 256)]
RATE = 16_000


def slow_stft(wave: NDArray[np.float32], n_fft: int, hop: int) -> NDArray[np.complex128]:
    """The definition, term by term: windowed pieces of the wave times a DFT matrix."""
    time = np.arange(n_fft)
    window = np.sin(np.pi * time / n_fft) ** 2
    matrix = np.exp(-2j * np.pi * np.outer(time, np.arange(n_fft // 2 + 1)) / n_fft)
    frames = []
    for frame in range(len(wave) // hop):
        start = round((frame + 0.5) * hop - n_fft / 2)
        piece = [wave[start + i] if 0 <= start + i < len(wave) else 0.0 for i in time]
        frames.append((window * piece) @ matrix)
    return np.array(frames)


def noise(samples: int, seed: int = 0) -> NDArray[np.float32]:
    return np.random.default_rng(seed).normal(0, 0.2, samples).astype(np.float32)


def sounds(samples: int) -> dict[str, NDArray[np.float32]]:
    time = np.arange(samples) / RATE
    sweep = 2 * np.pi * (100 * time + 2000 * time**2)
    kick = np.sin(2 * np.pi * (50 * time - 5 * np.exp(-time / 0.03))) * np.exp(-time / 0.15)
    click = np.zeros(samples)
    click[samples // 2 + 37] = 1
    waves = {"kick": kick, "tone": np.sin(2 * np.pi * 440 * time), "chirp": np.sin(sweep), "click": click}
    return {name: wave.astype(np.float32) for name, wave in waves.items()} | {"noise": noise(samples)}


def fit_db(wave: NDArray[np.float32], magnitudes: NDArray[np.float32], n_fft: int, hop: int) -> float:
    """Spectral convergence: how far the misfit of the magnitudes lies below them, in dB."""
    misfit = np.abs(phase.stft(wave, n_fft, hop)) - magnitudes
    return float(20 * np.log10(np.linalg.norm(magnitudes) / np.linalg.norm(misfit)))


# STFT and back


@pytest.mark.parametrize("n_fft, hop", WINDOWS[:4])
@pytest.mark.parametrize("frames", [1, 2, 5])
def test_stft_is_its_definition(n_fft: int, hop: int, frames: int) -> None:
    wave = noise(frames * hop)
    fast, slow = phase.stft(wave, n_fft, hop), slow_stft(wave, n_fft, hop)
    assert fast.shape == slow.shape == (frames, n_fft // 2 + 1) and fast.dtype == np.complex64
    assert np.abs(fast - slow).max() < 1e-5 * np.sqrt(n_fft)


@given(window=st.sampled_from(WINDOWS), frames=st.integers(1, 20), seed=st.integers(0, 2**32 - 1))
@settings(deadline=None)
def test_stft_comes_back(window: tuple[int, int], frames: int, seed: int) -> None:
    wave = noise(frames * window[1], seed)
    back = phase.istft(phase.stft(wave, *window), *window)
    assert back.shape == wave.shape and back.dtype == np.float32
    assert np.abs(back - wave).max() < 2e-6, "at the ends, too"


@given(window=st.sampled_from(WINDOWS[:4]), frames=st.integers(2, 12), seed=st.integers(0, 2**32 - 1))
@settings(deadline=None)
def test_the_inverse_is_the_closest_wave(window: tuple[int, int], frames: int, seed: int) -> None:
    """Least squares: what the wave does not explain stands at right angles to every wave's STFT (Griffin & Lim)."""
    n_fft, hop = window
    random = np.random.default_rng(seed)
    spectrum = random.normal(size=(frames, n_fft // 2 + 1)) + 1j * random.normal(size=(frames, n_fft // 2 + 1))
    spectrum[:, [0, -1]] = spectrum[:, [0, -1]].real  # what the transform of a real wave has there
    spectrum = spectrum.astype(np.complex64)
    rest = spectrum - phase.stft(phase.istft(spectrum, n_fft, hop), n_fft, hop)
    other = phase.stft(noise(frames * hop, seed ^ 1), n_fft, hop)
    twice = np.full(n_fft // 2 + 1, 2.0)  # a bin stands for itself and its mirror
    twice[[0, -1]] = 1
    product = (twice * rest * other.conj()).real.sum()
    assert abs(product) < 1e-5 * np.linalg.norm(spectrum) * np.linalg.norm(other)


@given(st.sampled_from(WINDOWS), st.integers(0, 7))
def test_frames_are_centred_half_a_hop_in(window: tuple[int, int], frame: int) -> None:
    n_fft, hop = window
    wave = np.zeros(8 * hop, np.float32)
    wave[frame * hop + hop // 2] = 1
    spectrum = phase.stft(wave, n_fft, hop)
    assert np.abs(spectrum).sum(1).argmax() == frame
    # A pulse at the window's centre: full height, and phase pi times the bin, that is alternating signs.
    np.testing.assert_allclose(spectrum[frame], (-1.0) ** np.arange(n_fft // 2 + 1), atol=1e-5)


@given(st.sampled_from(WINDOWS), st.data())
def test_a_full_scale_sine_has_the_sine_gain_in_its_bin(window: tuple[int, int], data: st.DataObject) -> None:
    n_fft, hop = window
    bin_, start = data.draw(st.integers(2, n_fft // 2 - 2)), data.draw(st.floats(0, 6))
    samples = np.arange(24 * hop)
    wave = np.sin(2 * np.pi * bin_ * samples / n_fft + start).astype(np.float32)
    middle = np.abs(phase.stft(wave, n_fft, hop))[8:-8]
    np.testing.assert_allclose(middle[:, bin_], phase.sine_gain(n_fft), rtol=1e-4)
    assert phase.sine_gain(n_fft) == pytest.approx(n_fft / 4, rel=1e-6), "half the sum of a Hann window"


# Phase retrieval


@pytest.mark.parametrize("n_fft, hop", [(256, 128), (1024, 256)])
def test_the_start_is_better_than_no_phase(n_fft: int, hop: int) -> None:
    for name, wave in sounds(40 * hop).items():
        magnitudes = np.abs(phase.stft(wave, n_fft, hop))
        start = fit_db(phase.retrieve(magnitudes, n_fft, hop, iterations=0), magnitudes, n_fft, hop)
        without = fit_db(phase.istft(magnitudes.astype(np.complex64), n_fft, hop), magnitudes, n_fft, hop)
        assert start > without + 2, name


# Measured spectral convergence in dB, less a margin of some 3 dB. Pulses are the start's weak point at 75 % overlap.
FITS = {
    (256, 128): {"kick": 23, "tone": 28, "chirp": 18, "click": 24, "noise": 20},
    (1024, 256): {"kick": 12, "tone": 29, "chirp": 13, "click": 7, "noise": 13},
}


@pytest.mark.parametrize("window", FITS)
def test_the_found_phases_fit_the_magnitudes(window: tuple[int, int]) -> None:
    for name, wave in sounds(40 * window[1]).items():
        magnitudes = np.abs(phase.stft(wave, *window))
        found = phase.retrieve(magnitudes, *window)
        assert found.shape == wave.shape and found.dtype == np.float32 and np.isfinite(found).all()
        assert fit_db(found, magnitudes, *window) > FITS[window][name], name


def test_a_steady_tone_keeps_its_pitch_and_level() -> None:
    n_fft, hop = 1024, 256
    samples = np.arange(64 * hop)
    for hertz in (200.0, 440.0, 1234.5, 5000.0):
        wave = (0.5 * np.sin(2 * np.pi * hertz * samples / RATE)).astype(np.float32)
        found = phase.retrieve(np.abs(phase.stft(wave, n_fft, hop)), n_fft, hop)[4 * hop : -4 * hop]
        spectrum = np.abs(np.fft.rfft(found * np.hanning(found.size), 8 * found.size))
        assert spectrum.argmax() * RATE / (8 * found.size) == pytest.approx(hertz, abs=1.0)
        assert np.sqrt(2 * (found**2).mean()) == pytest.approx(0.5, rel=0.03)


def test_retrieval_is_deterministic_and_leaves_its_argument_alone() -> None:
    magnitudes = np.abs(phase.stft(noise(32 * 64), 256, 64))
    before = magnitudes.copy()
    first = phase.retrieve(magnitudes, 256, 64)
    assert np.array_equal(first, phase.retrieve(np.asfortranarray(magnitudes), 256, 64))
    assert np.array_equal(first, phase.retrieve(magnitudes, 256, 64)) and np.array_equal(magnitudes, before)


@given(window=st.sampled_from(WINDOWS[:4]), frames=st.integers(1, 8), iterations=st.integers(0, 3))
@settings(deadline=None)
def test_silence_is_exact_silence(window: tuple[int, int], frames: int, iterations: int) -> None:
    silence = np.zeros((frames, window[0] // 2 + 1), np.float32)
    assert not phase.retrieve(silence, *window, iterations=iterations).any()


@given(
    window=st.sampled_from(WINDOWS[:4]),
    frames=st.integers(1, 8),
    seed=st.integers(0, 2**32 - 1),
    span=st.floats(0, 12),
)
@settings(deadline=None)
def test_any_magnitudes_give_a_finite_wave(window: tuple[int, int], frames: int, seed: int, span: float) -> None:
    random = np.random.default_rng(seed)
    magnitudes = 10 ** random.uniform(-span, span / 3, (frames, window[0] // 2 + 1)).astype(np.float32)
    magnitudes *= random.random(magnitudes.shape) < 0.7
    found = phase.retrieve(magnitudes, *window, iterations=4)
    assert found.shape == (frames * window[1],) and np.isfinite(found).all()
    assert (found**2).sum() <= 1.01 * 4 * (magnitudes**2).sum(), "no energy out of nothing"
