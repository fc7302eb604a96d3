"""Spectrograms and waves: how a sound becomes a picture that a network can learn, and a sound again.

The same code serves training and playing. A `Representation` holds every number of it and travels in the model folder.
"""

from __future__ import annotations

from functools import cached_property
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, model_validator
from scipy import sparse

from soundgan.spectral.phase_retrieval import QUALITIES, Quality, retrieve
from soundgan.spectral.stft import STFT, Window

Scale = Literal["mel", "linear"]
Wave = NDArray[np.float32]
Spectrogram = NDArray[np.float32]


class Representation(BaseModel):
    """How sounds are painted: STFT, bands and levels. Immutable and whole; a model is never played with another one.

    Frame `k` of a spectrogram is centred at `(k + 0.5) * hop_length` samples, so `frames` frames stand for exactly
    `frames * hop_length` samples. Levels are in dBFS: a full-scale sine is 0 dB in its bin of the STFT, and a band is the mean
    power of its bins.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    sample_rate: int = Field(gt=0, description="Sample rate, in Hz.")
    n_fft: int = Field(ge=16, description="Window length, in samples.")
    hop_length: int = Field(ge=1, description="Step between frames, in samples; divides n_fft at least twice.")
    bands: int = Field(ge=2, description="Rows of a spectrogram, low frequencies first.")
    frames: int = Field(ge=1, description="Columns of a spectrogram.")
    scale: Scale = Field(description="Spacing of the bands over frequency.")
    window: Window = Field(default="hann", description="Shape of the window.")
    floor_db: float = Field(
        allow_inf_nan=False, description="Level painted as -1 and below; played as silence. In dBFS."
    )
    ceiling_db: float = Field(allow_inf_nan=False, description="Level painted as +1. In dBFS.")

    @model_validator(mode="after")
    def _consistent(self) -> Representation:
        STFT(self.n_fft, self.hop_length, self.window)  # says what is wrong with them
        if not 0 < self.ceiling_db - self.floor_db <= 300:
            raise ValueError("ceiling_db must be above floor_db, by at most 300 dB")
        return self

    @property
    def samples(self) -> int:
        """Length of a sound, in samples."""
        return self.frames * self.hop_length

    @property
    def duration(self) -> float:
        """Length of a sound, in s."""
        return self.samples / self.sample_rate

    @property
    def shape(self) -> tuple[int, int]:
        """Shape of a spectrogram: (bands, frames)."""
        return self.bands, self.frames

    @cached_property
    def stft(self) -> STFT:
        return STFT(self.n_fft, self.hop_length, self.window)

    @cached_property
    def band_centers(self) -> NDArray[np.float64]:
        """Centre frequency of every band, in Hz: from the first bin above 0 Hz up to half the sample rate."""
        lowest, highest = self.sample_rate / self.n_fft, self.sample_rate / 2
        if self.scale == "linear":
            return np.linspace(lowest, highest, self.bands)
        return _mel_to_hz(np.linspace(_hz_to_mel(lowest), _hz_to_mel(highest), self.bands))

    @cached_property
    def band_weights(self) -> sparse.csr_array:
        """(bands, bins) averaging weights: triangles between neighbouring centres, never narrower than one bin."""
        bin_width = self.sample_rate / self.n_fft
        gaps = np.diff(self.band_centers)
        below = np.maximum(np.concatenate([gaps[:1], gaps]), bin_width)[:, None]
        above = np.maximum(np.concatenate([gaps, gaps[-1:]]), bin_width)[:, None]
        distance = self._bin_frequencies[None, :] - self.band_centers[:, None]
        weights = np.clip(1 - np.where(distance < 0, -distance / below, distance / above), 0, None)
        weights[:, 0] = 0  # 0 Hz is not painted
        return sparse.csr_array((weights / weights.sum(axis=1, keepdims=True)).astype(np.float32))

    @cached_property
    def bin_weights(self) -> sparse.csr_array:
        """(bins, bands) weights that interpolate between the two bands around every bin."""
        centres, frequencies = self.band_centers, self._bin_frequencies
        upper = np.clip(np.searchsorted(centres, frequencies), 1, len(centres) - 1)
        share = np.clip((frequencies - centres[upper - 1]) / (centres[upper] - centres[upper - 1]), 0, 1)
        weights = np.zeros((len(frequencies), self.bands), np.float32)
        bins = np.arange(len(frequencies))
        weights[bins, upper - 1], weights[bins, upper] = 1 - share, share
        return sparse.csr_array(weights)

    @property
    def _bin_frequencies(self) -> NDArray[np.float64]:
        return np.arange(self.n_fft // 2 + 1) * self.sample_rate / self.n_fft

    def with_changes(self, **changes: float | str) -> Representation:
        """The same representation with some values changed, checked anew."""
        return Representation.model_validate({**self.model_dump(), **changes})


_CORRECTIONS = 2  # of the bins' levels, after their interpolation; more bring little
_SILENT = np.float32(0.1)  # painted levels this close to the floor (0.4 dB) are silence
_GATE_THRESHOLD = (
    0.04  # of the range of levels (3 dB of 80), above the floor: a frame that is nowhere louder is silence
)
_AT_A_TIME = 1 << 24  # magnitudes that are searched for phases together: 64 MiB of them


def analyze(waves: Wave, representation: Representation) -> Spectrogram:
    """Paint sounds.

    Shape:
        waves (n, samples) or (samples,), any length (cut or padded with silence) → (n, 1, bands, frames), in [-1, 1].

    Raises:
        ValueError: a sample is NaN or infinite.
    """
    return normalize(levels_db(waves, representation), representation)


def synthesize(
    spectrograms: Spectrogram,
    representation: Representation,
    *,
    quality: Quality = "balanced",
    threads: int | None = None,
) -> Wave:
    """Make sounds of spectrograms: bands to linear bins, phase retrieval, inverse STFT.

    Neither the other spectrograms of a batch nor their order change a sound. Memory grows by the waves alone. A frame that
    is nowhere more than 4 % of the range of levels above the floor (3 dB of 80) is silence.

    Args:
        quality: "fast", "balanced" or "best"; docs/benchmarks/synthesis.md has what they cost and bring.
        threads: as for `retrieve`.

    Shape:
        (n, 1, bands, frames), (n, bands, frames) or (bands, frames), in [-1, 1] → waves (n, samples), float32.

    Raises:
        ValueError: the spectrograms are of another size, or hold NaN or infinite values; or the quality is unknown.
    """
    if quality not in QUALITIES:
        raise ValueError(f"quality = {quality!r}: must be one of {', '.join(QUALITIES)}")
    spectrograms = np.asarray(spectrograms, np.float32)
    one_channel = spectrograms.ndim < 4 or (spectrograms.ndim == 4 and spectrograms.shape[1] == 1)
    if spectrograms.shape[-2:] != representation.shape or not one_channel:
        raise ValueError(
            f"spectrograms (n, 1, {', '.join(map(str, representation.shape))}) are needed, not {spectrograms.shape}"
        )
    if not np.isfinite(spectrograms).all():
        raise ValueError("the spectrograms hold NaN or infinite values")
    spectrograms = spectrograms.reshape(-1, *representation.shape)
    waves = np.empty((len(spectrograms), representation.samples), np.float32)
    at_a_time = max(1, _AT_A_TIME // (representation.frames * representation.stft.bins))
    for first in range(0, len(spectrograms), at_a_time):
        some = slice(first, first + at_a_time)
        magnitudes = np.empty((len(spectrograms[some]), representation.frames, representation.stft.bins), np.float32)
        for there, spectrogram in zip(magnitudes, spectrograms[some], strict=True):
            there[:] = _bin_magnitudes(spectrogram, representation)
        waves[some] = retrieve(magnitudes, representation.stft, QUALITIES[quality], threads=threads)
    return waves


def levels_db(waves: Wave, representation: Representation) -> NDArray[np.float32]:
    """Level of every band in every frame, in dBFS, not below -200: (n, samples) → (n, bands, frames)."""
    waves = np.atleast_2d(np.asarray(waves, np.float32))
    if not np.isfinite(waves).all():
        raise ValueError("the sound holds NaN or infinite samples")
    fitted = np.zeros((len(waves), representation.samples), np.float32)
    length = min(waves.shape[1], representation.samples)
    fitted[:, :length] = waves[:, :length]
    weights, stft = representation.band_weights, representation.stft
    levels = np.empty((len(waves), *representation.shape), np.float32)
    for level, wave in zip(levels, fitted, strict=True):
        spectrum = stft.forward(wave)
        power = (spectrum.real**2 + spectrum.imag**2) / stft.sine_gain**2
        level[:] = 10 * np.log10(np.maximum(weights @ np.ascontiguousarray(power.T), 1e-20))
    return levels


def normalize(levels: NDArray[np.float32], representation: Representation) -> Spectrogram:
    """Levels in dBFS, (n, bands, frames), to spectrograms, (n, 1, bands, frames): floor to -1, ceiling to +1, clipped."""
    span = representation.ceiling_db - representation.floor_db
    return np.clip((levels - representation.floor_db) * (2 / span) - 1, -1, 1).astype(np.float32)[:, None]


def _bin_magnitudes(spectrogram: Spectrogram, representation: Representation) -> NDArray[np.float32]:
    """(bands, frames) spectrogram → (frames, bins) magnitudes whose bands have the painted levels.

    Levels (here the logarithm of power over the floor's) are interpolated between the bands, and then corrected by what
    the bands of the outcome lack.
    """
    span_db = representation.ceiling_db - representation.floor_db
    painted = np.clip(spectrogram, -1, 1) + 1
    # Recordings end in silence, Generators in a faint haze, which took half as long again to be brought to sound.
    painted[:, painted.max(axis=0) < 2 * _GATE_THRESHOLD] = 0
    painted *= np.float32(span_db / 20 * np.log(10))
    silent = painted < _SILENT
    levels = painted
    power = _bin_power(levels, representation)
    for _ in range(_CORRECTIONS):
        reached = np.log(np.maximum(representation.band_weights @ power, np.float32(1e-3)))
        lacking = np.where(silent, 0, painted - reached)
        if np.abs(lacking).max() < _SILENT:
            break
        levels = np.maximum(levels + lacking, 0)
        power = _bin_power(levels, representation)
    gain = 10 ** (representation.floor_db / 20) * representation.stft.sine_gain
    return np.sqrt(power.T) * np.float32(gain)


def _bin_power(levels: NDArray[np.float32], representation: Representation) -> NDArray[np.float32]:
    """(bands, frames) → (bins, frames), over the floor's. The floor's own is taken off: a painted floor is silence."""
    power = np.exp(representation.bin_weights @ levels)
    power -= 1
    power[0] = 0  # 0 Hz is not painted
    return power


def _hz_to_mel(frequency: float) -> float:
    return float(2595 * np.log10(1 + frequency / 700))


def _mel_to_hz(mel: NDArray[np.float64]) -> NDArray[np.float64]:
    return 700 * (10 ** (mel / 2595) - 1)
