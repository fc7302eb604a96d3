"""What an evaluation listens to: real and generated sounds at one rate, cut to one length and levelled alike."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from soundgan import audio
from soundgan.data.dataset import PEAK_DB
from soundgan.data.parallel import bounded_parallel_map
from soundgan.data.reader import ignore_truncation_warnings
from soundgan.data.scan import AUDIO_SUFFIXES, SkippedFile, matching_patterns, relative_name, scan
from soundgan.data.survey import MIN_SOUNDS, SILENCE_DB
from soundgan.errors import AudioError, DataError
from soundgan.evaluation.features.logmel import fitted
from soundgan.files import printable

Floats = NDArray[np.float32]
ProgressCallback = Callable[[str, int, int], None]  # what is done, steps done, steps in all


@dataclass(frozen=True)
class Sounds:
    """Sounds at one rate.

    Attributes:
        waves: each (any,), float32, at most `seconds` long.
        sample_rate: in Hz.
        seconds: length that those who need equal lengths pad or cut to.
        labels: one a sound; empty for sounds without labels.
        names: one a sound, as reports call it.
    """

    waves: Sequence[Floats]
    sample_rate: int
    seconds: float
    labels: Sequence[str] = ()
    names: Sequence[str] = ()

    def __len__(self) -> int:
        return len(self.waves)

    def __getitem__(self, chosen: Iterable[int]) -> Sounds:
        """The sounds of some indices, in their order."""
        indices = [int(i) for i in chosen]
        waves, labels, names = (
            [many[i] for i in indices] if len(many) else [] for many in (self.waves, self.labels, self.names)
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
        """The waves, all of `seconds`: silence at the end of the shorter ones."""
        return [fitted(wave, round(self.seconds * self.sample_rate)) for wave in self.waves]

    def chosen(self, n: int, seed: int) -> NDArray[np.int64]:
        """Indices of at most `n` of the sounds, in the proportions of their labels; the same for the same seed."""
        if n >= len(self):
            return np.arange(len(self))
        return np.sort(stratified_indices(self.labels or [""] * len(self), n, seed))

    def draw(self, n: int, seed: int) -> Sounds:
        """The sounds of `chosen`."""
        return self[self.chosen(n, seed)]


class Real(NamedTuple):
    """The sounds of a folder in two parts: those that a model may have learnt from, and those that test it.

    `unseen` tells whether the model never met the test part; `files` are those of the training part, with labels.
    """

    training: Sounds
    test: Sounds
    unseen: bool
    files: list[tuple[Path, str]]
    skipped: list[SkippedFile]

    @property
    def known(self) -> Sounds:
        """All that the model may have learnt from."""
        return self.training if self.unseen else self.training + self.test


class Piece(NamedTuple):
    """A sound of a file: the file, its wave, and its name."""

    path: Path
    wave: Floats
    name: str


def stratified_indices(labels: Sequence[str], n: int, seed: int) -> NDArray[np.int64]:
    """Indices of `n` sounds whose labels have the proportions of all, to the nearest whole sound.

    At equal steps through the sounds in the order of their labels, in random order within each; all of them come
    before one comes twice.
    """
    order = np.lexsort((np.random.default_rng(seed).random(len(labels)), np.unique(labels, return_inverse=True)[1]))
    return order[((np.arange(n) + 0.5) * len(labels) / n).astype(np.int64)] if n else order[:0]


def as_file(wave: Floats) -> Floats:
    """A wave as a listener of its file hears it: levelled to a peak of -1 dBFS, and rounded to 16 bits."""
    return (np.rint(audio.level(wave, "peak", PEAK_DB) * 2**15) / 2**15).astype(np.float32)


def real_sounds(
    folder: Path,
    sample_rate: int,
    seconds: float,
    *,
    test_patterns: Sequence[str] = (),
    named: bool = False,
    untrained: Sequence[str] | None = None,
    slices: bool = False,
    seed: int = 0,
    progress: ProgressCallback | None = None,
) -> Real:
    """Read a folder of real sounds in two parts; sub-folders of the first level are labels.

    Test sounds are the files whose path below the folder fits one of `test_patterns`. Where none fits, the model has
    seen them all: then the parts are two random halves. Unreadable and silent files are left out, and so
    is every sound that is there a second time: a test sound that was trained on tests nothing.

    Args:
        named: somebody named these patterns, so that it is an error if no file fits.
        untrained: patterns of what a model was not trained on; test sounds beyond them count as seen. Without, test
            sounds are unseen by definition.
        slices: cut long recordings into slices of `seconds`, as trainings with `slice` do; otherwise their beginning
            counts.

    Raises:
        DataError: the folder is missing, holds too few sounds, or the patterns leave none to train on.
    """
    found = scan(folder)
    paths = [candidate.path for candidate in found.candidates]
    labelled = any(path.parent != folder for path in paths)
    labels = [path.relative_to(folder).parts[0] if labelled else "" for path in paths]
    test = {i for i, path in enumerate(paths) if matching_patterns(path, folder, test_patterns)}
    if named and not test:
        told = f"no sound in it fits the test pattern {' '.join(test_patterns)}"
        raise DataError(f"{printable(folder)}: {told}; patterns are matched with sub-folder/name, as in */*_test.wav")
    unseen = bool(test) and (untrained is None or all(matching_patterns(paths[i], folder, untrained) for i in test))
    if not test:
        test = set(stratified_indices(labels, len(paths) // 2, seed).tolist())
    order = sorted(range(len(paths)), key=lambda i: (i in test, i))  # of two equal ones, that of the training stays
    skipped, met = list(found.skipped), dict[bytes, str]()
    parts: list[list[tuple[Piece, str]]] = [[], []]
    read = partial(_read, folder=folder, sample_rate=sample_rate, seconds=seconds, slices=slices)
    with ignore_truncation_warnings():
        for done, (i, pieces) in enumerate(
            zip(order, bounded_parallel_map(read, [paths[i] for i in order]), strict=True), 1
        ):
            if progress is not None:
                progress("Reading", done, len(order))
            if isinstance(pieces, SkippedFile):
                skipped.append(pieces)
                continue
            for piece in pieces:
                first = met.setdefault(hashlib.blake2b(piece.wave.tobytes(), digest_size=16).digest(), piece.name)
                if first != piece.name:
                    skipped.append(SkippedFile(piece.path, "duplicate", f"the same sound as {first}"))
                else:
                    parts[i in test].append((piece, labels[i]))
    _check(folder, test_patterns, [len(part) for part in parts], skipped)
    training, held = (_sounds(part, sample_rate, seconds, labelled) for part in parts)
    files = list(dict.fromkeys((piece.path, label) for piece, label in parts[0]))
    return Real(training, held, unseen, files, sorted(skipped, key=lambda item: item.path.as_posix()))


def generated_sounds(folder: Path, sample_rate: int, seconds: float, labels: Sequence[str]) -> Sounds:
    """Read generated sounds. Their labels are their sub-folders, or begin their names: `<label>_….wav`.

    Args:
        labels: those of the real sounds; without any, names and sub-folders tell nothing.

    Raises:
        DataError: the folder is missing or empty, or the label of a file is none of `labels`.
        AudioError: a file cannot be read.
    """
    if not folder.is_dir():
        raise DataError(f"{folder}: there is no such folder of generated sounds")
    paths = sorted(path for path in folder.rglob("*") if path.suffix.lower() in AUDIO_SUFFIXES)
    paths = [path for path in paths if not any(part.startswith(".") for part in path.relative_to(folder).parts)]
    if not paths:
        raise DataError(f"{folder}: holds no sound files; generate some first")
    found = [_asked(path, folder, labels) for path in paths] if labels else []
    waves = [_cut(audio.read(path, sample_rate, seconds=seconds)[0], sample_rate, seconds) for path in paths]
    return Sounds(waves, sample_rate, seconds, found, [relative_name(path, folder) for path in paths])


def _asked(path: Path, folder: Path, labels: Sequence[str]) -> str:
    named = [label for label in labels if path.parent == folder and (path.stem + "_").startswith(label + "_")]
    label = path.relative_to(folder).parts[0] if path.parent != folder else max(named, key=len, default="")
    if label not in labels:
        told = f"neither its folder nor its name (<label>_….wav) is one of {', '.join(labels)}"
        raise DataError(f"{printable(path)}: {told}; name it by its label")
    return label


def _read(path: Path, *, folder: Path, sample_rate: int, seconds: float, slices: bool) -> list[Piece] | SkippedFile:
    """The sounds of a file: its beginning, or its slices, the last one if at least half of it is there."""
    name = relative_name(path, folder)
    try:
        count = max(1, math.floor(audio.probe(path).seconds / seconds + 0.5)) if slices else 1
        wave, _ = audio.read(path, sample_rate, seconds=count * seconds)
    except AudioError as error:
        return SkippedFile(path, "unreadable", str(error).removeprefix(f"{printable(path)}: "))
    pieces: list[Piece] = []
    for k in range(count):
        part = wave[round(k * seconds * sample_rate) : round((k + 1) * seconds * sample_rate)]
        if audio.peak_db(part) >= SILENCE_DB:
            told = f"{name} from {k * seconds:.2f} s" if count > 1 else name
            pieces.append(Piece(path, _cut(part, sample_rate, seconds), told))
    return pieces or SkippedFile(path, "silent", f"nothing above {SILENCE_DB:.0f} dBFS")


def _cut(wave: Floats, sample_rate: int, seconds: float) -> Floats:
    return as_file(wave[: round(seconds * sample_rate)])


def _sounds(part: list[tuple[Piece, str]], sample_rate: int, seconds: float, labelled: bool) -> Sounds:
    labels = [label for _, label in part] if labelled else []
    return Sounds([piece.wave for piece, _ in part], sample_rate, seconds, labels, [piece.name for piece, _ in part])


def _check(folder: Path, patterns: Sequence[str], counts: list[int], skipped: list[SkippedFile]) -> None:
    if sum(counts) < MIN_SOUNDS:
        why = f" (left out: {skipped[0].path.name}, {skipped[0].reason})" if skipped else ""
        raise DataError(f"{printable(folder)}: {sum(counts)} usable sounds, at least {MIN_SOUNDS} are needed{why}")
    if min(counts) < 2:
        part = "training" if counts[0] < 2 else "test"
        told = f"{' '.join(patterns) or 'the split'} leaves {min(counts)} sounds for the {part}"
        raise DataError(f"{printable(folder)}: {told}, at least 2 are needed; choose another test pattern")
