"""Log-mel pictures of waves, for those that judge sounds.

On purpose independent of `soundgan.spectral.representation`: what the way from spectrogram to wave spoils, it shows spoilt.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import scipy.fft
from numpy.typing import NDArray

Floats = NDArray[np.float32]
Waves = Sequence[Floats]

_CHUNK = 2**20  # samples turned to pictures in one go, so that their frames take some 50 MB


def fitted(wave: Floats, samples: int) -> Floats:
    """A wave cut, or padded with silence at its end. Shape: (any,) → (samples,)."""
    return np.pad(wave[:samples], (0, max(0, samples - len(wave))))


@dataclass(frozen=True)
class LogMel:
    """What judges hear of a wave: mel bands in dB below the loudest cell of the sound.

    Attributes:
        sample_rate: Hz, of the waves handed in.
        seconds: length that every sound is padded or cut to.
        bands: mel bands between 0 Hz and half the sample rate.
        range_db: dB below the loudest cell where silence begins.
    """

    sample_rate: int
    seconds: float
    bands: int = 40
    range_db: float = 70.0

    @property
    def samples(self) -> int:
        """Samples of a padded or cut sound."""
        return round(self.seconds * self.sample_rate)

    def fit(self, wave: Floats) -> Floats:
        """Pads with silence, or cuts, at the end. Shape: (any,) → (samples,)."""
        return fitted(wave, self.samples).astype(np.float32)

    def pictures(self, waves: Waves) -> Floats:
        """Pictures of sounds of any lengths, in dB above silence. Shape: n waves (any,) → (n, bands, frames)."""
        step = max(1, _CHUNK // self.samples)
        fitted = ([self.fit(wave) for wave in waves[first : first + step]] for first in range(0, len(waves), step))
        parts = [self.picture(np.stack(some))[:, 0] for some in fitted]
        return (np.concatenate(parts) + 1) * np.float32(self.range_db / 2)

    def picture(self, waves: Floats) -> Floats:
        """Log-mel pictures by a 32 ms Hann window every 10 ms, the same for a sound at any loudness.

        Shape: (n, samples) → (n, 1, bands, frames), in [-1, 1]; silence is -1 throughout.
        """
        window, hop_length = round(0.032 * self.sample_rate), round(0.010 * self.sample_rate)
        padded = np.pad(waves, ((0, 0), (window // 2, window // 2)))
        frames = np.lib.stride_tricks.sliding_window_view(padded, window, axis=1)[:, ::hop_length]
        size: Any = scipy.fft.next_fast_len(window, real=True)  # 1411 samples at 44.1 kHz are 17 × 83
        spectra: Any = scipy.fft.rfft(frames * np.hanning(window).astype(np.float32), size, axis=2)
        mel = (spectra.real**2 + spectra.imag**2) @ _mel_triangles(self.sample_rate, size, self.bands)
        decibels = 10 * np.log10(np.maximum(mel, 1e-20))
        # -90 dB of a full-scale sound counts as the loudest cell of near-silence, so that rounding noise stays dark.
        loudest = np.maximum(decibels.max(axis=(1, 2), keepdims=True), 20 * np.log10(window / 4) - 90)
        pictures = np.clip((decibels - loudest) / self.range_db + 1, 0, 1) * 2 - 1
        return np.ascontiguousarray(pictures.swapaxes(1, 2)[:, None], dtype=np.float32)


def _mel_triangles(sample_rate: int, size: int, bands: int) -> Floats:
    """Triangles equally spaced on O'Shaughnessy's mel scale. Shape: (size // 2 + 1, bands)."""
    top = 2595 * np.log10(1 + sample_rate / 2 / 700)
    edges = 700 * (10 ** (np.linspace(0, top, bands + 2) / 2595) - 1)
    hertz = np.fft.rfftfreq(size, 1 / sample_rate)[:, None]
    rising = (hertz - edges[:-2]) / (edges[1:-1] - edges[:-2])
    falling = (edges[2:] - hertz) / (edges[2:] - edges[1:-1])
    return np.maximum(0, np.minimum(rising, falling)).astype(np.float32)
