"""Survey of a scanned folder: recordings that can be used, their lengths and levels, and reasons to skip others.

No spectrogram is computed here and nothing is dropped silently: every entry of the folder is either a `Recording`, a
`SkippedFile` with its reason, or a hidden file, which is counted.
"""

from __future__ import annotations

import hashlib
import itertools
import math
import warnings
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from soundgan import audio
from soundgan.audio.decode import MP3_SLACK
from soundgan.cpu import bounded_parallel_map
from soundgan.data.caching_reader import CachingReader
from soundgan.data.scan import ScanResult, SkippedFile, SkipReason, relative_name
from soundgan.errors import AudioError, DataError
from soundgan.files import printable
from soundgan.settings import DataSettings, SpectrogramSettings
from soundgan.spectral.presets import PRESETS, preset, with_duration
from soundgan.spectral.representation import Representation

MIN_SOUNDS = 8
SILENCE_DB = -60.0  # dBFS; a recording whose peak is below is left out as silent
MIN_SECONDS = 0.02
DURATIONS = (0.25, 10.0)  # s, of a spectrogram
CHUNK_SECONDS = 60.0  # of a long recording that are read at once
DURATION_MARGIN = 0.5  # s by which the duration of a representation may exceed the requested one

ProgressCallback = Callable[[int, int], None]


@dataclass(frozen=True)
class Recording:
    """A usable file. Levels are those of the part that is used, at the sample rate of its spectrograms."""

    path: Path
    label: str | None
    seconds: float
    sample_rate: int
    channels: int
    digest: str
    peak_db: float
    rms_db: float
    slices: tuple[int, ...] = (0,)  # those in use; slice k starts at k * duration
    silent_slices: int = 0
    unused_seconds: float = 0.0  # after the last slice
    damage: str = ""  # why only the part before it is used


