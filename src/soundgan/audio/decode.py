"""Opening and decoding of sound files whose headers may be wrong; the layer below `audio.read` and `audio.probe`."""

from __future__ import annotations

import contextlib
import io
import math
import os
import stat
import warnings
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
import soundfile
from numpy.typing import NDArray

from soundgan.errors import AudioError
from soundgan.files import printable

CHUNK_SIZE = 4096  # frames decoded at a time: bounds the memory, and the sound lost before a damaged spot
MAX_SAMPLE = 2.0**32  # of a float file, which may hold integers; the power of far larger samples overflows to NaN
RATES = range(1_000, 768_001)  # Hz; a header that claims 1 Hz would fill the memory when it is resampled
NO_LENGTH = 2**62  # libsndfile gives a stream without a length nearly 2**63 frames
MP3_SLACK = 2 * 1152  # frames that an undamaged MP3 may be shorter than its length tag says: the delay of the encoder


class TruncatedWarning(UserWarning):
    """The file is damaged or its end is missing; the sound before that was used."""


class OpenFile(NamedTuple):
    """Open sound file: its name for messages, the decoder, and the frames in its header (None: unknown)."""

    name: str
    decoder: NonSeekingDecoder
    frames: int | None


class NonSeekingDecoder(soundfile.SoundFile):
    """Decoder whose reads may be short.

    A seekable `SoundFile` seeks after each read, and loses a short read at the end of a file that is shorter than its
    header says. A decoder that denies being seekable does not; `seek` works all the same.
    """

    def seekable(self) -> bool:
        return False


class _OversizedFile(io.FileIO):
    """File that can claim to be far longer than it is.

    Without a length tag the decoder of MP3 guesses the length from the file's size and first bit rate, and stops there:
    a file of variable bit rate loses most of its sound. With a far too high guess, it stops at the end of the file.
    """

    size_factor = 1
    _claimed_size = 0

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        position = super().seek(offset, whence)
        at_end = self.size_factor > 1 and (offset, whence) == (0, os.SEEK_END)
        self._claimed_size = self.size_factor * position if at_end else 0
        return self._claimed_size or position

    def tell(self) -> int:
        return self._claimed_size or super().tell()


@contextlib.contextmanager
def open_audio(path: str | os.PathLike[str]) -> Iterator[OpenFile]:
    """Open a sound file, once; raise `AudioError`, with its name, if it is missing, empty or not a sound file."""
    name = printable(path)
    with contextlib.ExitStack() as stack:
        try:
            _require_regular_file(path, name)
            file = stack.enter_context(_OversizedFile(path))
            decoder = stack.enter_context(NonSeekingDecoder(file))
            frames = decoder.frames if decoder.frames < NO_LENGTH else None
            if decoder.format == "MP3" and not _has_length_tag(file):
                file.size_factor = 64
                file.seek(0)
                decoder, frames = stack.enter_context(NonSeekingDecoder(file)), None
        except (soundfile.LibsndfileError, TypeError) as error:  # TypeError: a name that ends in .raw
            # The decoder's message is left out: it is about RIFF chunks and pipes, or says no more than this.
            problem = "not a sound file, or damaged at its beginning; use WAV, FLAC, OGG, MP3 or AIFF"
            raise AudioError(f"{name}: {problem}") from error
        except (OSError, ValueError) as error:  # ValueError: a zero character in the name
            reason = getattr(error, "strerror", None) or error
            raise AudioError(f"{name}: cannot be opened ({reason}); check its name and its permissions") from error
        if decoder.samplerate not in RATES:
            rates = f"{decoder.samplerate} Hz is not an audio sample rate ({RATES[0]} to {RATES[-1]} Hz)"
            raise AudioError(f"{name}: {rates}; export it again or leave it out")
        if frames == 0:
            raise AudioError(f"{name}: holds no sound (zero length); export it again or leave it out")
        yield OpenFile(name, decoder, frames)


def decode(source: OpenFile, start: int = 0, frames: int | None = None) -> NDArray[np.float32]:
    """Decode `frames` frames (None: all) from frame `start` and average the channels: (samples,).

    Errors and warnings are those of `audio.read`.
    """
    name, decoder, length = source
    rate = decoder.samplerate
    if length is not None and start >= length:
        raise AudioError(f"{name}: ends at {length / rate:.2f} s; start before that, not at {start / rate:.2f} s")
    # Seeking relies on the length; where that is not known, what comes before the part is decoded and dropped.
    dropped = start if length is None else 0
    wanted = math.inf if frames is None else dropped + frames
    if length is not None:
        wanted = min(wanted, length - start)
    chunks: list[NDArray[np.float32]] = []
    decoded = 0
    failure: Exception | None = None
    try:
        if start > dropped:
            decoder.seek(start)
        while decoded < wanted and (chunk := _next_chunk(source, min(wanted - decoded, CHUNK_SIZE))).size:
            chunks.append(chunk)
            decoded += chunk.size
    except soundfile.LibsndfileError as error:
        failure = error
    end = start - dropped + decoded
    if failure is not None or (length is not None and wanted - decoded > MP3_SLACK):
        declared = "" if length is None else f" of {length / rate:.2f} s"
        state = f"{name}: damaged or cut short at {end / rate:.2f} s{declared}"
        if decoded <= dropped or end < (length or 0) / 2:
            raise AudioError(f"{state}; copy it again from where it came or leave it out") from failure
        warnings.warn(f"{state}; the sound before that is used", TruncatedWarning, stacklevel=3)
    if decoded <= dropped:
        raise AudioError(f"{name}: ends at {end / rate:.2f} s; start before that, not at {start / rate:.2f} s")
    return np.concatenate(chunks)[dropped:]


def _next_chunk(source: OpenFile, frames: float) -> NDArray[np.float32]:
    name, decoder, _ = source
    chunk = decoder.read(out=np.empty((int(frames), decoder.channels), dtype=np.float32))
    if not np.isfinite(chunk).all():
        raise AudioError(f"{name}: has samples that are not finite (NaN or infinity); export it again or leave it out")
    if np.abs(chunk).max(initial=0) > MAX_SAMPLE:
        raise AudioError(f"{name}: its samples are too large for a sound; export it again or leave it out")
    return chunk.mean(axis=1, dtype=np.float64).astype(np.float32)


def _require_regular_file(path: str | os.PathLike[str], name: str) -> None:
    status = os.stat(path)
    if stat.S_ISDIR(status.st_mode):
        raise AudioError(f"{name}: is a folder; give the name of a sound file in it")
    if not stat.S_ISREG(status.st_mode):  # opening a named pipe would block forever
        raise AudioError(f"{name}: is not a regular file; copy the sound into one")
    if status.st_size == 0:
        raise AudioError(f"{name}: is empty (0 bytes); copy it again from where it came or leave it out")


def _has_length_tag(file: io.FileIO) -> bool:
    """Return whether the first frame of an MP3 (after an ID3v2 tag) states the length; the position is restored."""
    position = file.tell()
    file.seek(0)
    head = file.read(10)
    if head[:3] == b"ID3":  # the size of the tag follows in four bytes of seven bits
        size = 0
        for byte in head[6:]:
            size = size << 7 | byte & 127
        file.seek(len(head) + size)
    first = head + file.read(2048)
    file.seek(position)
    return any(tag in first for tag in (b"Xing", b"Info", b"VBRI"))
