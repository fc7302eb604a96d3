"""Sound files in and out: read, mix down, resample, level, write, tag.

A wave is a float32 array of shape `(samples,)`. Full scale is 1.0, and levels are in dBFS: decibels relative to that.
"""

from __future__ import annotations

import io
import math
import os
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Literal, NamedTuple

import numpy as np
import soundfile
import soxr
from numpy.typing import ArrayLike, NDArray

from soundgan.audio.decode import TruncatedWarning as TruncatedWarning  # for the callers of `read`
from soundgan.audio.decode import decode, open_audio
from soundgan.audio.ogg import with_stable_serial
from soundgan.errors import AudioError
from soundgan.files import atomic_write, printable

Wave = NDArray[np.float32]
LevelMethod = Literal["peak", "rms", "none"]
Subtype = Literal["PCM_16", "PCM_24", "FLOAT"]

Format = Literal["wav", "flac", "ogg"]
FORMATS: dict[str, Format] = {".wav": "wav", ".flac": "flac", ".ogg": "ogg"}
SUBTYPES = ("PCM_16", "PCM_24", "FLOAT")
RATES = range(1_000, 192_001)  # Hz; above 200 kHz libvorbis takes the process down instead of refusing
# The longest text in bytes: a longer one would hide the other tags of a WAV file, and that of the software be cut.
TAGS = {"title": 2_000, "comment": 2_000, "software": 100, "artist": 2_000, "copyright": 2_000}
BLOCK = 2**16  # frames encoded at a time: libvorbis runs out of stack on a long one


class ClippingWarning(UserWarning):
    """A sound too loud for the format of its file was turned down as a whole."""


class AudioInfo(NamedTuple):
    """The header of a sound file: sample rate in Hz, length in frames (one sample of each channel), channels."""

    sample_rate: int
    frames: int
    channels: int

    @property
    def seconds(self) -> float:
        """Length in seconds."""
        return self.frames / self.sample_rate


def probe(path: str | os.PathLike[str]) -> AudioInfo:
    """Read the header of a sound file.

    A streamed FLAC and an MP3 without a length tag do not know how long they are; only these are decoded, to count.
    Raises `AudioError` if there is no sound file at `path`, or no sound in it.
    """
    with open_audio(path) as source:
        frames = decode(source).size if source.frames is None else source.frames
        return AudioInfo(source.stream.samplerate, frames, source.stream.channels)


def read(
    path: str | os.PathLike[str],
    sample_rate: int | None = None,
    *,
    start: float = 0.0,
    seconds: float | None = None,
) -> tuple[Wave, int]:
    """Read a sound file, or a part of it, as one channel: the mean of its channels.

    WAV, FLAC, OGG, MP3 and AIFF of any width and number of channels, told apart by content, not by name. Only the part
    asked for is decoded. Nothing is clipped: a float file may exceed 1.0, and decoded OGG and MP3 a little too.

    Args:
        sample_rate: of the result, in Hz; None keeps that of the file.
        start: where the part begins, in seconds.
        seconds: how long it is; None, or more than there is, reads to the end.

    Returns:
        The wave, `(samples,)`, at least one sample long, and its sample rate in Hz.

    Raises:
        AudioError: the file cannot be read, there is no sound in the part asked for, the decoder gives up before half
            of the file, or there are samples that are not finite.
        ValueError: `start` is negative, or `seconds` or `sample_rate` is not above 0.

    Warns:
        TruncatedWarning: the decoder gave up in the second half; the sound before that is returned. A WAV, AIFF or OGG
            that is cut short counts as a shorter sound and gives no warning.
    """
    if not 0 <= start < math.inf:
        raise ValueError(f"start must be 0 s or later, not {start}")
    if seconds is not None and not 0 < seconds < math.inf:
        raise ValueError(f"seconds must be above 0, not {seconds}")
    with open_audio(path) as source:
        rate = source.stream.samplerate
        wave = decode(source, round(start * rate), None if seconds is None else max(1, round(seconds * rate)))
    target = rate if sample_rate is None else sample_rate
    resampled = resample(wave, rate, target)
    if resampled.size == 0:
        raise AudioError(f"{printable(path)}: {wave.size} samples at {rate} Hz are too short for a sound; leave it out")
    if not np.isfinite(resampled).all():
        raise AudioError(f"{printable(path)}: its samples are too large for a sound; export it again or leave it out")
    return resampled, target


