"""Writing of sound files: WAV, FLAC and OGG, in memory first, then as a whole."""

from __future__ import annotations

import io
import os
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Literal, get_args

import numpy as np
import soundfile
from numpy.typing import ArrayLike, NDArray

from soundgan.audio.levels import decibels
from soundgan.audio.ogg import with_stable_serial
from soundgan.errors import AudioError
from soundgan.files import atomic_write, printable

Format = Literal["wav", "flac", "ogg"]
Subtype = Literal["PCM_16", "PCM_24", "FLOAT"]
SUBTYPES = get_args(Subtype)
FORMATS: dict[str, Format] = {".wav": "wav", ".flac": "flac", ".ogg": "ogg"}
RATES = range(1_000, 192_001)  # Hz; above 200 kHz libvorbis crashes the process
# Maximum length in bytes: a longer text would hide the other tags of a WAV file, and a longer software be cut off.
TAGS = {"title": 2_000, "comment": 2_000, "software": 100, "artist": 2_000, "copyright": 2_000}
CHUNK_SIZE = 2**16  # frames encoded at a time: libvorbis overflows the stack on a long array


class ClippingWarning(UserWarning):
    """A sound too loud for the format of its file was attenuated as a whole."""


def write(
    path: str | os.PathLike[str],
    wave: ArrayLike,
    sample_rate: int,
    *,
    subtype: Subtype = "PCM_16",
    tags: Mapping[str, str] | None = None,
) -> Path:
    """Write a wave `(samples,)` to a .wav, .flac or .ogg file, as its name ends, and return the path.

    The file is replaced atomically: on an error an older file of that name stays.

    Args:
        sample_rate: in Hz, 1,000 to 192,000.
        subtype: 16 bits, 24 bits, or 32-bit float (.wav only); .ogg is always Vorbis.
        tags: title, comment, software, artist, copyright; at most 2,000 bytes each, the software 100 (libsndfile adds
            its own name to that).

    Raises:
        AudioError: another suffix, rate, subtype or tag, a wave that is empty or not finite, or a path that cannot be
            written to.

    Warns:
        ClippingWarning: the wave exceeds full scale in a format that ends there (all but FLOAT); it was attenuated as a
            whole to a peak of 0 dBFS.
    """
    path, name = Path(path), printable(path)
    format = FORMATS.get(path.suffix.lower())
    if format is None:
        raise AudioError(f"{name}: cannot write {path.suffix or 'a file without a suffix'}; use {', '.join(FORMATS)}")
    data = encode(wave, sample_rate, format, subtype=subtype, tags=tags, name=name)
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
    name: str = "sound",
) -> bytes:
    """Return the bytes that `write` would write to a file; the same errors and warnings, with `name` in them."""
    if format not in FORMATS.values():
        raise AudioError(f"format = {format!r}: must be one of {', '.join(FORMATS.values())}")
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
        raise AudioError(f"{name}: the wave has samples that are not finite (NaN or infinity); correct them first")
    texts = _checked_tags(tags or {}, name)
    coding = "VORBIS" if format == "ogg" else subtype
    peak = float(np.abs(samples).max())
    if peak > 1 and coding != "FLOAT":
        samples = samples / peak
        message = f"{name}: {decibels(peak):.2f} dB above full scale; attenuated by as much (see audio.level)"
        warnings.warn(message, ClippingWarning, stacklevel=3)
    try:
        return _encode(samples, int(sample_rate), format, coding, texts)
    except soundfile.LibsndfileError as error:
        raise AudioError(f"{name}: cannot be encoded ({error.error_string}); use .wav") from error


def _encode(samples: NDArray[np.float64], rate: int, format: Format, coding: str, tags: Mapping[str, str]) -> bytes:
    """Return the content of the file, encoded in memory: libsndfile does not report a full disk, Python does."""
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
        for first in range(0, len(stored), CHUNK_SIZE):
            file.write(stored[first : first + CHUNK_SIZE])
    return with_stable_serial(buffer.getvalue()) if format == "ogg" else buffer.getvalue()


def _checked_tags(tags: Mapping[str, str], name: str) -> dict[str, str]:
    """Return the tags that are not empty, encodable as UTF-8."""
    # A label from a folder whose name is not UTF-8 has characters that no tag can hold: they become question marks.
    texts = {tag: text.encode(errors="replace").decode() for tag, text in tags.items()}
    for tag, text in texts.items():
        if tag not in TAGS:
            raise AudioError(f"{name}: unknown tag {tag!r}; use {', '.join(TAGS)}")
        if len(text.encode()) > TAGS[tag] or "\0" in text:
            raise AudioError(f"{name}: tag {tag!r} is over {TAGS[tag]} bytes or has a zero character; shorten it")
    return {tag: text for tag, text in texts.items() if text}
