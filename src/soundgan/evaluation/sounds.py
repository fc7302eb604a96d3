"""Real and generated sounds of an evaluation: at one sample rate, of one length and at one peak level."""

from __future__ import annotations

import hashlib
import math
import warnings
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from soundgan import audio
from soundgan.cpu import bounded_parallel_map
from soundgan.data.scan import AUDIO_SUFFIXES, SkippedFile, SkipReason, matching_patterns, relative_name, scan
from soundgan.data.survey import MIN_SECONDS, MIN_SOUNDS, SILENCE_DB
from soundgan.errors import AudioError, DataError
from soundgan.evaluation.features.logmel import Floats
from soundgan.evaluation.options import EvaluationOptions
from soundgan.files import printable


@dataclass(frozen=True)
class Sounds:
    """Sounds at one sample rate.

    Attributes:
        waves: (samples,) each, float32, at most `seconds` long.
        sample_rate: in Hz.
        seconds: length to pad or cut to where equal lengths are needed.
        labels: one for each sound; empty for sounds without labels.
        names: one for each sound, for reports.
        peaks_db: peak level of each sound before leveling, in dBFS.
        frame_rate: of the spectrograms that they were synthesized from, in Hz; NaN for recordings.
    """

    waves: Sequence[Floats]
    sample_rate: int
    seconds: float
    labels: Sequence[str] = ()
    names: Sequence[str] = ()
    peaks_db: Sequence[float] = ()
    frame_rate: float = math.nan

    def __len__(self) -> int:
        return len(self.waves)

    def __getitem__(self, indices: Iterable[int]) -> Sounds:
        """Return the sounds of some indices, in their order."""
        chosen = [int(i) for i in indices]
        waves, labels, names, peaks_db = (
            [items[i] for i in chosen] if len(items) else []
            for items in (self.waves, self.labels, self.names, self.peaks_db)
        )
        return replace(self, waves=waves, labels=labels, names=names, peaks_db=peaks_db)

    def __add__(self, other: Sounds) -> Sounds:
        return replace(
            self,
            waves=[*self.waves, *other.waves],
            labels=[*self.labels, *other.labels],
            names=[*self.names, *other.names],
            peaks_db=[*self.peaks_db, *other.peaks_db],
        )

    def sample_indices(self, n: int, seed: int) -> NDArray[np.int64]:
        """Return indices of at most `n` sounds, stratified by label; the same for the same seed."""
        if n >= len(self):
            return np.arange(len(self))
        return np.sort(stratified_indices(self.labels or [""] * len(self), n, seed))


@dataclass(frozen=True)
class RealSplit:
    """The real sounds of a folder, split in two.

    Attributes:
        train: sounds that the model may have been trained on.
        held_out: sounds for the real baseline.
        held_out_is_unseen: the model was trained on none of the held-out sounds.
        train_files: files of the training part, with their labels.
        skipped: files that are not used.
        test_patterns: patterns of the held-out files; if no file matches, the parts are two random halves.
        sliced: long recordings were cut into slices.
    """

    train: Sounds
    held_out: Sounds
    held_out_is_unseen: bool = True
    train_files: Sequence[tuple[Path, str]] = ()
    skipped: Sequence[SkippedFile] = ()
    test_patterns: Sequence[str] = ()
    sliced: bool = False

    @property
    def possible_training_sounds(self) -> Sounds:
        """All sounds that the model may have been trained on."""
        return self.train if self.held_out_is_unseen else self.train + self.held_out

    @property
    def train_title(self) -> str:
        """Name of the training part in reports."""
        return "training sounds" if self.held_out_is_unseen else "other real sounds"

    @property
    def labels(self) -> list[str]:
        """All labels, sorted; empty for sounds without labels."""
        return sorted({*self.train.labels, *self.held_out.labels})


