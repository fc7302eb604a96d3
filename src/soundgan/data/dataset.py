"""Checked list of recordings → labelled spectrograms, prepared once and cached."""

from __future__ import annotations

import hashlib
import itertools
import json
import os
import shutil
import time
import uuid
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from soundgan.data.report import limited_report
from soundgan.data.scan import scan
from soundgan.data.survey import (
    ProgressCallback,
    Recording,
    Survey,
    blocks,
    bounded_parallel_map,
    ignore_truncation_warnings,
    read_block,
    survey,
)
from soundgan.settings import Settings
from soundgan.spectral.pitch import Pitch, track
from soundgan.spectral.representation import Representation, levels_db, normalize

PEAK_DB = -1.0  # dBFS that recordings are levelled to with level = peak
RMS_DB = -20.0  # dBFS that recordings are levelled to with level = rms, where their peaks allow it
AUDIBLY = 3.0  # dB above the ceiling from which on it is told
_FADE = 0.005  # s, at every cut through a sound, so that it does not click
_FORMAT = 4  # of the cache; raise it whenever the same files and settings would be painted differently
_BATCH = 64  # spectrograms worked on at once by one thread
_ABANDONED = 24 * 3600  # s after which a half-made cache entry is taken for that of a dead process
_SETTINGS = {
    "data": {"level", "slice"},
    "spectrogram": {"sample_rate", "duration", "image_size", "range_db", "scale", "window", "overlap"},
}


@dataclass(frozen=True)
class Dataset:
    """Prepared spectrograms.

    Shape:
        spectrograms (n, 1, bands, frames), float32 in [-1, 1], mapped from the cache: read as needed, and writing to them
        changes no file. pitch (n, frames), of each recording. labels (n,), int64 indices into `label_names`; all zero
        where there are no labels.
    """

    spectrograms: NDArray[np.float32]
    pitch: Pitch
    labels: NDArray[np.int64]
    label_names: list[str]
    representation: Representation
    report: str
    digest: str

    def __len__(self) -> int:
        return len(self.labels)


def prepare(folder: Path, settings: Settings, cache: Path, progress: ProgressCallback | None = None) -> Dataset:
    """Paint a folder of sounds, or take the spectrograms from `cache` if neither files nor settings have changed.

    A recording is levelled as a whole, cut to the duration or into slices, faded where it is cut, padded with silence
    at its end, and painted. The ceiling of the representation is the level that 99 of 100 sounds stay below, its floor
    a range below; how far louder ones are limited is told in the report.
    The cache may be deleted at any time, and shared by processes that start at once.

    Args:
        progress: called with (steps done, steps in all); not at all when the cache serves.

    Raises:
        DataError: the folder is missing or holds too few usable sounds.
    """
    folder, cache = Path(folder), Path(cache)
    key = _key(folder, settings)
    dataset = _load(cache / key)
    if dataset is not None:
        return dataset
    # Two passes of about the same work, shown as one bar: survey, then paint.
    found = survey(folder, settings, progress and (lambda done, total: progress(done, 2 * total)))
    found.require_enough()
    cache.mkdir(parents=True, exist_ok=True)
    _remove_stale(cache)
    staging = cache / f".unfinished-{uuid.uuid4().hex}"
    staging.mkdir()
    try:
        with ignore_truncation_warnings():
            _write_spectrograms(found, settings, staging, progress)
        _put(staging, cache / key)
    finally:
        shutil.rmtree(staging, ignore_errors=True)
    dataset = _load(cache / key)
    assert dataset is not None, "what was just written can be read"
    return dataset


def _key(folder: Path, settings: Settings) -> str:
    """Key of the cache entry: settings that change spectrograms, and names, sizes and times of files; none is opened."""
    values = settings.model_dump(mode="json", include=_SETTINGS)
    digest = hashlib.blake2b(json.dumps([_FORMAT, values], sort_keys=True).encode(), digest_size=12)
    found = scan(folder, settings.data.exclude)
    for candidate in found.candidates:
        name = os.fsencode(candidate.path.relative_to(folder))
        digest.update(name + f"\0{candidate.size}\0{candidate.changed}\0".encode())
    # These change no spectrogram, but the report.
    for item in found.skipped:
        digest.update(os.fsencode(item.path.relative_to(folder)) + f"\0{item.reason}\0".encode())
    digest.update("\0".join((str(found.hidden), *found.unmatched_patterns)).encode())
    return digest.hexdigest()