@dataclass(frozen=True)
class Survey:
    """Usable recordings of a folder; `representation` has the levels of its preset, until `prepare` measures them."""

    scanned: ScanResult
    data: DataSettings
    spectrogram: SpectrogramSettings
    reader: CachingReader  # reads the same files again without opening them
    representation: Representation
    skipped: list[SkippedFile]  # by the scan or the survey
    files: list[Recording]

    @property
    def labels(self) -> list[str]:
        """The labels in use, sorted; empty for a flat folder."""
        return sorted({recording.label for recording in self.files if recording.label is not None})

    @property
    def sounds(self) -> int:
        """Number of spectrograms: recordings, or their slices."""
        return sum(len(recording.slices) for recording in self.files)

    def require_enough(self) -> None:
        """Raise `DataError` if there are too few sounds to train on."""
        if self.sounds < MIN_SOUNDS:
            raise DataError(_too_few(self.scanned.folder, self.sounds, self.skipped))

    def blocks(self, slices: Iterable[int]) -> Iterator[list[int]]:
        """Group slices of a recording into blocks of at most a minute, so that a long one is never in memory whole."""
        size = max(1, int(CHUNK_SECONDS / self.representation.duration))
        for _, group in itertools.groupby(slices, key=lambda index: index // size):
            yield list(group)

    def read_block(self, path: Path, block: list[int]) -> list[NDArray[np.float32]]:
        """Read some slices of a recording at once: mono, resampled, each at most `representation.samples` long."""
        rep = self.representation
        span = (block[-1] + 1 - block[0]) * rep.duration
        wave = self.reader.read(path, rep.sample_rate, block[0] * rep.duration, span)
        return [wave[(index - block[0]) * rep.samples :][: rep.samples] for index in block]


def survey(
    scanned: ScanResult,
    data: DataSettings,
    spectrogram: SpectrogramSettings,
    progress: ProgressCallback = lambda done, total: None,
    base: Representation | None = None,
) -> Survey:
    """Read the audio files of a scanned folder and check which can be used.

    The first level of sub-folders are the labels; a folder without them is unlabeled. The sample rate is the preset
    nearest to, and not above, the most common one. The duration is the 95th percentile of the lengths (the median when
    slicing). The settings override both. Recordings are checked by the part that will be used: all slices, or the
    beginning. Long files are read in chunks and only as far as needed.

    Args:
        progress: called with (steps done, steps in all), two steps a file.
        base: representation to use, with the frames of the duration, in place of that of the settings.

    Raises:
        DataError: no file can be used as sound.
    """
    folder, paths = scanned.folder, [candidate.path for candidate in scanned.candidates]
    longest = DURATIONS[1] if spectrogram.duration is None else spectrogram.duration
    reader = CachingReader(CHUNK_SECONDS if data.slice else longest + DURATION_MARGIN)
    skipped = list(scanned.skipped)
    readable: list[tuple[Path, audio.AudioInfo]] = []
    by_digest: dict[str, Recording] = {}
    with warnings.catch_warnings(action="ignore", category=audio.TruncatedWarning):  # the report lists them
        for done, (path, info) in enumerate(bounded_parallel_map(partial(_probe, reader=reader), paths), 1):
            progress(done, 2 * len(paths))
            if isinstance(info, SkippedFile):
                skipped.append(info)
            else:
                readable.append((path, info))
        if not readable:
            raise DataError(_too_few(folder, 0, skipped))
        representation = _choose_representation([info for _, info in readable], data, spectrogram, base)
        surveyed = Survey(scanned, data, spectrogram, reader, representation, skipped, files=[])
        labeled = any(len(path.relative_to(folder).parts) > 1 for path, _ in readable)
        measure = partial(_measure, surveyed=surveyed, root=folder if labeled else None)
        for done, recording in enumerate(bounded_parallel_map(measure, readable), 2 * len(paths) - len(readable) + 1):
            progress(done, 2 * len(paths))
            if isinstance(recording, SkippedFile):
                skipped.append(recording)
            elif (first := by_digest.setdefault(recording.digest, recording)) is not recording:
                same = f"the same sound as {relative_name(first.path, folder)}"
                skipped.append(SkippedFile(recording.path, SkipReason.DUPLICATE, same))
            else:
                surveyed.files.append(recording)
    skipped.sort(key=lambda item: item.path.as_posix())
    return surveyed


def _probe(path: Path, reader: CachingReader) -> tuple[Path, audio.AudioInfo | SkippedFile]:
    try:
        info = reader.probe(path)
    except AudioError as error:
        return path, SkippedFile.unreadable(path, error)
    if info.seconds < MIN_SECONDS:
        milliseconds = f"{info.seconds * 1000:.1f} ms, at least {MIN_SECONDS * 1000:.0f} needed"
        return path, SkippedFile(path, SkipReason.TOO_SHORT, milliseconds)
    return path, info


def _choose_representation(
    infos: list[audio.AudioInfo], data: DataSettings, spectrogram: SpectrogramSettings, base: Representation | None
) -> Representation:
    """Choose the values of the representation that the settings leave open, or else the frames of `base`."""
    # Of equally common rates the lower one, which every recording can fill.
    common = max(sorted(Counter(info.sample_rate for info in infos).items()), key=lambda item: item[1])[0]
    rate = spectrogram.sample_rate or max((rate for rate in PRESETS if rate <= common), default=min(PRESETS))
    # "lower": in a small folder, too, a single long recording must not decide.
    typical = np.percentile([info.seconds for info in infos], 50 if data.slice else 95, method="lower")
    duration = spectrogram.duration or float(np.clip(typical, *DURATIONS))
    bands, frames = spectrogram.image_size or (None, None)
    if base is not None:
        return with_duration(base, duration) if frames is None else base.with_changes(frames=frames)
    return preset(
        rate, duration, bands=bands, frames=frames, range_db=spectrogram.range_db, scale=spectrogram.scale,
        overlap=spectrogram.overlap,
    ).with_changes(window=spectrogram.window)  # fmt: skip


def _measure(item: tuple[Path, audio.AudioInfo], *, surveyed: Survey, root: Path | None) -> Recording | SkippedFile:
    """Read the part of a file that is used: its length, levels and digest; `root` is the folder of the labels."""
    path, info = item
    sliced, duration = surveyed.data.slice, surveyed.representation.duration
    count, unused = _slice_count(info.seconds, duration) if sliced else (1, 0.0)
    digest = hashlib.blake2b(digest_size=16)
    peaks: list[float] = []
    energy, samples = 0.0, 0
    damage = ""
    try:
        for block in surveyed.blocks(range(count)):
            for wave in surveyed.read_block(path, block):
                if wave.size:
                    peaks.append(float(np.abs(wave).max()))
                    energy += float(np.square(wave, dtype=np.float64).sum())
                    samples += wave.size
                    digest.update(wave.tobytes())
    except AudioError as error:
        unreadable = SkippedFile.unreadable(path, error)
        if not peaks:  # otherwise the blocks before the damage are used
            return unreadable
        damage = unreadable.detail
    seconds = samples / surveyed.representation.sample_rate
    if seconds < MIN_SECONDS:
        return SkippedFile(path, SkipReason.TOO_SHORT, f"only {seconds * 1000:.1f} ms can be read")
    if min(info.seconds - unused, count * duration) - seconds > MP3_SLACK / info.sample_rate:
        damage = damage or f"ends at {seconds:.2f} s of {info.seconds:.2f} s"
        unused = 0.0
    audible = [index for index, peak in enumerate(peaks) if peak >= 10 ** (SILENCE_DB / 20)]
    if not audible:
        where = "" if sliced or info.seconds <= duration else f" in the first {duration:.2f} s"
        return SkippedFile(path, SkipReason.SILENT, f"nothing above {SILENCE_DB:.0f} dBFS{where}")
    return Recording(
        path=path,
        label=path.relative_to(root).parts[0] if root else None,
        seconds=seconds if damage else info.seconds,
        sample_rate=info.sample_rate,
        channels=info.channels,
        digest=digest.hexdigest(),
        peak_db=20 * math.log10(max(peaks)),
        rms_db=10 * math.log10(energy / samples),
        slices=tuple(audible),
        silent_slices=len(peaks) - len(audible),
        unused_seconds=unused,
        damage=damage,
    )


def _slice_count(seconds: float, duration: float) -> tuple[int, float]:
    """Return the slices in a recording and the seconds left over; a remainder of at least half a slice counts."""
    whole = int(seconds / duration)
    remainder = seconds - whole * duration
    if whole == 0 or remainder >= duration / 2:
        return whole + 1, 0.0
    return whole, remainder


def _too_few(folder: Path, sounds: int, skipped: list[SkippedFile]) -> str:
    reasons: list[str] = []
    for reason, count in Counter(item.reason for item in skipped).most_common():
        example = next(item for item in skipped if item.reason == reason)
        detail = f": {example.detail}" if example.detail else ""
        reasons.append(f"{count} {reason} ({'' if count == 1 else 'as '}{relative_name(example.path, folder)}{detail})")
    why = f"; left out: {', '.join(reasons)}" if reasons else ""
    usable = f"{sounds or 'no'} usable sound{'' if sounds == 1 else 's'}"
    return f"{printable(folder)}: {usable} found, at least {MIN_SOUNDS} are needed{why}"