def resample(wave: ArrayLike, source_rate: int, target_rate: int) -> Wave:
    """Change the sample rate of a wave from `source_rate` to `target_rate`, in Hz.

    Shape: `(samples,)` → `(samples · target_rate / source_rate,)`, to the nearest whole number.
    By the SoX resampler (soxr, quality HQ): levels are kept, and what lies above the new Nyquist frequency is removed.
    Raises `ValueError` for a rate that is not above 0.
    """
    if source_rate <= 0 or target_rate <= 0:
        raise ValueError(f"sample rates must be above 0 Hz, not {source_rate} and {target_rate}")
    samples = np.ascontiguousarray(wave, dtype=np.float32)
    return samples if source_rate == target_rate else soxr.resample(samples, source_rate, target_rate, quality="HQ")


def peak_db(wave: ArrayLike) -> float:
    """The highest magnitude in dBFS, -inf for silence. A full-scale sine has 0 dBFS."""
    return _decibels(_peak(np.asarray(wave, dtype=np.float64)))


def rms_db(wave: ArrayLike) -> float:
    """The root mean square in dBFS, -inf for silence. A full-scale sine has -3.01 dBFS, a square wave 0 dBFS."""
    return _decibels(_rms(np.asarray(wave, dtype=np.float64)))


def level(wave: ArrayLike, method: LevelMethod, target_db: float = -1.0) -> Wave:
    """Scale a wave `(samples,)` as a whole to a level of `target_db` dBFS (at most 0).

    "peak" sets the highest magnitude, "rms" the root mean square, "none" leaves the wave as it is. RMS levelling stops
    where the peak reaches 0 dBFS: a sound of sharp peaks stays softer than asked, and nothing clips.
    Silence is returned unchanged. Raises `ValueError` for another method or target.
    """
    if method not in ("peak", "rms", "none"):
        raise ValueError(f"method must be 'peak', 'rms' or 'none', not {method!r}")
    if not -math.inf < target_db <= 0:
        raise ValueError(f"target_db must be at most 0 dBFS, and finite, not {target_db}")
    samples = np.asarray(wave, dtype=np.float32)
    peak = _peak(samples.astype(np.float64))
    if method == "none" or peak == 0:
        return samples
    unit = samples.astype(np.float64) / peak  # a step of its own: the gain of a very soft sound can overflow
    gain = 10 ** (target_db / 20)
    return (unit * (gain if method == "peak" else min(gain / _rms(unit), 1.0))).astype(np.float32)


def write(
    path: str | os.PathLike[str],
    wave: ArrayLike,
    sample_rate: int,
    *,
    subtype: Subtype = "PCM_16",
    tags: Mapping[str, str] | None = None,
) -> Path:
    """Write a wave `(samples,)` to a .wav, .flac or .ogg file, as its name ends, and return the path.

    The file appears whole or not at all, and an older one of that name stays until it does.

    Args:
        sample_rate: in Hz, 1,000 to 192,000.
        subtype: 16 bits, 24 bits, or 32-bit float (.wav only); .ogg is Vorbis whatever it says.
        tags: title, comment, software, artist, copyright; at most 2,000 bytes each, the software 100 (libsndfile adds
            its own name to that).

    Raises:
        AudioError: another suffix, rate, subtype or tag, a wave that is empty or not finite, or a place that cannot be
            written to.

    Warns:
        ClippingWarning: the wave exceeds full scale in a format that ends there (all but FLOAT); all of it was turned
            down until its peak fits.
    """
    path, name = Path(path), printable(path)
    format = FORMATS.get(path.suffix.lower())
    if format is None:
        raise AudioError(f"{name}: cannot write {path.suffix or 'a file without a suffix'}; use {', '.join(FORMATS)}")
    data = _checked_and_encoded(wave, sample_rate, format, subtype, tags, name)
    try:
        with atomic_write(path) as temporary:
            temporary.write_bytes(data)
    except (OSError, ValueError) as error:  # ValueError: a zero character in the name
        reason = getattr(error, "strerror", None) or error
        raise AudioError(f"{name}: cannot be written ({reason}); check that its folder exists and has room") from error
    return path


def encode(
    wave: ArrayLike,
    sample_rate: int,
    format: Format = "wav",
    *,
    subtype: Subtype = "PCM_16",
    tags: Mapping[str, str] | None = None,
) -> bytes:
    """What `write` would put into a file of this format: the same bytes, the same errors and warnings."""
    if format not in FORMATS.values():
        raise AudioError(f"format = {format!r}: must be one of {', '.join(FORMATS.values())}")
    return _checked_and_encoded(wave, sample_rate, format, subtype, tags, f"{format} sound")