def _write_spectrograms(found: Survey, settings: Settings, target: Path, progress: ProgressCallback | None) -> None:
    """Write the spectrograms of a surveyed folder, their labels and their representation into `target`."""
    rep = found.representation
    spectrograms = np.lib.format.open_memmap(
        target / "spectrograms.npy", mode="w+", dtype=np.float32, shape=(found.sounds, 1, *rep.shape)
    )
    work = [(file, block) for file in found.files for block in blocks(file.slices, rep)]
    loudest = np.empty(found.sounds, np.float32)
    pitch = np.empty((2, found.sounds, rep.frames), np.float32)
    done = 0
    for levels, tracked in bounded_parallel_map(
        partial(_analyse, representation=rep, method=settings.data.level), work
    ):
        rows = slice(done, done + len(levels))
        spectrograms[rows, 0] = levels
        pitch[:, rows] = tracked
        loudest[rows] = levels.max(axis=(1, 2))
        done += len(levels)
        if progress is not None:
            progress(found.sounds + done, 2 * found.sounds)
    ceiling = float(np.ceil(np.percentile(loudest, 99)))
    over = loudest[loudest > ceiling + AUDIBLY] - ceiling
    span = rep.ceiling_db - rep.floor_db
    rep = rep.with_changes(ceiling_db=ceiling, floor_db=ceiling - span)
    for start in range(0, len(spectrograms), _BATCH):
        rows = slice(start, start + _BATCH)
        spectrograms[rows] = normalize(spectrograms[rows, 0], rep)
    spectrograms.flush()
    np.save(target / "pitch.npy", pitch)

    names = found.labels
    labels = [names.index(file.label) if file.label is not None else 0 for file in found.files for _ in file.slices]
    np.save(target / "labels.npy", np.array(labels, np.int64))
    summary = {
        "representation": rep.model_dump(),
        "label_names": names,
        "report": found.report() + limited_report(over.tolist(), ceiling),
        "digest": _content(found, rep, settings),
    }
    (target / "dataset.json").write_text(json.dumps(summary, indent=1), encoding="utf-8")


def _analyse(
    item: tuple[Recording, list[int]], *, representation: Representation, method: str
) -> tuple[NDArray[np.float32], Pitch]:
    """Levels in dBFS of some slices of one recording, (slices, bands, frames), and their pitch."""
    file, block = item
    fade = np.sin(np.linspace(0, np.pi / 2, round(_FADE * representation.sample_rate)), dtype=np.float32) ** 2
    waves = np.zeros((len(block), representation.samples), np.float32)
    for row, index, wave in zip(waves, block, read_block(file.path, block, representation), strict=True):
        row[: wave.size] = wave * _gain(file, method)
        if index > 0:
            row[: fade.size] *= fade
        if file.seconds > (index + 1) * representation.duration:
            row[-fade.size :] *= fade[::-1]
    return levels_db(waves, representation), track(waves, representation.sample_rate, representation.hop_length)


def _gain(file: Recording, method: str) -> np.float32:
    """Factor that levels a whole recording, so that the slices of one keep their differences."""
    if method == "peak":
        return np.float32(10 ** ((PEAK_DB - file.peak_db) / 20))
    if method == "rms":
        return np.float32(10 ** (min(RMS_DB - file.rms_db, -file.peak_db) / 20))
    return np.float32(1)


def _content(found: Survey, representation: Representation, settings: Settings) -> str:
    """Digest of what is painted and how, in its order by names, wherever the files lie."""
    sounds = [[file.label, file.digest, file.slices] for file in found.files]
    # Without defaults: a value that representations gain later leaves the digests of today as they are.
    painted = representation.model_dump(exclude_defaults=True)
    told = json.dumps([painted, settings.data.level, sounds], sort_keys=True)
    return hashlib.blake2b(told.encode(), digest_size=12).hexdigest()


def _load(entry: Path) -> Dataset | None:
    """The dataset of a cache entry; None if there is none, or a damaged one."""
    try:
        summary: dict[str, Any] = json.loads((entry / "dataset.json").read_text(encoding="utf-8"))
        representation = Representation.model_validate(summary["representation"])
        # Copy on write: what reads the spectrograms gets ordinary writable arrays, and the file stays as it is.
        spectrograms = np.load(entry / "spectrograms.npy", mmap_mode="c", allow_pickle=False)
        labels = np.load(entry / "labels.npy", allow_pickle=False)
        pitch = np.load(entry / "pitch.npy", allow_pickle=False)
        if spectrograms.shape != (len(labels), 1, *representation.shape):
            return None
        if pitch.shape != (2, len(labels), representation.frames):
            return None
        told = summary["label_names"], representation, summary["report"], summary["digest"]
        return Dataset(spectrograms, Pitch(*pitch), labels, *told)
    except (OSError, ValueError, KeyError):
        return None


def _put(staging: Path, entry: Path) -> None:
    """Move a finished entry to its place, unless another process was faster; a damaged one makes room."""
    for attempt in itertools.count():
        try:
            os.rename(staging, entry)
            return
        except OSError:
            if _load(entry) is not None:
                return
            if attempt == 3:
                raise
            shutil.rmtree(entry, ignore_errors=True)


def _remove_stale(cache: Path) -> None:
    for path in cache.glob(".unfinished-*"):
        try:
            if time.time() - path.stat().st_mtime > _ABANDONED:
                shutil.rmtree(path, ignore_errors=True)
        except OSError:
            continue  # another process was faster
