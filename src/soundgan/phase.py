"""STFT, inverse STFT, and the phase that a painting does not hold.

All spectra here are (frames, bins) so that a frame is contiguous; one sound fits into the processor's cache.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from numpy.typing import NDArray
from scipy import fft

# Width of a Gaussian that is closest to a Hann window of length L: gamma = 0.25645 L² (Průša 2017, table I).
_HANN_GAMMA = 0.25645


def stft(wave: NDArray[np.float32], n_fft: int, hop: int) -> NDArray[np.complex64]:
    """Short-time Fourier transform with a periodic Hann window.

    The wave is padded by (n_fft - hop) / 2 zeros on both sides: frame k is centred at (k + 0.5) * hop.

    Shape:
        (samples,) with samples a multiple of hop → (samples / hop, n_fft / 2 + 1), not scaled.
    """
    padding = (n_fft - hop) // 2
    padded = np.zeros(len(wave) + 2 * padding, np.float32)
    padded[padding : padding + len(wave)] = wave
    frames = np.lib.stride_tricks.sliding_window_view(padded, n_fft)[::hop]
    return np.asarray(fft.rfft(frames * _window(n_fft), axis=-1), np.complex64)


def istft(spectrum: NDArray[np.complex64], n_fft: int, hop: int) -> NDArray[np.float32]:
    """Least-squares inverse of `stft` (Griffin & Lim 1984): (frames, n_fft / 2 + 1) → (frames * hop,)."""
    count = len(spectrum)
    pieces = np.asarray(fft.irfft(spectrum, n_fft, axis=-1), np.float32) * _window(n_fft)
    overlap = n_fft // hop
    padding = (n_fft - hop) // 2
    summed = _overlap_add(pieces.reshape(count, overlap, hop))
    return summed[padding : padding + count * hop] / _overlap_gain(n_fft, hop, count)


def retrieve(magnitudes: NDArray[np.float32], n_fft: int, hop: int, *, iterations: int = 16) -> NDArray[np.float32]:
    """Find a wave whose STFT has the given magnitudes.

    The start follows the phase derivative in time, read off the log-magnitudes (Průša et al. 2017, eq. 14, integrated
    along time alone); fast Griffin-Lim iterations (Perraudin et al. 2013, alpha 0.99) then make the frames agree.

    Shape:
        magnitudes (frames, n_fft / 2 + 1), finite and not negative → wave (frames * hop,).
    """
    estimate = _polar(magnitudes, _integrated_phase(magnitudes, n_fft, hop))
    momentum = np.float32(0.99)
    previous = None
    for _ in range(iterations):
        consistent = stft(istft(estimate, n_fft, hop), n_fft, hop)
        moved = (
            consistent
            if previous is None
            else np.add(consistent, momentum * (consistent - previous), dtype=np.complex64)
        )
        previous = consistent
        estimate = _with_magnitude(moved, magnitudes)
    return istft(estimate, n_fft, hop)


def sine_gain(n_fft: int) -> float:
    """Magnitude that a full-scale sine has in its bin of `stft`."""
    return float(_window(n_fft).sum()) / 2


def _integrated_phase(magnitudes: NDArray[np.float32], n_fft: int, hop: int) -> NDArray[np.float32]:
    bins = magnitudes.shape[1]
    log = np.log(np.maximum(magnitudes, magnitudes.max(initial=0.0) * 1e-7 + 1e-30))
    slope = np.gradient(log, axis=1)
    gamma = _HANN_GAMMA * n_fft**2
    advance = 2 * np.pi * hop / n_fft * np.arange(bins) + hop * n_fft / gamma * slope
    steps = (advance[1:] + advance[:-1]) / 2
    # Windows are centred: a pulse in the middle of the first frame has phase pi * bin.
    phase = np.empty(magnitudes.shape)
    phase[0] = np.pi * (np.arange(bins) % 2)
    np.cumsum(steps, axis=0, out=phase[1:])
    phase[1:] += phase[0]
    return np.remainder(phase, 2 * np.pi).astype(np.float32)


def _polar(magnitudes: NDArray[np.float32], phase: NDArray[np.float32]) -> NDArray[np.complex64]:
    spectrum = np.empty(magnitudes.shape, np.complex64)
    spectrum.real = magnitudes * np.cos(phase)
    spectrum.imag = magnitudes * np.sin(phase)
    return spectrum


def _with_magnitude(spectrum: NDArray[np.complex64], magnitudes: NDArray[np.float32]) -> NDArray[np.complex64]:
    size = np.sqrt(spectrum.real**2 + spectrum.imag**2)
    return spectrum * (magnitudes / np.maximum(size, np.float32(1e-20)))


def _overlap_add(pieces: NDArray[np.float32]) -> NDArray[np.float32]:
    """(frames, overlap, hop) → ((frames + overlap - 1) * hop,)."""
    count, overlap, hop = pieces.shape
    summed = np.zeros((count + overlap - 1, hop), np.float32)
    for shift in range(overlap):
        summed[shift : shift + count] += pieces[:, shift]
    return summed.reshape(-1)


@lru_cache(maxsize=16)
def _window(n_fft: int) -> NDArray[np.float32]:
    return (0.5 - 0.5 * np.cos(2 * np.pi * np.arange(n_fft) / n_fft)).astype(np.float32)


@lru_cache(maxsize=32)
def _overlap_gain(n_fft: int, hop: int, frames: int) -> NDArray[np.float32]:
    """Sum of the squared windows over every sample of the sound."""
    squared = np.broadcast_to((_window(n_fft) ** 2).reshape(1, n_fft // hop, hop), (frames, n_fft // hop, hop))
    padding = (n_fft - hop) // 2
    return _overlap_add(squared)[padding : padding + frames * hop]
