"""Real and generated sounds of an evaluation: at one sample rate, of one length and at one peak level."""

from __future__ import annotations

import hashlib
import math
import warnings
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from soundgan import audio
from soundgan.cpu import bounded_parallel_map
from soundgan.data.scan import AUDIO_SUFFIXES, SkippedFile, SkipReason, matching_patterns, relative_name, scan
from soundgan.data.survey import MIN_SOUNDS, SILENCE_DB
from soundgan.errors import AudioError, DataError
from soundgan.evaluation.features.logmel import pad_or_cut
from soundgan.files import printable

Floats = NDArray[np.float32]
ProgressCallback = Callable[[str, int, int], None]  # task, steps done, steps in all


@dataclass(frozen=True)
class Sounds:
    """Sounds at one sample rate.

    Attributes:
        waves: (samples,) each, float32, at most `seconds` long.
        sample_rate: in Hz.
        seconds: length to pad or cut to where equal lengths are needed.
        labels: one for each sound; empty for sounds without labels.
        names: one for each sound, for reports.
    """

    waves: Sequence[Floats]
    sample_rate: int
    seconds: float
    labels: Sequence[str] = ()
    names: Sequence[str] = ()

    def __len__(self) -> int:
        return len(self.waves)

    def __getitem__(self, indices: Iterable[int]) -> Sounds:
        """Return the sounds of some indices, in their order."""
        chosen = [int(i) for i in indices]
        waves, labels, names = (
            [items[i] for i in chosen] if len(items) else [] for items in (self.waves, self.labels, self.names)
        )
        return replace(self, waves=waves, labels=labels, names=names)

    def __add__(self, other: Sounds) -> Sounds:
        return replace(
            self,
            waves=[*self.waves, *other.waves],
            labels=[*self.labels, *other.labels],
            names=[*self.names, *other.names],
        )

    def padded(self) -> list[Floats]:
        """Return the waves, padded with silence to `seconds`."""
        return [pad_or_cut(wave, round(self.seconds * self.sample_rate)) for wave in self.waves]

    def sample_indices(self, n: int, seed: int) -> NDArray[np.int64]:
        """Return indices of at most `n` sounds, stratified by label; the same for the same seed."""
        if n >= len(self):
            return np.arange(len(self))
        return np.sort(stratified_indices(self.labels or [""] * len(self), n, seed))

    def sample(self, n: int, seed: int) -> Sounds:
        """Return the sounds of `sample_indices`."""
        return self[self.sample_indices(n, seed)]


@dataclass(frozen=True)
class RealSplit:
    """The real sounds of a folder, split in two.

    Attributes:
        train: sounds that the model may have been trained on.
        held_out: sounds for the real baseline.
        held_out_is_unseen: the model was trained on none of the held-out sounds.
        train_files: files of the training part, with their labels.
        skipped: files that are not used.
    """

    train: Sounds
    held_out: Sounds
    held_out_is_unseen: bool = True
    train_files: Sequence[tuple[Path, str]] = ()
    skipped: Sequence[SkippedFile] = ()

    @property
    def possible_training_sounds(self) -> Sounds:
        """All sounds that the model may have been trained on."""
        return self.train if self.held_out_is_unseen else self.train + self.held_out


@dataclass(frozen=True)
class EvaluationData:
    """The sounds of an evaluation.

    Attributes:
        generated: generated sounds; their labels are the requested ones, if any.
        real: real sounds, at the same rate and length.
        generated_full: about as many generated sounds as training sounds, for the comparison with all of those.
    """

    generated: Sounds
    real: RealSplit
    generated_full: Sounds | None = None


@dataclass(frozen=True)
class SplitOptions:
    """Options of the split of real sounds.

    Attributes:
        test_patterns: the held-out files are those whose path below the folder matches one of these. If none does, the
            parts are two random halves.
        pattern_is_explicit: the user gave the patterns, so it is an error if no file matches.
        excluded_from_training: patterns of the files that the model was not trained on; None: the held-out ones.
        seed: of the random halves.
    """

    test_patterns: Sequence[str] = ()
    pattern_is_explicit: bool = False
    excluded_from_training: Sequence[str] | None = None
    seed: int = 0