def _checked_and_encoded(
    wave: ArrayLike, sample_rate: int, format: Format, subtype: Subtype, tags: Mapping[str, str] | None, name: str
) -> bytes:
    """The content of a file; `name` is what errors and warnings call it."""
    if subtype not in SUBTYPES:
        raise AudioError(f"{name}: unknown subtype {subtype!r}; use {', '.join(SUBTYPES)}")
    if format == "flac" and subtype == "FLOAT":
        raise AudioError(f"{name}: FLAC cannot hold FLOAT samples; use PCM_24, or .wav")
    if sample_rate not in RATES:
        raise AudioError(f"{name}: cannot write a sample rate of {sample_rate} Hz; use {RATES[0]} to {RATES[-1]}")
    samples = np.asarray(wave, dtype=np.float64)
    if samples.ndim != 1 or samples.size == 0:
        raise AudioError(f"{name}: cannot write a wave of shape {samples.shape}; use (samples,), at least one")
    if not np.isfinite(samples).all():
        raise AudioError(f"{name}: the wave has samples that are not finite (NaN or infinity); make it again")
    texts = _checked(tags or {}, name)
    coding = "VORBIS" if format == "ogg" else subtype
    peak = _peak(samples)
    if peak > 1 and coding != "FLOAT":
        samples = samples / peak
        told = f"{name}: {_decibels(peak):.2f} dB above full scale; turned down as a whole by as much (see level)"
        warnings.warn(told, ClippingWarning, stacklevel=3)
    try:
        return _encode(samples, int(sample_rate), format, coding, texts)
    except soundfile.LibsndfileError as error:
        raise AudioError(f"{name}: cannot be encoded ({error.error_string}); use .wav") from error


def read_tags(path: str | os.PathLike[str]) -> dict[str, str]:
    """The tags of a sound file that `write` can set, where they are not empty. Raises `AudioError` as `probe` does."""
    with open_audio(path) as source:
        found = {tag: getattr(source.stream, tag) for tag in TAGS}
    return {tag: text for tag, text in found.items() if text}


def _encode(samples: NDArray[np.float64], rate: int, format: Format, coding: str, tags: Mapping[str, str]) -> bytes:
    """The content of the file, made in memory because libsndfile does not tell of a full disk and Python does."""
    if coding == "PCM_16":  # rounded here: libsndfile rounds WAV samples down, half a step of DC
        stored = np.clip(np.rint(samples * 2**15), -(2**15), 2**15 - 1).astype(np.int16)
    elif coding == "PCM_24":  # in the upper 24 of 32 bits
        stored = np.clip(np.rint(samples * 2**23), -(2**23), 2**23 - 1).astype(np.int32) << 8
    else:
        stored = samples.astype(np.float32)
    buffer = io.BytesIO()
    with soundfile.SoundFile(buffer, "w", rate, channels=1, subtype=coding, format=format.upper()) as file:
        for tag, text in tags.items():
            setattr(file, tag, text)
        for first in range(0, len(stored), BLOCK):
            file.write(stored[first : first + BLOCK])
    return with_stable_serial(buffer.getvalue()) if format == "ogg" else buffer.getvalue()


def _checked(tags: Mapping[str, str], name: str) -> dict[str, str]:
    # A label from a folder whose name is not UTF-8 has characters that no tag can hold: they become question marks.
    texts = {tag: text.encode(errors="replace").decode() for tag, text in tags.items()}
    for tag, text in texts.items():
        if tag not in TAGS:
            raise AudioError(f"{name}: unknown tag {tag!r}; use {', '.join(TAGS)}")
        if len(text.encode()) > TAGS[tag] or "\0" in text:
            raise AudioError(f"{name}: tag {tag!r} is over {TAGS[tag]} bytes or has a zero character; shorten it")
    return {tag: text for tag, text in texts.items() if text}


def _peak(samples: NDArray[np.float64]) -> float:
    return float(np.max(np.abs(samples), initial=0.0))


def _rms(samples: NDArray[np.float64]) -> float:
    return math.sqrt(np.mean(np.square(samples))) if samples.size else 0.0


def _decibels(amplitude: float) -> float:
    return 20 * math.log10(amplitude) if amplitude > 0 else -math.inf
