"""Under `audio.read` and `audio.probe`: opening sound files whose headers may lie, and decoding a part of them."""

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

BLOCK = 4096  # frames decoded at a time: memory stays flat, and no more than this is lost before a damaged spot
RATES = range(1_000, 768_001)  # Hz; a header that claims 1 Hz would fill the memory when it is resampled
NO_LENGTH = 2**62  # libsndfile gives a stream without a length nearly 2**63 frames
MP3_SLACK = 2 * 1152  # frames that an MP3 may honestly be shorter than its length tag says: the coder's delay


class TruncatedWarning(UserWarning):
    """The decoder met damage or a missing end; what came before was used."""


class Source(NamedTuple):
    """An open sound file: its name for messages, the decoder, and the frames in its header (None: not known)."""

    name: str
    stream: Stream
    frames: int | None


class Stream(soundfile.SoundFile):
    """A decoder on which a short read is a short read.

    A seekable `SoundFile` seeks after each read and so loses what it read where the file ends before its header says.
    Denying that it is seekable stops that; `seek` works all the same.
    """

    def seekable(self) -> bool:
        return False


class _Unmeasured(io.FileIO):
    """An MP3 file that claims to be far longer than it is.

    Without a length tag the decoder guesses the length from the file's bytes and its first bit rate, and stops there: a
    file of variable bit rate loses most of its sound. Led to guess far too much, it stops where the file does.
    """

    _claimed = 0

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        position = super().seek(offset, whence)
        self._claimed = 64 * position if (offset, whence) == (0, os.SEEK_END) else 0
        return self._claimed or position

    def tell(self) -> int:
        return self._claimed or super().tell()


@contextlib.contextmanager
def open_audio(path: str | os.PathLike[str]) -> Iterator[Source]:
    """Open a sound file; raises `AudioError`, naming it, if it is missing, empty or not a sound file."""
    name = printable(path)
    with contextlib.ExitStack() as stack:
        try:
            _refuse_all_but_files(path, name)
            file = stack.enter_context(open(path, "rb", buffering=0))
            stream = stack.enter_context(Stream(file))
            frames = stream.frames if stream.frames < NO_LENGTH else None
            if stream.format == "MP3" and not _has_length_tag(path):
                stream, frames = stack.enter_context(Stream(stack.enter_context(_Unmeasured(path)))), None
        except (soundfile.LibsndfileError, TypeError) as error:  # TypeError: a name that ends in .raw
            # Their own words are left out: they tell of chunks and pipes, or of no more than this.
            raise AudioError(
                f"{name}: not a sound file, or damaged at its beginning; use WAV, FLAC, OGG, MP3 or AIFF"
            ) from error
        except (OSError, ValueError) as error:  # ValueError: a zero character in the name
            reason = getattr(error, "strerror", None) or error
            raise AudioError(f"{name}: cannot be opened ({reason}); check its name and its permissions") from error
        if stream.samplerate not in RATES:
            raise AudioError(
                f"{name}: a sample rate of {stream.samplerate} Hz is not one of sound ({RATES[0]} to {RATES[-1]} Hz);"
                " export it again or leave it out"
            )
        if frames == 0:
            raise AudioError(f"{name}: holds no sound (zero length); export it again or leave it out")
        yield Source(name, stream, frames)


def decode(source: Source, start: int = 0, frames: int | None = None) -> NDArray[np.float32]:
    """Decode `frames` frames (None: all) from frame `start` and average the channels: `(samples,)`.

    Raises `AudioError` if there is no sound in that part, if the decoder gives up before half of the file, or for
    samples that are not finite; gives `TruncatedWarning` if it gives up later.
    """
    name, stream, length = source
    rate = stream.samplerate
    if length is not None and start >= length:
        raise AudioError(f"{name}: ends at {length / rate:.2f} s; start before that, not at {start / rate:.2f} s")
    # Seeking relies on the length; where that is not known, what comes before the part is decoded and dropped.
    dropped = start if length is None else 0
    wanted = math.inf if frames is None else dropped + frames
    if length is not None:
        wanted = min(wanted, length - start)
    blocks: list[NDArray[np.float32]] = []
    got = 0
    failure: Exception | None = None
    try:
        if start > dropped:
            stream.seek(start)
        while got < wanted and (block := _next_block(source, min(wanted - got, BLOCK))).size:
            blocks.append(block)
            got += block.size
    except soundfile.LibsndfileError as error:
        failure = error
    end = start - dropped + got
    if failure is not None or (length is not None and wanted - got > MP3_SLACK):
        promise = "" if length is None else f" of {length / rate:.2f} s"
        state = f"{name}: damaged or cut short at {end / rate:.2f} s{promise}"
        if got <= dropped or end < (length or 0) / 2:
            raise AudioError(f"{state}; copy it again from where it came or leave it out") from failure
        warnings.warn(f"{state}; the sound before that is used", TruncatedWarning, stacklevel=3)
    if got <= dropped:
        raise AudioError(f"{name}: ends at {end / rate:.2f} s; start before that, not at {start / rate:.2f} s")
    return np.concatenate(blocks)[dropped:]


def _next_block(source: Source, frames: float) -> NDArray[np.float32]:
    name, stream, _ = source
    block = stream.read(out=np.empty((int(frames), stream.channels), dtype=np.float32))
    if not np.isfinite(block).all():
        raise AudioError(f"{name}: has samples that are not finite (NaN or infinity); export it again or leave it out")
    return block.mean(axis=1, dtype=np.float64).astype(np.float32)


def _refuse_all_but_files(path: str | os.PathLike[str], name: str) -> None:
    status = os.stat(path)
    if stat.S_ISDIR(status.st_mode):
        raise AudioError(f"{name}: is a folder; give the name of a sound file in it")
    if not stat.S_ISREG(status.st_mode):  # opening a named pipe would wait for ever
        raise AudioError(f"{name}: is not a regular file; copy the sound into one")
    if status.st_size == 0:
        raise AudioError(f"{name}: is empty (0 bytes); copy it again from where it came or leave it out")


def _has_length_tag(path: str | os.PathLike[str]) -> bool:
    """Whether the first frame of an MP3 (after an ID3v2 tag) says how long the sound is."""
    with open(path, "rb") as file:
        head = file.read(10)
        if head[:3] == b"ID3":  # the size of the tag follows in four bytes of seven bits
            size = 0
            for byte in head[6:]:
                size = size << 7 | byte & 127
            file.seek(len(head) + size)
        first = head + file.read(2048)
    return any(tag in first for tag in (b"Xing", b"Info", b"VBRI"))
