"""Reading of many sound files, each opened once: decoded samples are kept in memory, up to a bound."""

from __future__ import annotations

from pathlib import Path
from threading import Lock
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from soundgan import audio
from soundgan.audio.decode import MP3_SLACK, decode, open_audio
from soundgan.audio.reader import resample_decoded
from soundgan.errors import AudioError
from soundgan.files import printable

MAX_KEPT_SECONDS = 60.0  # of a file: a later part opens the file again
MAX_KEPT_SAMPLES = 2**27  # of all files together, 512 MiB: files beyond it are opened again for each part


class _CachedSamples(NamedTuple):
    samples: NDArray[np.float32]  # the beginning of a file, at its own sample rate, mixed down
    sample_rate: int
    complete: bool


class CachingReader:
    """Reads files as `audio.probe` and `audio.read`; `probe` keeps the beginning of a file for `read`.

    A file is opened once if it is undamaged and its parts lie within `seconds` and MAX_KEPT_SAMPLES. Thread-safe.

    Args:
        seconds: of the beginning of each file that are kept.
    """

    def __init__(self, seconds: float = MAX_KEPT_SECONDS) -> None:
        self._seconds = min(seconds, MAX_KEPT_SECONDS)
        self._kept: dict[Path, _CachedSamples] = {}
        self._free, self._lock = MAX_KEPT_SAMPLES, Lock()

    def probe(self, path: Path) -> audio.AudioInfo:
        """Read the header of a file, and keep its beginning; see `audio.probe`."""
        with open_audio(path) as source:
            rate, frames = source.decoder.samplerate, source.frames
            wanted = round(self._seconds * rate)
            if frames is None:
                samples = decode(source)
                frames = samples.size
                if self._reserve(min(wanted, frames)):
                    self._kept[path] = _CachedSamples(samples[:wanted].copy(), rate, wanted >= frames)
            elif self._reserve(wanted := min(wanted, frames)):
                try:
                    samples = decode(source, 0, wanted)
                except AudioError:  # damaged: `read` opens it again, and says so for the part that it needs
                    samples = np.empty(0, np.float32)
                if samples.size and wanted - samples.size <= MP3_SLACK:
                    self._kept[path] = _CachedSamples(samples, rate, wanted == frames)
            return audio.AudioInfo(rate, frames, source.decoder.channels)

    def read(self, path: Path, sample_rate: int, start: float, seconds: float) -> NDArray[np.float32]:
        """Return a part of a file, (samples,), at a sample rate; see `audio.read`."""
        if kept := self._kept.get(path):
            first = round(start * kept.sample_rate)
            end = first + max(1, round(seconds * kept.sample_rate))
            if first < kept.samples.size and (kept.complete or end <= kept.samples.size):
                return resample_decoded(kept.samples[first:end], kept.sample_rate, sample_rate, printable(path))
        return audio.read(path, sample_rate, start=start, seconds=seconds)[0]

    def _reserve(self, samples: int) -> bool:
        with self._lock:
            fits = samples <= self._free
            self._free -= samples if fits else 0
            return fits