def stratified_indices(labels: Sequence[str], n: int, seed: int) -> NDArray[np.int64]:
    """Indices of `n` sounds in which labels are as frequent as in `labels`, to the nearest whole sound.

    At equal steps through the sounds in the order of their labels, in random order within each. No index is repeated
    before all have been taken.
    """
    order = np.lexsort((np.random.default_rng(seed).random(len(labels)), np.unique(labels, return_inverse=True)[1]))
    return order[((np.arange(n) + 0.5) * len(labels) / n).astype(np.int64)] if n else order[:0]


def as_file(wave: Floats) -> Floats:
    """Wave as it would be in its file: at a peak of -1 dBFS, and rounded to 16 bits."""
    return (np.rint(audio.level(wave, "peak") * 2**15) / 2**15).astype(np.float32)


def read_real_sounds(
    folder: Path,
    sample_rate: int,
    seconds: float,
    options: EvaluationOptions,
    *,
    excluded: Sequence[str] | None = None,
    slices: bool = False,
) -> RealSplit:
    """Read a folder of real sounds and split it; sub-folders of the first level are labels.

    The held-out files are those whose path below the folder matches `options.test_pattern`, or else one of `excluded`.
    If there are none, the parts are two random halves. Unreadable, silent and very short files are skipped,
    and so are duplicates: a held-out sound that is also a training sound is not unseen.

    Args:
        excluded: patterns of the files that the model was not trained on; None: the held-out ones.
        slices: cut long recordings into slices of `seconds`, as trainings with `slice` do; by default only their
            beginning is used.

    Raises:
        DataError: the folder is missing, has too few sounds, or the patterns leave no training or no test sounds.
    """
    scanned = scan(folder)
    paths = [candidate.path for candidate in scanned.candidates]
    labeled = any(path.parent != folder for path in paths)
    labels = {path: path.relative_to(folder).parts[0] if labeled else "" for path in paths}
    patterns = list(excluded or []) if options.test_pattern is None else [options.test_pattern]
    held_out = {path for path in paths if matching_patterns(path, folder, patterns)}
    unseen = bool(held_out) and all(excluded is None or matching_patterns(path, folder, excluded) for path in held_out)
    if not held_out and options.test_pattern is not None:
        raise DataError(
            f"{printable(folder)}: no sound in it matches the test pattern {options.test_pattern}; patterns are "
            "matched with sub-folder/name, as in */*_test.wav"
        )
    if not held_out:
        held_out = {paths[i] for i in stratified_indices([*labels.values()], len(paths) // 2, options.seed)}

    order = sorted(paths, key=lambda path: path in held_out)  # of two duplicates, the training sound is kept
    skipped, first_names = list(scanned.skipped), dict[bytes, str]()
    parts: tuple[list[tuple[Path, str, Floats, float]], ...] = [], []
    read = partial(_read, folder=folder, sample_rate=sample_rate, seconds=seconds, slices=slices)
    with warnings.catch_warnings(action="ignore", category=audio.TruncatedWarning):  # the report lists them
        for done, (path, waves) in enumerate(zip(order, bounded_parallel_map(read, order), strict=True), 1):
            options.progress("Reading", done, len(order))
            if isinstance(waves, SkippedFile):
                skipped.append(waves)
                continue
            for name, (wave, peak_db) in waves.items():
                first_name = first_names.setdefault(hashlib.blake2b(wave.tobytes(), digest_size=16).digest(), name)
                if first_name == name:
                    parts[path in held_out].append((path, name, wave, peak_db))
                else:
                    skipped.append(SkippedFile(path, SkipReason.DUPLICATE, f"the same sound as {first_name}"))
    _check_counts(folder, patterns, [len(part) for part in parts], skipped)
    train, test = (
        Sounds(
            [wave for _, _, wave, _ in part], sample_rate, seconds,
            [labels[path] for path, *_ in part] if labeled else [], [name for _, name, *_ in part],
            [peak_db for *_, peak_db in part],
        )
        for part in parts
    )  # fmt: skip
    files = list(dict.fromkeys((path, labels[path]) for path, *_ in parts[0]))
    skipped.sort(key=lambda item: item.path.as_posix())
    return RealSplit(train, test, unseen, files, skipped, patterns, slices)


def read_generated_sounds(folder: Path, sample_rate: int, seconds: float, labels: Sequence[str]) -> Sounds:
    """Read generated sounds. Their labels are their sub-folders, or the beginnings of their names: `<label>_….wav`.

    Args:
        labels: those of the real sounds; if there are none, the generated sounds have no labels either.

    Raises:
        DataError: the folder is missing or empty, or the label of a file is none of `labels`.
        AudioError: a file cannot be read.
    """
    if not folder.is_dir():
        raise DataError(f"{folder}: there is no such folder of generated sounds")
    paths = sorted(path for path in folder.rglob("*") if path.suffix.lower() in AUDIO_SUFFIXES)
    paths = [path for path in paths if not any(part.startswith(".") for part in path.relative_to(folder).parts)]
    if not paths:
        raise DataError(f"{folder}: contains no sound files; generate some first")
    requested = [_requested_label(path, folder, labels) for path in paths] if labels else []
    samples = round(seconds * sample_rate)
    waves = [audio.read(path, sample_rate, seconds=seconds)[0][:samples] for path in paths]
    return Sounds(
        [as_file(wave) for wave in waves], sample_rate, seconds, requested,
        [relative_name(path, folder) for path in paths], [audio.peak_db(wave) for wave in waves],
    )  # fmt: skip


def _requested_label(path: Path, folder: Path, labels: Sequence[str]) -> str:
    if path.parent != folder:
        label = path.relative_to(folder).parts[0]
    else:
        label = max((label for label in labels if (path.stem + "_").startswith(label + "_")), key=len, default="")
    if label not in labels:
        raise DataError(
            f"{printable(path)}: neither its folder nor its name (<label>_….wav) is one of {', '.join(labels)}; name "
            "it by its label"
        )
    return label


def _read(
    path: Path, *, folder: Path, sample_rate: int, seconds: float, slices: bool
) -> Mapping[str, tuple[Floats, float]] | SkippedFile:
    """Read the beginning of a file, or its slices, by name, with their peak levels before leveling.

    The last slice needs at least half of its length.
    """
    name = relative_name(path, folder)
    try:
        count = max(1, math.floor(audio.probe(path).seconds / seconds + 0.5)) if slices else 1
        wave, _ = audio.read(path, sample_rate, seconds=count * seconds)
    except AudioError as error:
        return SkippedFile.unreadable(path, error)
    if (length := len(wave) / sample_rate) < MIN_SECONDS:
        detail = f"{1000 * length:.1f} ms, at least {1000 * MIN_SECONDS:.0f} needed"
        return SkippedFile(path, SkipReason.TOO_SHORT, detail)
    waves, samples = dict[str, tuple[Floats, float]](), round(seconds * sample_rate)
    for k in range(count):
        part = wave[round(k * seconds * sample_rate) : round((k + 1) * seconds * sample_rate)]
        if (peak_db := audio.peak_db(part)) >= SILENCE_DB:
            waves[f"{name} from {k * seconds:.2f} s" if count > 1 else name] = as_file(part[:samples]), peak_db
    return waves or SkippedFile(path, SkipReason.SILENT, f"nothing above {SILENCE_DB:.0f} dBFS")


def _check_counts(folder: Path, patterns: Sequence[str], counts: list[int], skipped: list[SkippedFile]) -> None:
    if sum(counts) < MIN_SOUNDS:
        noun = "sound" if sum(counts) == 1 else "sounds"
        reason = f" (skipped: {skipped[0].path.name}, {skipped[0]})" if skipped else ""
        raise DataError(f"{printable(folder)}: {sum(counts)} usable {noun}, at least {MIN_SOUNDS} are needed{reason}")
    if min(counts) < 2:
        part = "training" if counts[0] < 2 else "test"
        raise DataError(
            f"{printable(folder)}: {' '.join(patterns) or 'the split'} leaves {min(counts)} sounds for the {part}, at "
            "least 2 are needed; choose another test pattern"
        )
