"""Waves to log spectrograms, and back.

Training and inference share this code. A `Representation` holds all its parameters, and is part of the model folder.
"""

from __future__ import annotations

from functools import cached_property
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, model_validator

from soundgan.spectral.phase_retrieval import QUALITIES, Quality, retrieve
from soundgan.spectral.scipy_kernels import SparseMatrix
from soundgan.spectral.stft import STFT, Window

Scale = Literal["mel", "linear"]
Wave = NDArray[np.float32]
Spectrogram = NDArray[np.float32]

_LEVEL_ITERATIONS = 2  # corrections of the bins' levels after their interpolation; more bring little
_SILENCE_MARGIN = np.float32(0.1)  # levels this close to the floor (0.4 dB) are silence
_GATE_THRESHOLD = 0.04  # of the range of levels (3 dB of 80): frames that exceed the floor by less are silenced
_FADE_IN_SECONDS = 0.002  # s at the end of the lead-in that are kept
_CHUNK_SIZE = 1 << 24  # magnitudes in memory at a time, 64 MiB


class Representation(BaseModel):
    """Parameters of a spectrogram: STFT, bands and levels. Immutable.

    Frame `k` of a spectrogram is centered at `(k - lead_in + 0.5) * hop_length` samples, so the frames behind the
    lead-in cover exactly a sound. Levels are in dBFS: a full-scale sine is 0 dB in its bin of the STFT, and a band is
    the mean power of its bins.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    sample_rate: int = Field(gt=0, description="Sample rate, in Hz.")
    n_fft: int = Field(ge=16, description="Window length, in samples.")
    hop_length: int = Field(ge=1, description="Step between frames, in samples; divides n_fft at least twice.")
    bands: int = Field(ge=2, description="Rows of a spectrogram, low frequencies first.")
    frames: int = Field(ge=1, description="Columns of a spectrogram, those of the lead-in included.")
    lead_in: int = Field(default=0, ge=0, description="Silent frames before a sound, so that it can start with a hit.")
    scale: Scale = Field(description="Spacing of the bands over frequency.")
    window: Window = Field(default="hann", description="Shape of the window.")
    floor_db: float = Field(allow_inf_nan=False, description="Level of -1 in a spectrogram, and of silence. In dBFS.")
    ceiling_db: float = Field(allow_inf_nan=False, description="Level of +1 in a spectrogram. In dBFS.")

    @model_validator(mode="after")
    def _consistent(self) -> Representation:
        STFT(self.n_fft, self.hop_length, self.window)  # raises ValueError
        if self.lead_in >= self.frames:
            raise ValueError("lead_in must be less than frames")
        if not 0 < self.ceiling_db - self.floor_db <= 300:
            raise ValueError("ceiling_db must be above floor_db, by at most 300 dB")
        return self

    @property
    def samples(self) -> int:
        """Length of a sound, in samples, without the lead-in."""
        return (self.frames - self.lead_in) * self.hop_length

    @property
    def lead_in_samples(self) -> int:
        """Length of the silence before a sound, in samples."""
        return self.lead_in * self.hop_length

    @property
    def fade_in_samples(self) -> int:
        """Length of the end of the lead-in that a synthesized sound starts with, in samples: 2 ms, faded in.

        A fade on the attack itself would soften it; without any, a sound may start with a click.
        """
        return min(round(_FADE_IN_SECONDS * self.sample_rate), self.lead_in_samples)

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
        """The STFT that a spectrogram's levels are of."""
        return STFT(self.n_fft, self.hop_length, self.window)

    @cached_property
    def band_centers(self) -> NDArray[np.float64]:
        """Center frequency of each band, (bands,), in Hz: from the first bin above 0 Hz to half the sample rate."""
        lowest, highest = self.sample_rate / self.n_fft, self.sample_rate / 2
        if self.scale == "linear":
            return np.linspace(lowest, highest, self.bands)
        lowest_mel, highest_mel = 2595 * np.log10(1 + np.array([lowest, highest]) / 700)
        mels = np.linspace(lowest_mel, highest_mel, self.bands)
        return 700 * (10 ** (mels / 2595) - 1)

    @cached_property
    def band_weights(self) -> SparseMatrix:
        """(bands, bins) averaging weights: triangles between neighboring centers, never narrower than one bin."""
        bin_width = self.sample_rate / self.n_fft
        gaps = np.diff(self.band_centers)
        below = np.maximum(np.concatenate([gaps[:1], gaps]), bin_width)[:, None]
        above = np.maximum(np.concatenate([gaps, gaps[-1:]]), bin_width)[:, None]
        distance = self._bin_frequencies[None, :] - self.band_centers[:, None]
        weights = np.clip(1 - np.where(distance < 0, -distance / below, distance / above), 0, None)
        weights[:, 0] = 0  # 0 Hz is left out
        return SparseMatrix((weights / weights.sum(axis=1, keepdims=True)).astype(np.float32))

    @cached_property
    def bin_weights(self) -> SparseMatrix:
        """(bins, bands) weights that interpolate between the two bands around each bin."""
        centers, frequencies = self.band_centers, self._bin_frequencies
        upper = np.clip(np.searchsorted(centers, frequencies), 1, len(centers) - 1)
        share = np.clip((frequencies - centers[upper - 1]) / (centers[upper] - centers[upper - 1]), 0, 1)
        weights = np.zeros((len(frequencies), self.bands), np.float32)
        bins = np.arange(len(frequencies))
        weights[bins, upper - 1], weights[bins, upper] = 1 - share, share
        return SparseMatrix(weights)

    @property
    def _bin_frequencies(self) -> NDArray[np.float64]:
        return np.arange(self.n_fft // 2 + 1) * self.sample_rate / self.n_fft

    def with_changes(self, **changes: float | str) -> Representation:
        """Return a copy with some values changed. Raises `ValidationError` like the constructor."""
        return Representation.model_validate({**self.model_dump(), **changes})


def analyze(waves: Wave, representation: Representation) -> Spectrogram:
    """Return log spectrograms of sounds; waves of another length are cut, or padded with silence.

    Shape:
        waves (n, samples) or (samples,) → spectrograms (n, 1, bands, frames), in [-1, 1]

    Raises:
        ValueError: a sample is NaN or infinite.

    Examples:
        >>> from soundgan.spectral.presets import preset
        >>> representation = preset(8000, 0.25)
        >>> tone = np.sin(2 * np.pi * 1000 / 8000 * np.arange(2000)).astype(np.float32)
        >>> spectrogram = analyze(tone, representation)
        >>> spectrogram.shape
        (1, 1, 128, 16)
        >>> band = int(spectrogram[0, 0, :, 8].argmax())
        >>> round(representation.band_centers[band]), round(float(spectrogram[0, 0, band, 8]), 3)
        (1000, 1.0)
    """
    return normalize(levels_db(waves, representation), representation)


def synthesize(
    spectrograms: Spectrogram,
    representation: Representation,
    *,
    quality: Quality = "balanced",
    threads: int | None = None,
) -> Wave:
    """Return sounds of log spectrograms: bands to linear bins, phase retrieval, inverse STFT.

    With a lead-in, a sound begins `fade_in_samples` late. It does not depend on the other spectrograms of the batch, or
    on their order. Frames nowhere more than 4 % of
    the range of levels above the floor (3 dB of 80) are silence.

    Args:
        quality: "fast", "balanced" or "best"; docs/benchmarks/synthesis.md compares them.
        threads: maximum number of threads, see `retrieve`.

    Shape:
        spectrograms (n, 1, bands, frames), (n, bands, frames) or (bands, frames), in [-1, 1] → waves (n, samples)

    Raises:
        ValueError: the spectrograms have another shape, or contain NaN or infinite values, or the quality is unknown.

    Examples:
        >>> from soundgan.spectral.presets import preset
        >>> representation = preset(8000, 0.25)
        >>> tone = 0.5 * np.sin(2 * np.pi * 1000 / 8000 * np.arange(2048)).astype(np.float32)
        >>> wave = synthesize(analyze(tone, representation), representation)
        >>> wave.shape, round(float(np.sqrt(2 * (wave**2).mean())), 1)
        ((1, 2048), 0.5)
    """
    if quality not in list(QUALITIES):  # a list has no hash
        raise ValueError(f"quality = {quality!r}: must be one of {', '.join(QUALITIES)}")
    spectrograms = np.asarray(spectrograms, np.float32)
    one_channel = spectrograms.ndim < 4 or (spectrograms.ndim == 4 and spectrograms.shape[1] == 1)
    if spectrograms.shape[-2:] != representation.shape or not one_channel:
        expected = ", ".join(map(str, representation.shape))
        raise ValueError(f"spectrograms have shape {spectrograms.shape}: must be (n, 1, {expected})")
    if not np.isfinite(spectrograms).all():
        raise ValueError("spectrograms contain NaN or infinite values")
    spectrograms = spectrograms.reshape(-1, *representation.shape)
    waves = np.empty((len(spectrograms), representation.samples), np.float32)
    frame_shape = representation.frames, representation.stft.bins
    step = max(1, _CHUNK_SIZE // (frame_shape[0] * frame_shape[1]))
    for start in range(0, len(spectrograms), step):
        chunk = slice(start, start + step)
        magnitudes = np.empty((len(spectrograms[chunk]), *frame_shape), np.float32)
        for index, spectrogram in enumerate(spectrograms[chunk]):
            magnitudes[index] = _bin_magnitudes(spectrogram, representation)
        retrieved = retrieve(magnitudes, representation.stft, QUALITIES[quality], threads=threads)
        waves[chunk] = _without_lead_in(retrieved, representation)
    return waves


def levels_db(waves: Wave, representation: Representation) -> NDArray[np.float32]:
    """Return the level of each band in each frame, in dBFS, at least -200.

    Shape:
        waves (n, samples) or (samples,) → levels (n, bands, frames)

    Raises:
        ValueError: a sample is NaN or infinite.
    """
    waves = np.atleast_2d(np.asarray(waves, np.float32))
    if not np.isfinite(waves).all():
        raise ValueError("the sound contains NaN or infinite samples")
    start, length = representation.lead_in_samples, min(waves.shape[1], representation.samples)
    fitted = np.zeros((len(waves), start + representation.samples), np.float32)
    fitted[:, start : start + length] = waves[:, :length]
    weights, stft = representation.band_weights, representation.stft
    levels = np.empty((len(waves), *representation.shape), np.float32)
    for level, wave in zip(levels, fitted, strict=True):
        spectrum = stft.forward(wave)
        power = (spectrum.real**2 + spectrum.imag**2) / stft.full_scale_magnitude**2
        level[:] = 10 * np.log10(np.maximum(weights @ np.ascontiguousarray(power.T), 1e-20))
    return levels


def normalize(levels: NDArray[np.float32], representation: Representation) -> Spectrogram:
    """Return spectrograms of levels in dBFS: the floor becomes -1, the ceiling +1; levels beyond are clipped.

    Shape:
        levels (n, bands, frames) → spectrograms (n, 1, bands, frames)

    Examples:
        >>> from soundgan.spectral.presets import preset
        >>> levels = np.array([[[-200, -80, -40, 0, 6]]], np.float32)
        >>> normalize(levels, preset(16000, 1.0)).tolist()
        [[[[-1.0, -1.0, 0.0, 1.0, 1.0]]]]
    """
    span = representation.ceiling_db - representation.floor_db
    return np.clip((levels - representation.floor_db) * (2 / span) - 1, -1, 1).astype(np.float32)[:, None]


def _without_lead_in(waves: Wave, representation: Representation) -> Wave:
    """Cut the lead-in off, except for the fade-in. Shape: (n, frames * hop_length) → (n, samples)."""
    fade = representation.fade_in_samples
    start = representation.lead_in_samples - fade
    waves = waves[:, start : start + representation.samples]
    waves[:, :fade] *= (0.5 - 0.5 * np.cos(np.pi * (np.arange(fade) + 0.5) / max(fade, 1))).astype(np.float32)
    return waves


def _bin_magnitudes(spectrogram: Spectrogram, representation: Representation) -> NDArray[np.float32]:
    """Magnitudes (frames, bins) whose bands have the levels of a spectrogram (bands, frames).

    Levels (here the logarithm of power over the floor's) are interpolated between the bands, and then corrected by the
    difference between the spectrogram and the bands of the result.
    """
    span_db = representation.ceiling_db - representation.floor_db
    target = np.clip(spectrogram, -1, 1) + 1
    # Recordings end in silence, generated sounds just above it: their phase retrieval would take 50 % longer.
    target[:, target.max(axis=0) < 2 * _GATE_THRESHOLD] = 0
    target *= np.float32(span_db / 20 * np.log(10))
    silent = target < _SILENCE_MARGIN
    levels = target
    power = _bin_power(levels, representation)
    for _ in range(_LEVEL_ITERATIONS):
        reached = np.log(np.maximum(representation.band_weights @ power, np.float32(1e-3)))
        error = np.where(silent, 0, target - reached)
        if np.abs(error).max() < _SILENCE_MARGIN:
            break
        levels = np.maximum(levels + error, 0)
        power = _bin_power(levels, representation)
    gain = 10 ** (representation.floor_db / 20) * representation.stft.full_scale_magnitude
    return np.sqrt(power.T) * np.float32(gain)


def _bin_power(levels: NDArray[np.float32], representation: Representation) -> NDArray[np.float32]:
    """Power relative to the floor, minus the power of the floor, which becomes silence: (bands, …) → (bins, …)."""
    power = np.exp(representation.bin_weights @ levels)
    power -= 1
    power[0] = 0  # 0 Hz
    return power
