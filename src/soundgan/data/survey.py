"""Folder → checked list of recordings: what can be used, how long it is, and what is left out and why.

Nothing is painted here and nothing is dropped silently: whatever lies in the folder is either a `Recording`, a
`SkippedFile` with its reason, or a hidden file, which is counted.
"""

from __future__ import annotations

import hashlib
import itertools
import math
import warnings
from collections import Counter, deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from soundgan import audio
from soundgan.audio.decode import MP3_SLACK
from soundgan.cpu import cores
from soundgan.data.scan import SkippedFile, relative_name, scan
from soundgan.errors import AudioError, DataError
from soundgan.files import printable
from soundgan.settings import Settings
from soundgan.spectral.presets import DEFAULT_BANDS, PRESETS, preset
from soundgan.spectral.representation import Representation

FEWEST_SOUNDS = 8
SILENCE_DB = -60.0  # dBFS; a recording whose peak is below holds nothing to learn
SHORTEST = 0.02  # s
DURATIONS = (0.25, 10.0)  # s, what a spectrogram can hold
_BLOCK = 60.0  # s of a long recording that are read at once

ProgressCallback = Callable[[int, int], None]
Item = TypeVar("Item")
Result = TypeVar("Result")


@dataclass(frozen=True)
class Recording:
    """A usable file. Levels are those of the part that is painted, at the sample rate that it is painted with."""

    path: Path
    label: str | None
    seconds: float
    sample_rate: int
    channels: int
    digest: str
    peak_db: float
    rms_db: float
    slices: tuple[int, ...] = (0,)  # the slices that are painted; slice k starts at k * duration
    silent_slices: int = 0
    unused_seconds: float = 0.0  # cut off behind the last slice
    damage: str = ""  # why only the part before it is used


@dataclass(frozen=True)
class Survey:
    """What a folder offers. `representation` has its levels still unmeasured: `prepare` measures the ceiling."""

    folder: Path
    files: list[Recording]
    skipped: list[SkippedFile]
    hidden: int
    unmatched_patterns: list[str]  # patterns to leave out that no file fits
    representation: Representation
    sliced: bool
    fitted: bool  # the duration follows from the recordings

    @property
    def labels(self) -> list[str]:
        """The labels in use, sorted; empty for a flat folder."""
        return sorted({recording.label for recording in self.files if recording.label is not None})

    @property
    def sounds(self) -> int:
        """Number of spectrograms that the folder makes: recordings, or their slices."""
        return sum(len(recording.slices) for recording in self.files)

    def report(self, most: int | None = 10) -> str:
        """The survey as plain text; of every kind of left-out file, `most` are named (None: all), all are counted."""
        from soundgan.data.report import survey_report

        return survey_report(self, most)

    def require_enough(self) -> None:
        """Raise `DataError` if there are too few sounds to learn from."""
        if self.sounds < FEWEST_SOUNDS:
            raise DataError(_too_few(self.folder, self.sounds, self.skipped))


def survey(folder: Path, settings: Settings, progress: ProgressCallback | None = None) -> Survey:
    """Look through a folder of sounds and open every audio file in it once.

    The first level of sub-folders are the labels; a folder without them is unlabelled. The sample rate is the preset
    nearest to, and not above, the most common one. The duration holds 95 % of the recordings whole; when slicing, the
    typical (median) one, as longer ones are sliced. `settings` overrides both. Recordings are judged by the part that
    will be painted: all slices, or the beginning. Long files are read in pieces and only as far as needed.

    Args:
        progress: called with (files read, files to read).

    Raises:
        DataError: the folder is missing or no file in it can be used as sound.
    """
    folder = Path(folder)
    found = scan(folder, settings.data.exclude)
    skipped = list(found.skipped)
    readable: list[tuple[Path, audio.AudioInfo]] = []
    with ignore_truncation_warnings():
        for path, info in bounded_parallel_map(_probe, [candidate.path for candidate in found.candidates]):
            if isinstance(info, SkippedFile):
                skipped.append(info)
            else:
                readable.append((path, info))
    if not readable:
        raise DataError(_too_few(folder, 0, skipped))

    representation = _choose([info for _, info in readable], settings)
    files: list[Recording] = []
    first_with: dict[str, Recording] = {}
    labelled = any(len(path.relative_to(folder).parts) > 1 for path, _ in readable)
    examine = partial(
        _examine, folder=folder, labelled=labelled, representation=representation, sliced=settings.data.slice
    )
    done = len(found.candidates) - len(readable)
    with ignore_truncation_warnings():
        for recording in bounded_parallel_map(examine, readable):
            done += 1
            if progress is not None:
                progress(done, len(found.candidates))
            if isinstance(recording, SkippedFile):
                skipped.append(recording)
            elif (first := first_with.setdefault(recording.digest, recording)) is not recording:
                same = f"the same sound as {relative_name(first.path, folder)}"
                skipped.append(SkippedFile(recording.path, "duplicate", same))
            else:
                files.append(recording)
    fitted = settings.spectrogram.duration is None and settings.spectrogram.image_size is None
    skipped.sort(key=lambda item: item.path.as_posix())
    return Survey(
        folder, files, skipped, found.hidden, found.unmatched_patterns, representation, settings.data.slice, fitted
    )


