"""Reading of sound files: header, tags, or samples mixed down to one channel and resampled (SoX resampler)."""

from __future__ import annotations

import math
import os
from typing import NamedTuple

import numpy as np
import soxr
from numpy.typing import ArrayLike, NDArray

from soundgan.audio.decode import decode, open_audio
from soundgan.errors import AudioError
from soundgan.files import printable


class AudioInfo(NamedTuple):
    """Header of a sound file: sample rate in Hz, length in frames (one sample of each channel), channels."""

    sample_rate: int
    frames: int
    channels: int

    @property
    def seconds(self) -> float:
        """Length in seconds."""
        return self.frames / self.sample_rate


def probe(path: str | os.PathLike[str]) -> AudioInfo:
    """Read the header of a sound file.

    A streamed FLAC or an MP3 without a length tag does not state its length: only these are decoded, to count frames.
    Raises `AudioError` if there is no sound file at `path`, or no sound in it.
    """
    with open_audio(path) as source:
        frames = decode(source).size if source.frames is None else source.frames
        return AudioInfo(source.decoder.samplerate, frames, source.decoder.channels)


def read_tags(path: str | os.PathLike[str]) -> dict[str, str]:
    """Return the text tags of a sound file, such as title and comment; raise `AudioError` as `probe`."""
    with open_audio(path) as source:
        return source.decoder.copy_metadata()


def read(
    path: str | os.PathLike[str],
    sample_rate: int | None = None,
    *,
    start: float = 0.0,
    seconds: float | None = None,
) -> tuple[NDArray[np.float32], int]:
    """Read a sound file, or a part of it, as one channel: the mean of its channels.

    WAV, FLAC, OGG, MP3 and AIFF of any sample format and number of channels, identified by content, not by name. Only
    the requested part is decoded. Nothing is clipped: a float file may exceed 1.0, and decoded OGG and MP3 slightly.

    Args:
        sample_rate: of the result, in Hz; None keeps that of the file.
        start: beginning of the part, in seconds.
        seconds: length of the part; None, or more than there is, reads to the end.

    Returns:
        The wave, (samples,), at least one sample long, and its sample rate in Hz.

    Raises:
        AudioError: the file cannot be read, the requested part holds no sound, the decoder fails in the first half of
            the file, or a sample is not finite.
        ValueError: `start` is negative, or `seconds` or `sample_rate` is not above 0.

    Warns:
        TruncatedWarning: the decoder failed in the second half; the sound before that is returned. A WAV, AIFF or OGG
            that is cut short counts as a shorter sound and gives no warning.
    """
    if not 0 <= start < math.inf:
        raise ValueError(f"start must be 0 s or later, not {start}")
    if seconds is not None and not 0 < seconds < math.inf:
        raise ValueError(f"seconds must be above 0, not {seconds}")
    with open_audio(path) as source:
        rate = source.decoder.samplerate
        wave = decode(source, round(start * rate), None if seconds is None else max(1, round(seconds * rate)))
    target = rate if sample_rate is None else sample_rate
    return resample_decoded(wave, rate, target, printable(path)), target


def resample_decoded(wave: NDArray[np.float32], rate: int, target_rate: int, name: str) -> NDArray[np.float32]:
    """Resample samples decoded from the file `name`; raise `AudioError` if the result is empty."""
    resampled = resample(wave, rate, target_rate)
    if resampled.size == 0:
        raise AudioError(f"{name}: {wave.size} samples at {rate} Hz are too short for a sound; leave it out")
    return resampled


def resample(wave: ArrayLike, source_rate: int, target_rate: int) -> NDArray[np.float32]:
    """Resample a wave (soxr, quality HQ); levels are kept, frequencies above the new Nyquist frequency are removed.

    Shape:
        (samples,) → (samples · target_rate / source_rate,), to the nearest integer.

    Args:
        source_rate, target_rate: in Hz, above 0; otherwise `ValueError`.
    """
    if source_rate <= 0 or target_rate <= 0:
        raise ValueError(f"sample rates must be above 0 Hz, not {source_rate} and {target_rate}")
    samples = np.ascontiguousarray(wave, dtype=np.float32)
    return samples if source_rate == target_rate else soxr.resample(samples, source_rate, target_rate, quality="HQ")
