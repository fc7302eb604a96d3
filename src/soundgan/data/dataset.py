"""Folder of sounds → labeled spectrograms, prepared once and cached."""

from __future__ import annotations

import contextlib
import hashlib
import itertools
import json
import os
import shutil
import time
import uuid
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from soundgan import audio
from soundgan.cpu import bounded_parallel_map
from soundgan.data.report import format_clipped, format_report
from soundgan.data.scan import ScanResult, scan
from soundgan.data.survey import ProgressCallback, Recording, Survey, survey
from soundgan.settings import DataSettings, SpectrogramSettings
from soundgan.spectral.pitch import Pitch, track
from soundgan.spectral.representation import Representation, levels_db, normalize

RMS_DB = -20.0  # dBFS, target of level = rms, unless the peak would exceed full scale
REPORTED_EXCESS_DB = 3.0  # excess over the ceiling above which a sound is reported as clipped
CACHE_FORMAT = 8  # raise it whenever the same files and settings would give other spectrograms
CHUNK_SIZE = 64  # spectrograms normalized at once
STALE_SECONDS = 24 * 3600  # age at which an unfinished cache entry is taken for that of a dead process


@dataclass(frozen=True)
class Dataset:
    """Prepared spectrograms.

    Shape:
        spectrograms: (n, 1, bands, frames), float32 in [-1, 1], mapped from the cache: read on demand, copied on write.
        pitch: (n, frames) each, of every spectrogram.
        lengths, levels: (n,) each, float32.
        labels: (n,), int64 indices into `label_names`; all zero where there are no labels.

    Attributes:
        lengths: of the sounds, in s, up to the last sample within 60 dB of the peak.
        levels: peaks of the sounds before leveling, in dBFS.
        unmatched_patterns: patterns of files to leave out that match no file.
    """

    spectrograms: NDArray[np.float32]
    pitch: Pitch
    lengths: NDArray[np.float32]
    levels: NDArray[np.float32]
    labels: NDArray[np.int64]
    label_names: list[str]
    representation: Representation
    report: str
    digest: str
    unmatched_patterns: Sequence[str] = ()

    def __len__(self) -> int:
        return len(self.labels)


def prepare(
    folder: Path,
    data: DataSettings,
    spectrogram: SpectrogramSettings,
    cache: Path,
    progress: ProgressCallback = lambda done, total: None,
    base: Representation | None = None,
) -> Dataset:
    """Compute the spectrograms of a folder of sounds, or load them from `cache` if files and settings are unchanged.

    A recording is leveled as a whole, cut to the duration or into slices, faded where it is cut, and padded with
    silence behind the last sample within 60 dB of its peak. The ceiling of the representation is the 99th percentile of
    the sounds' peak levels, the floor lies `range_db` below; the report says by how much louder sounds are clipped.
    The cache may be deleted at any time, and shared by processes that start at the same time.

    Args:
        folder: of sounds; overrides `data.dataroot`.
        progress: called with (steps done, steps in all); not at all when the cache is used.
        base: representation of a model to fine-tune, whose bands and levels the spectrograms have.

    Raises:
        DataError: the folder is missing or holds too few usable sounds.
    """
    scanned = scan(Path(folder), data.exclude)
    entry = Path(cache) / _key(scanned, data, spectrogram, base)
    dataset = _load(entry)
    if dataset is not None:
        return dataset
    # Two passes of about the same work in one progress bar: survey, then analysis.
    surveyed = survey(scanned, data, spectrogram, lambda done, total: progress(done, 2 * total), base)
    surveyed.require_enough()
    entry.parent.mkdir(parents=True, exist_ok=True)
    _remove_stale(entry.parent)
    staging = entry.parent / f".unfinished-{uuid.uuid4().hex}"
    staging.mkdir()
    try:
        with warnings.catch_warnings(action="ignore", category=audio.TruncatedWarning):  # the report lists them
            _write_dataset(surveyed, staging, progress, fixed_levels=base is not None)
        _publish(staging, entry)
    except OSError as error:  # of a full disk: it names no file
        raise OSError(error.errno, error.strerror, error.filename or str(cache)) from error
    finally:
        shutil.rmtree(staging, ignore_errors=True)
    dataset = _load(entry)
    assert dataset is not None, "the entry was just written"
    return dataset


