"""The short-time Fourier transform (STFT) and its least-squares inverse, in float32.

Spectra are (frames, bins), so that a frame is contiguous in memory.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Literal, get_args

import numpy as np
from numpy.typing import NDArray

from soundgan.spectral.scipy_kernels import irfft, rfft

Floats = NDArray[np.float32]
Spectrum = NDArray[np.complex64]
Window = Literal["hann", "gaussian"]


@dataclass(frozen=True)
class STFT:
    """Short-time Fourier transform with a window of `n_fft` samples, a step of `hop_length` samples, and no scaling.

    Sounds are padded by (n_fft - hop_length) / 2 zeros on both sides: frame k is centered at (k + 0.5) * hop_length,
    and `frames * hop_length` samples are exactly `frames` frames.

    Args:
        n_fft: window length and transform size, in samples.
        hop_length: step between frames, in samples. It divides n_fft at least twice, and n_fft - hop_length is even.
        window: "hann" (periodic), or "gaussian", cut off at 1 % of its peak.

    Raises:
        ValueError: n_fft and hop_length do not fit, or the window is unknown.
    """

    n_fft: int
    hop_length: int
    window: Window = "hann"

    def __post_init__(self) -> None:
        fits = self.hop_length >= 1 and self.n_fft % self.hop_length == 0 and self.overlap >= 2
        if not fits or (self.n_fft - self.hop_length) % 2:
            raise ValueError("hop_length must divide n_fft at least twice, and n_fft - hop_length must be even")
        if self.window not in get_args(Window):
            raise ValueError(f"window = {self.window!r}: must be one of {', '.join(get_args(Window))}")

    @property
    def bins(self) -> int:
        """Frequencies from 0 Hz to half the sample rate."""
        return self.n_fft // 2 + 1

    @property
    def overlap(self) -> int:
        """Overlap factor: windows over each sample."""
        return self.n_fft // self.hop_length

    @property
    def padding(self) -> int:
        """Zeros before the first sample and after the last."""
        return (self.n_fft - self.hop_length) // 2

    @property
    def padding_frames(self) -> int:
        """Frames that a window extends beyond its own hop, on either side."""
        return -(-self.padding // self.hop_length)

    @cached_property
    def window_values(self) -> Floats:
        """The window, (n_fft,)."""
        time = np.arange(self.n_fft) / self.n_fft
        if self.window == "hann":
            return (0.5 - 0.5 * np.cos(2 * np.pi * time)).astype(np.float32)
        return np.exp(-np.pi * (time - 0.5) ** 2 / self.time_frequency_ratio).astype(np.float32)

    @property
    def time_frequency_ratio(self) -> float:
        """Width of the Gaussian exp(-pi (t / n_fft)² / ratio) that equals the window, or is closest to it.

        Průša et al. 2017, table I.
        """
        return 0.25645 if self.window == "hann" else 0.17054

    @cached_property
    def full_scale_magnitude(self) -> float:
        """Magnitude of a full-scale sine in its bin."""
        return float(self.window_values.sum()) / 2

    def forward(self, wave: Floats) -> Spectrum:
        """Return the spectrum of a wave.

        Shape:
            wave (frames * hop_length,) → spectrum (frames, bins)

        Raises:
            ValueError: the length is 0 or no multiple of hop_length.

        Examples:
            >>> tone = np.sin(2 * np.pi * np.arange(1024) / 8).astype(np.float32)  # 1 kHz at 8 kHz
            >>> spectrum = STFT(256, 128).forward(tone)
            >>> spectrum.shape, int(np.abs(spectrum[4]).argmax())  # bins are 31.25 Hz wide
            ((8, 129), 32)
        """
        if not len(wave) or len(wave) % self.hop_length:
            raise ValueError(f"a wave of {len(wave)} samples is not a whole number of hops of {self.hop_length}")
        padded = np.zeros(len(wave) + 2 * self.padding, np.float32)
        padded[self.padding : self.padding + len(wave)] = wave
        frames = np.lib.stride_tricks.sliding_window_view(padded, self.n_fft)[:: self.hop_length]
        return rfft(frames * self.window_values)

    def inverse(self, spectrum: Spectrum, gain: Floats | None = None) -> Floats:
        """Return the wave whose STFT is closest to a spectrum, in least squares (Griffin and Lim 1984, "Signal
        estimation from modified short-time Fourier transform").

        Args:
            gain: factor of each sample after overlap-add, (frames * hop_length,); by default `self.gain(frames)`.

        Shape:
            spectrum (frames, bins) → wave (frames * hop_length,)

        Examples:
            >>> stft = STFT(256, 128)
            >>> wave = np.linspace(-1, 1, 1024, dtype=np.float32)
            >>> bool(np.allclose(stft.inverse(stft.forward(wave)), wave, atol=1e-5))
            True
        """
        windowed = irfft(spectrum, self.n_fft)
        windowed *= self.window_values
        wave = self._overlap_add(windowed)
        wave *= self.gain(len(spectrum)) if gain is None else gain
        return wave

    def gain(self, frames: int) -> Floats:
        """One over the sum of the squared windows that overlap at each sample: (frames * hop_length,)."""
        squared = np.broadcast_to(self.window_values**2, (frames, self.n_fft))
        return np.asarray(1 / self._overlap_add(squared), np.float32)

    def _overlap_add(self, windowed: Floats) -> Floats:
        """(frames, n_fft) → (frames * hop_length,), without the padding."""
        frames = len(windowed)
        windowed = windowed.reshape(frames, self.overlap, self.hop_length)
        summed = np.zeros((frames + self.overlap - 1, self.hop_length), np.float32)
        for shift in range(self.overlap):
            summed[shift : shift + frames] += windowed[:, shift]
        return summed.reshape(-1)[self.padding : self.padding + frames * self.hop_length]