def blocks(slices: Iterable[int], representation: Representation) -> Iterator[list[int]]:
    """Group slices of a recording into runs of at most a minute, so that one of hours never lies in memory whole."""
    size = max(1, int(_BLOCK / representation.duration))
    for _, group in itertools.groupby(slices, key=lambda index: index // size):
        yield list(group)


def read_block(path: Path, block: list[int], representation: Representation) -> list[NDArray[np.float32]]:
    """Read some slices of a recording at once: mono, resampled, each at most `representation.samples` long."""
    samples, duration = representation.samples, representation.duration
    span = (block[-1] + 1 - block[0]) * duration
    wave, _ = audio.read(path, representation.sample_rate, start=block[0] * duration, seconds=span)
    return [wave[(index - block[0]) * samples :][:samples] for index in block]


@contextmanager
def ignore_truncation_warnings() -> Iterator[None]:
    """Without warnings of truncated files, which the report tells of.

    For the thread that starts the others, since warnings are filtered for the whole process.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", audio.TruncatedWarning)
        yield


def bounded_parallel_map(work: Callable[[Item], Result], items: Iterable[Item]) -> Iterator[Result]:
    """`map` on a thread for every core that keeps only a few results ahead of the one that is asked for."""
    threads = min(cores(), 16)
    pool = ThreadPoolExecutor(threads)
    ahead: deque[Future[Result]] = deque()
    try:
        for item in items:
            ahead.append(pool.submit(work, item))
            if len(ahead) > 8 * threads:
                yield ahead.popleft().result()
        while ahead:
            yield ahead.popleft().result()
    finally:
        pool.shutdown(cancel_futures=True)


def _probe(path: Path) -> tuple[Path, audio.AudioInfo | SkippedFile]:
    try:
        info = audio.probe(path)
    except AudioError as error:
        return path, SkippedFile(path, "unreadable", str(error).removeprefix(f"{printable(path)}: "))
    if info.seconds < SHORTEST:
        return path, SkippedFile(
            path, "too short", f"{info.seconds * 1000:.1f} ms, at least {SHORTEST * 1000:.0f} needed"
        )
    return path, info


def _choose(infos: list[audio.AudioInfo], settings: Settings) -> Representation:
    """The representation for these recordings, where the settings leave it open."""
    # Of equally common rates the lower one, which every recording can fill.
    common = max(sorted(Counter(info.sample_rate for info in infos).items()), key=lambda item: item[1])[0]
    rate = settings.spectrogram.sample_rate or max(
        [preset for preset in PRESETS if preset <= common], default=min(PRESETS)
    )
    # "lower": in a small folder, too, a single long recording must not decide.
    typical = np.percentile([info.seconds for info in infos], 50 if settings.data.slice else 95, method="lower")
    duration = settings.spectrogram.duration or float(np.clip(typical, *DURATIONS))
    bands, frames = settings.spectrogram.image_size or (DEFAULT_BANDS, None)
    return preset(
        rate, duration, bands=bands, frames=frames, range_db=settings.spectrogram.range_db,
        scale=settings.spectrogram.scale, overlap=settings.spectrogram.overlap,
    ).with_changes(window=settings.spectrogram.window)  # fmt: skip


def _examine(
    item: tuple[Path, audio.AudioInfo], *, folder: Path, labelled: bool, representation: Representation, sliced: bool
) -> Recording | SkippedFile:
    """Read what will be painted of one file, once: is it sound, how loud is it, and is it unlike the others?"""
    path, info = item
    rate, duration = representation.sample_rate, representation.duration
    count, unused = _slice_count(info.seconds, duration) if sliced else (1, 0.0)
    digest = hashlib.blake2b(digest_size=16)
    peaks: list[float] = []
    energy, samples = 0.0, 0
    damage = ""
    try:
        for block in blocks(range(count), representation):
            for wave in read_block(path, block, representation):
                if wave.size:
                    peaks.append(float(np.abs(wave).max()))
                    energy += float(np.square(wave, dtype=np.float64).sum())
                    samples += wave.size
                    digest.update(wave.tobytes())
    except AudioError as error:
        damage = str(error).removeprefix(f"{printable(path)}: ")
        if not peaks:  # otherwise the blocks before the damage are used
            return SkippedFile(path, "unreadable", damage)
    seconds = samples / rate
    if seconds < SHORTEST:
        return SkippedFile(path, "too short", f"only {seconds * 1000:.1f} ms can be read")
    if min(info.seconds - unused, count * duration) - seconds > MP3_SLACK / info.sample_rate:
        damage = damage or f"ends at {seconds:.2f} s of {info.seconds:.2f} s"
        unused = 0.0
    audible = [index for index, peak in enumerate(peaks) if peak >= 10 ** (SILENCE_DB / 20)]
    if not audible:
        where = "" if sliced or info.seconds <= duration else f" in the first {duration:.2f} s"
        return SkippedFile(path, "silent", f"nothing above {SILENCE_DB:.0f} dBFS{where}")
    return Recording(
        path=path,
        label=path.relative_to(folder).parts[0] if labelled else None,
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
    """Slices in a recording, and the seconds left behind the last one: a remainder of half a slice counts as one."""
    whole = int(seconds / duration)
    remainder = seconds - whole * duration
    if whole == 0 or remainder >= duration / 2:
        return whole + 1, 0.0
    return whole, remainder


def _too_few(folder: Path, sounds: int, skipped: list[SkippedFile]) -> str:
    kinds: list[str] = []
    for kind, count in Counter(item.kind for item in skipped).most_common():
        example = next(item for item in skipped if item.kind == kind)
        detail = f": {example.detail}" if example.detail else ""
        kinds.append(f"{count} {kind} ({'' if count == 1 else 'as '}{relative_name(example.path, folder)}{detail})")
    why = f"; left out: {', '.join(kinds)}" if kinds else ""
    usable = f"{sounds or 'no'} usable sound{'' if sounds == 1 else 's'}"
    return f"{printable(folder)}: {usable} found, at least {FEWEST_SOUNDS} are needed{why}"