def _key(scanned: ScanResult, data: DataSettings, spectrogram: SpectrogramSettings, base: Representation | None) -> str:
    """Return the key of the cache entry: settings that change spectrograms; names, sizes and times of files."""
    values = [
        data.model_dump(mode="json", include={"level", "slice"}),
        spectrogram.model_dump(mode="json", exclude={"original_image_size"}),
        base.model_dump(mode="json") if base is not None else None,
    ]
    digest = hashlib.blake2b(json.dumps([CACHE_FORMAT, *values], sort_keys=True).encode(), digest_size=12)
    for candidate in scanned.candidates:
        name = os.fsencode(candidate.path.relative_to(scanned.folder))
        digest.update(name + f"\0{candidate.size}\0{candidate.modified}\0".encode())
    # These change no spectrogram, but the report.
    for item in scanned.skipped:
        digest.update(os.fsencode(item.path.relative_to(scanned.folder)) + f"\0{item}\0".encode())
    digest.update(os.fsencode("\0".join((str(scanned.hidden), *scanned.unmatched_patterns))))
    return digest.hexdigest()


def _write_dataset(surveyed: Survey, target: Path, progress: ProgressCallback, *, fixed_levels: bool) -> None:
    """Write the spectrograms of a surveyed folder, their pitch, labels and representation into `target`.

    Args:
        fixed_levels: ceiling and floor are those of the survey's representation, rather than measured.
    """
    rep, sounds = surveyed.representation, surveyed.sounds
    header = {"descr": "<f4", "fortran_order": False, "shape": (sounds, 1, *rep.shape)}
    items = [(file, block) for file in surveyed.files for block in surveyed.blocks(file.slices)]
    loudest = np.empty(sounds, np.float32)
    pitch = np.empty((2, sounds, rep.frames), np.float32)
    lengths_and_levels = np.empty((2, sounds), np.float32)
    done = 0
    # Written before it is mapped: where the disk is full, a write to a hole of a mapped file kills the process.
    with (target / "spectrograms.npy").open("wb") as file:
        np.lib.format.write_array_header_1_0(file, header)
        for levels, tracked, measured in bounded_parallel_map(partial(_analyze, surveyed=surveyed), items):
            rows = slice(done, done + len(levels))
            file.write(levels.astype("<f4").tobytes())
            pitch[:, rows] = tracked
            lengths_and_levels[:, rows] = measured
            loudest[rows] = levels.max(axis=(1, 2))
            done += len(levels)
            progress(sounds + done, 2 * sounds)
    spectrograms = np.load(target / "spectrograms.npy", mmap_mode="r+")
    ceiling = rep.ceiling_db if fixed_levels else float(np.ceil(np.percentile(loudest, 99)))
    over = loudest[loudest > ceiling + REPORTED_EXCESS_DB] - ceiling
    rep = rep.with_changes(ceiling_db=ceiling, floor_db=ceiling - (rep.ceiling_db - rep.floor_db))
    for start in range(0, sounds, CHUNK_SIZE):
        rows = slice(start, start + CHUNK_SIZE)
        spectrograms[rows] = normalize(spectrograms[rows, 0], rep)
    spectrograms.flush()
    np.save(target / "pitch.npy", pitch)
    np.save(target / "lengths_and_levels.npy", lengths_and_levels)

    names = surveyed.labels
    labels = [names.index(file.label) if file.label is not None else 0 for file in surveyed.files for _ in file.slices]
    np.save(target / "labels.npy", np.array(labels, np.int64))
    summary = {
        "representation": rep.model_dump(),
        "label_names": names,
        "report": format_report(surveyed) + format_clipped(over.tolist(), ceiling),
        "digest": _content_digest(surveyed, rep),
        "unmatched_patterns": surveyed.scanned.unmatched_patterns,
    }
    (target / "dataset.json").write_text(json.dumps(summary, indent=1), encoding="utf-8")


