"""Log-mel spectrograms of waves, for metrics and the classifier.

Independent of `soundgan.spectral.representation` on purpose: metrics and classifier are to measure its artifacts.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import scipy.fft
from numpy.typing import ArrayLike, NDArray

Floats = NDArray[np.float32]
Waves = Sequence[Floats]

CHUNK_SAMPLES = 2**20  # transformed at a time, so that their frames need about 50 MB


def pad_or_cut(wave: Floats, samples: int) -> Floats:
    """Wave cut, or padded with silence, at its end. Shape: (any,) → (samples,)."""
    return np.pad(wave[:samples], (0, max(0, samples - len(wave))))


def pad_to_frames(wave: ArrayLike, hop_length: int) -> NDArray[np.float64]:
    """Wave padded with silence to whole frames. Shape: (any,) → (frames · hop_length,)."""
    samples = np.asarray(wave, np.float64)
    return np.pad(samples, (0, -len(samples) % hop_length))


@dataclass(frozen=True)
class LogMel:
    """Log-mel spectrogram in dB relative to the loudest bin of the sound.

    Attributes:
        sample_rate: of the waves, in Hz.
        seconds: length that every sound is padded or cut to.
        bands: mel bands between 0 Hz and half the sample rate.
        range_db: dB below the loudest bin that count as silence.
    """

    sample_rate: int
    seconds: float
    bands: int = 40
    range_db: float = 70.0

    @property
    def samples(self) -> int:
        """Samples of a padded or cut sound."""
        return round(self.seconds * self.sample_rate)

    @property
    def band_centers(self) -> NDArray[np.float64]:
        """Center frequency of every band, in Hz."""
        return _mel_edges(self.sample_rate, self.bands)[1:-1]

    def levels(self, waves: Waves) -> Floats:
        """Levels of sounds of any lengths, in dB above silence. Shape: n waves (any,) → (n, bands, frames)."""
        return (self.spectrograms(waves) + 1) * np.float32(self.range_db / 2)

    def spectrograms(self, waves: Waves) -> Floats:
        """Log-mel spectrograms with a 32 ms Hann window every 10 ms, independent of the loudness.

        Shape: n waves (any,) → (n, bands, frames), in [-1, 1]; silence is -1 throughout.
        """
        step = max(1, CHUNK_SAMPLES // self.samples)
        return np.concatenate([self._chunk(waves[start : start + step]) for start in range(0, len(waves), step)])

    def _chunk(self, waves: Waves) -> Floats:
        sounds = np.stack([pad_or_cut(wave, self.samples) for wave in waves], dtype=np.float32)
        window, hop_length = round(0.032 * self.sample_rate), round(0.010 * self.sample_rate)
        padded = np.pad(sounds, ((0, 0), (window // 2, window // 2)))
        frames = np.lib.stride_tricks.sliding_window_view(padded, window, axis=1)[:, ::hop_length]
        n_fft: Any = scipy.fft.next_fast_len(window, real=True)  # 1411 samples at 44.1 kHz are 17 × 83
        spectra: Any = scipy.fft.rfft(frames * np.hanning(window).astype(np.float32), n_fft, axis=2)
        mel = (spectra.real**2 + spectra.imag**2) @ _mel_filters(self.sample_rate, n_fft, self.bands)
        decibels = 10 * np.log10(np.maximum(mel, 1e-20))
        # The reference is at least -90 dB of a full-scale sound, so that rounding noise is silence.
        loudest = np.maximum(decibels.max(axis=(1, 2), keepdims=True), 20 * np.log10(window / 4) - 90)
        spectrograms = np.clip((decibels - loudest) / self.range_db + 1, 0, 1) * 2 - 1
        return np.ascontiguousarray(spectrograms.swapaxes(1, 2), dtype=np.float32)


def _mel_edges(sample_rate: int, bands: int) -> NDArray[np.float64]:
    """Edges of filters, equally spaced on O'Shaughnessy's mel scale, in Hz. Shape: (bands + 2,)."""
    top = 2595 * np.log10(1 + sample_rate / 2 / 700)
    return 700 * (10 ** (np.linspace(0, top, bands + 2) / 2595) - 1)


def _mel_filters(sample_rate: int, n_fft: int, bands: int) -> Floats:
    """Triangular filters. Shape: (n_fft // 2 + 1, bands)."""
    edges = _mel_edges(sample_rate, bands)
    hertz = np.fft.rfftfreq(n_fft, 1 / sample_rate)[:, None]
    rising = (hertz - edges[:-2]) / (edges[1:-1] - edges[:-2])
    falling = (edges[2:] - hertz) / (edges[2:] - edges[1:-1])
    return np.maximum(0, np.minimum(rising, falling)).astype(np.float32)