class _Clip(NamedTuple):
    """A sound of a file."""

    path: Path
    wave: Floats
    name: str


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
    options: SplitOptions | None = None,
    *,
    slices: bool = False,
    progress: ProgressCallback | None = None,
) -> RealSplit:
    """Read a folder of real sounds and split it; sub-folders of the first level are labels.

    Unreadable and silent files are skipped, and so are duplicates: a held-out sound that is also a training sound is
    not unseen.

    Args:
        slices: cut long recordings into slices of `seconds`, as trainings with `slice` do; by default only their
            beginning is used.

    Raises:
        DataError: the folder is missing, has too few sounds, or the patterns leave no training sounds.
    """
    options = options or SplitOptions()
    scanned = scan(folder)
    paths = [candidate.path for candidate in scanned.candidates]
    labeled = any(path.parent != folder for path in paths)
    labels = [path.relative_to(folder).parts[0] if labeled else "" for path in paths]
    held_out, unseen = _held_out(folder, paths, labels, options)
    order = sorted(range(len(paths)), key=lambda i: (i in held_out, i))  # of two duplicates, the training sound is kept
    skipped, first_names = list(scanned.skipped), dict[bytes, str]()
    parts: tuple[list[tuple[_Clip, str]], ...] = [], []
    read = partial(_read, folder=folder, sample_rate=sample_rate, seconds=seconds, slices=slices)
    with warnings.catch_warnings(action="ignore", category=audio.TruncatedWarning):  # the report lists them
        results = zip(order, bounded_parallel_map(read, [paths[i] for i in order]), strict=True)
        for done, (i, clips) in enumerate(results, 1):
            if progress is not None:
                progress("Reading", done, len(order))
            if isinstance(clips, SkippedFile):
                skipped.append(clips)
                continue
            for clip in clips:
                digest = hashlib.blake2b(clip.wave.tobytes(), digest_size=16).digest()
                first_name = first_names.setdefault(digest, clip.name)
                if first_name != clip.name:
                    skipped.append(SkippedFile(clip.path, SkipReason.DUPLICATE, f"the same sound as {first_name}"))
                else:
                    parts[i in held_out].append((clip, labels[i]))
    _check_counts(folder, options.test_patterns, [len(part) for part in parts], skipped)
    train, test = (
        Sounds(
            [clip.wave for clip, _ in part], sample_rate, seconds,
            [label for _, label in part] if labeled else [], [clip.name for clip, _ in part],
        )
        for part in parts
    )  # fmt: skip
    files = list(dict.fromkeys((clip.path, label) for clip, label in parts[0]))
    return RealSplit(train, test, unseen, files, sorted(skipped, key=lambda item: item.path.as_posix()))


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
    waves = [_cut(audio.read(path, sample_rate, seconds=seconds)[0], sample_rate, seconds) for path in paths]
    return Sounds(waves, sample_rate, seconds, requested, [relative_name(path, folder) for path in paths])


def _held_out(folder: Path, paths: list[Path], labels: list[str], options: SplitOptions) -> tuple[set[int], bool]:
    """Indices of the held-out files, and True if the model was trained on none of them."""
    patterns, excluded = options.test_patterns, options.excluded_from_training
    held_out = {i for i, path in enumerate(paths) if matching_patterns(path, folder, patterns)}
    if held_out:
        return held_out, excluded is None or all(matching_patterns(paths[i], folder, excluded) for i in held_out)
    if options.pattern_is_explicit:
        raise DataError(
            f"{printable(folder)}: no sound in it matches the test pattern {' '.join(patterns)}; patterns are matched "
            "with sub-folder/name, as in */*_test.wav"
        )
    return set(stratified_indices(labels, len(paths) // 2, options.seed).tolist()), False


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


def _read(path: Path, *, folder: Path, sample_rate: int, seconds: float, slices: bool) -> list[_Clip] | SkippedFile:
    """Read the beginning of a file, or its slices; the last slice needs at least half of its length."""
    name = relative_name(path, folder)
    try:
        count = max(1, math.floor(audio.probe(path).seconds / seconds + 0.5)) if slices else 1
        wave, _ = audio.read(path, sample_rate, seconds=count * seconds)
    except AudioError as error:
        return SkippedFile.unreadable(path, error)
    clips: list[_Clip] = []
    for k in range(count):
        part = wave[round(k * seconds * sample_rate) : round((k + 1) * seconds * sample_rate)]
        if audio.peak_db(part) >= SILENCE_DB:
            clip_name = f"{name} from {k * seconds:.2f} s" if count > 1 else name
            clips.append(_Clip(path, _cut(part, sample_rate, seconds), clip_name))
    return clips or SkippedFile(path, SkipReason.SILENT, f"nothing above {SILENCE_DB:.0f} dBFS")


def _cut(wave: Floats, sample_rate: int, seconds: float) -> Floats:
    return as_file(wave[: round(seconds * sample_rate)])


def _check_counts(folder: Path, patterns: Sequence[str], counts: list[int], skipped: list[SkippedFile]) -> None:
    if sum(counts) < MIN_SOUNDS:
        reason = f" (skipped: {skipped[0].path.name}, {skipped[0]})" if skipped else ""
        raise DataError(f"{printable(folder)}: {sum(counts)} usable sounds, at least {MIN_SOUNDS} are needed{reason}")
    if min(counts) < 2:
        part = "training" if counts[0] < 2 else "test"
        raise DataError(
            f"{printable(folder)}: {' '.join(patterns) or 'the split'} leaves {min(counts)} sounds for the {part}, at "
            "least 2 are needed; choose another test pattern"
        )
