"""The folders of the benchmark: which files of the data root they take, and which of these are held out."""

from __future__ import annotations

import hashlib
import shutil
from collections import Counter, defaultdict
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import NamedTuple

import numpy as np

from soundgan import audio
from soundgan.data.scan import scan
from soundgan.data.survey import MIN_SECONDS, SILENCE_DB
from soundgan.errors import DataError
from soundgan.evaluation.sounds import Sounds, read_generated_sounds
from soundgan.spectral.presets import PRESETS

MIN_SPLIT = 8  # files of a label from which on a fifth is held out
HELD_OUT_SHARE = 1 / 5
MAX_SECONDS = 10.0  # of the sounds of a folder
TRAIN, HELD_OUT = "train", "held_out"


class Selection(NamedTuple):
    """Files of the data root that are a folder of the benchmark.

    Attributes:
        source: sub-folder of the data root; its own sub-folders are the labels.
        labels: those that are used; none means all.
        left_out: labels that are not used.
        per_label: at most so many files of each label, a seeded choice.
    """

    source: str
    labels: tuple[str, ...] = ()
    left_out: tuple[str, ...] = ()
    per_label: int | None = None


SELECTIONS = {
    "arena": Selection("arena", left_out=("ambience",)),
    "arcade": Selection("arcade"),
    "oneshots": Selection("oneshots"),
    "drums": Selection("drums", labels=("kick", "snare", "hat"), per_label=20),
    "steps": Selection("steps", left_out=("dig",)),
    "rain": Selection("effects/rain"),
}


@dataclass(frozen=True)
class SoundFolder:
    """A folder of the benchmark, copied to `path`: `train`, all that an entrant may train on, and `held_out`."""

    name: str
    path: Path

    @property
    def train_path(self) -> Path:
        return self.path / TRAIN

    @property
    def train_files(self) -> list[tuple[Path, str]]:
        """Training files and their labels, in the order of `train`; the labels are "" in a folder without."""
        files = sorted(candidate.path for candidate in scan(self.train_path).candidates)
        return [(path, label_of(path, self.train_path)) for path in files]

    @cached_property
    def labels(self) -> list[str]:
        """The labels, sorted; empty in a folder without."""
        return sorted({label for _, label in self.train_files} - {""})

    @cached_property
    def sample_rate(self) -> int:
        """Preset nearest to, and not above, the most common sample rate of the recordings, in Hz."""
        rates = Counter(audio.probe(path).sample_rate for path in self._files)
        common = max(sorted(rates.items()), key=lambda item: item[1])[0]
        return max((rate for rate in PRESETS if rate <= common), default=min(PRESETS))

    @cached_property
    def seconds(self) -> float:
        """Length that 95 % of the recordings do not exceed, in s, as in `soundgan evaluate`."""
        lengths = [audio.probe(path).seconds for path in self._files]
        return min(MAX_SECONDS, float(np.percentile(lengths, 95, method="higher")))

    @cached_property
    def train(self) -> Sounds:
        """The training recordings, at a common rate, length and peak."""
        return self.read(self.train_path)

    @cached_property
    def held_out(self) -> Sounds:
        """The held-out recordings; none where no label has enough files."""
        folder = self.path / HELD_OUT
        return self.read(folder) if folder.exists() else self.train[[]]

    def read(self, folder: Path) -> Sounds:
        """Read sounds, such as generated ones, at the rate and length of this folder."""
        return read_generated_sounds(folder, self.sample_rate, self.seconds, self.labels)

    def requested_labels(self, n: int) -> list[str]:
        """Labels of the sounds to generate: `n` of each, or as many as it has training recordings, if these are more.

        They are "" in a folder without labels.
        """
        counts = Counter(label for _, label in self.train_files)
        return [label for label, count in sorted(counts.items()) for _ in range(max(n, count))]

    @property
    def _files(self) -> list[Path]:
        return [candidate.path for candidate in scan(self.path).candidates]


def label_of(path: Path, folder: Path) -> str:
    """Label of a file: its sub-folder of the first level; "" for a file of the folder itself."""
    first, *rest = path.relative_to(folder).parts
    return first if rest else ""


def copy_folder(name: str, root: Path, work: Path, seed: int) -> SoundFolder:
    """Copy the files of a folder to `work`, split in two, unless they are there; return the folder.

    Files that a training would skip are left out: silent and very short ones, and duplicates.

    Raises:
        AudioError: a file cannot be read.
        DataError: the data root does not have the folder, or one of its labels.
    """
    folder = SoundFolder(name, work / name / "recordings")
    if folder.path.exists():
        return folder
    selection = SELECTIONS[name]
    source, staging = root / selection.source, folder.path.with_name("unfinished")
    shutil.rmtree(staging, ignore_errors=True)
    files = _files_by_label(source, selection)
    if missing := set(selection.labels) - set(files):
        raise DataError(f"{source}: has no sounds of {', '.join(sorted(missing))}; use another --data")
    for label, paths in sorted(files.items()):
        rng = np.random.default_rng((seed, *label.encode()))  # a label more or less does not change the others
        chosen = [paths[i] for i in rng.permutation(len(paths))[: selection.per_label]]
        n_held_out = round(HELD_OUT_SHARE * len(chosen)) if len(chosen) >= MIN_SPLIT else 0
        for part, part_files in ((HELD_OUT, chosen[:n_held_out]), (TRAIN, chosen[n_held_out:])):
            for path in part_files:
                copy = staging / part / path.relative_to(source)
                copy.parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(path, copy)
    staging.rename(folder.path)
    return folder


def _files_by_label(source: Path, selection: Selection) -> dict[str, list[Path]]:
    """Usable files of each label in use; of "" in a folder without labels."""
    files, digests = defaultdict[str, list[Path]](list), set[bytes]()
    for candidate in scan(source).candidates:
        label = label_of(candidate.path, source)
        if label in selection.left_out or (selection.labels and label not in selection.labels):
            continue
        wave, rate = audio.read(candidate.path, seconds=MAX_SECONDS)
        digest = hashlib.blake2b(wave.tobytes()).digest()
        if len(wave) >= MIN_SECONDS * rate and audio.peak_db(wave) >= SILENCE_DB and digest not in digests:
            digests.add(digest)
            files[label].append(candidate.path)
    return files