def _analyze(
    item: tuple[Recording, list[int]], *, surveyed: Survey
) -> tuple[NDArray[np.float32], Pitch, NDArray[np.float64]]:
    """Analyze some slices of a recording: their bands' levels, pitch, lengths in s and peaks in dBFS.

    Shape: levels (slices, bands, frames), pitch (slices, frames) each, lengths and peaks (2, slices).
    """
    (file, block), representation, method = item, surveyed.representation, surveyed.data.level
    target_db = RMS_DB if method == "rms" else audio.PEAK_DB
    # One gain for a whole recording, so that its slices keep their differences.
    gain = np.float32(10 ** (audio.gain_db(file.peak_db, file.rms_db, method, target_db) / 20))
    fade_samples = round(audio.FADE_SECONDS * representation.sample_rate)
    fade = np.sin(np.linspace(0, np.pi / 2, fade_samples), dtype=np.float32) ** 2
    waves = np.zeros((len(block), representation.samples), np.float32)
    measured = np.empty((2, len(block)))
    for row, (index, wave) in enumerate(zip(block, surveyed.read_block(file.path, block), strict=True)):
        measured[1, row] = audio.peak_db(wave)
        sound = waves[row]
        sound[: wave.size] = wave * gain
        if index > 0:
            sound[: fade.size] *= fade
        if file.seconds > (index + 1) * representation.duration:
            sound[-fade.size :] *= fade[::-1]
        end = audio.end_of_sound(sound)
        measured[0, row] = end / representation.sample_rate
        tail = sound[end:]  # inaudible
        tail[: fade.size] *= fade[::-1][: tail.size]
        tail[fade.size :] = 0
    with_lead_in = np.pad(waves, ((0, 0), (representation.lead_in_samples, 0)))
    pitch = track(with_lead_in, representation.sample_rate, representation.hop_length)
    return levels_db(waves, representation), pitch, measured


def _content_digest(surveyed: Survey, representation: Representation) -> str:
    """Return a digest of the spectrograms, in the order of their names, independent of where the files lie."""
    sounds = [[file.label, file.digest, file.slices] for file in surveyed.files]
    # Default values are omitted, so that new fields do not change existing digests.
    values = representation.model_dump(exclude_defaults=True)
    text = json.dumps([values, surveyed.data.level, sounds], sort_keys=True)
    return hashlib.blake2b(text.encode(), digest_size=12).hexdigest()


def _load(entry: Path) -> Dataset | None:
    """Return the dataset of a cache entry; None if it is missing or damaged."""
    try:
        summary: dict[str, Any] = json.loads((entry / "dataset.json").read_text(encoding="utf-8"))
        summary["representation"] = rep = Representation.model_validate(summary["representation"])
        # Copy on write: callers get ordinary writable arrays, and the file does not change.
        spectrograms = np.load(entry / "spectrograms.npy", mmap_mode="c", allow_pickle=False)
        labels = np.load(entry / "labels.npy", allow_pickle=False)
        pitch = np.load(entry / "pitch.npy", allow_pickle=False)
        lengths_and_levels = np.load(entry / "lengths_and_levels.npy", allow_pickle=False)
        shapes = spectrograms.shape, pitch.shape, lengths_and_levels.shape
        if shapes != ((len(labels), 1, *rep.shape), (2, len(labels), rep.frames), (2, len(labels))):
            return None
        lengths, levels = lengths_and_levels
        return Dataset(spectrograms, Pitch(*pitch), lengths, levels, labels, **summary)
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _publish(staging: Path, entry: Path) -> None:
    """Rename a finished entry, unless another process finished first; a damaged one is replaced."""
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
    """Remove unfinished entries of processes that have died."""
    for path in cache.glob(".unfinished-*"):
        with contextlib.suppress(OSError):  # removed by another process
            if time.time() - path.stat().st_mtime > STALE_SECONDS:
                shutil.rmtree(path, ignore_errors=True)
