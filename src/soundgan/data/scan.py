"""What lies in a folder of sounds, found without opening a file: audio files, and everything else with a reason."""

from __future__ import annotations

import errno
import os
import stat
from collections import deque
from collections.abc import Sequence
from fnmatch import fnmatchcase
from pathlib import Path
from typing import NamedTuple

from soundgan.errors import DataError
from soundgan.files import check_name, printable

AUDIO_SUFFIXES = frozenset({".wav", ".flac", ".ogg", ".oga", ".mp3", ".aif", ".aiff", ".aifc"})


class Candidate(NamedTuple):
    """A file that calls itself audio; size in bytes and time of change in ns tell whether it changed."""

    path: Path
    size: int
    changed: int


class SkippedFile(NamedTuple):
    """Something in the folder that is not used: `kind` groups the reasons, `detail` says more (or nothing)."""

    path: Path
    kind: str
    detail: str = ""

    @property
    def reason(self) -> str:
        """The reason in words."""
        return f"{self.kind}: {self.detail}" if self.detail else self.kind


class ScanResult(NamedTuple):
    """What lies in a folder, before any file is opened, in an order that does not depend on the machine.

    `unmatched_patterns` are the patterns of files to leave out that no audio file fits.
    """

    candidates: list[Candidate]
    skipped: list[SkippedFile]
    hidden: int
    unmatched_patterns: list[str]


def check_folder(folder: Path) -> None:
    """Raise `DataError` unless this is a folder that may be read."""
    try:
        os.listdir(folder)
    except OSError as error:
        raise DataError(f"{printable(folder)}: cannot be read as a folder of sounds: {error.strerror}") from error


def scan(folder: Path, exclude: Sequence[str] = ()) -> ScanResult:
    """List a folder and its sub-folders without opening a file; links are followed, but every folder is entered once.

    Args:
        exclude: shell patterns (`*`, `?`, `[…]`) of files to leave out, matched with the path below `folder`, in which
            `*` also spans folders.

    Raises:
        DataError: the folder does not exist, is not a folder or may not be read.
    """
    check_folder(folder)
    candidates: list[Candidate] = []
    skipped: list[SkippedFile] = []
    hidden, busy = 0, set[str]()
    entered: dict[tuple[int, int], Path] = {}
    # Links wait until all real folders are known, so that a folder goes by its own name and not by that of a link.
    waiting, links = deque([folder]), deque[Path]()
    while waiting or links:
        directory = waiting.popleft() if waiting else links.popleft()
        try:
            status = directory.stat()
            first = entered.setdefault((status.st_dev, status.st_ino), directory)
            if first is not directory:
                kind = "symlink loop" if first in directory.parents else "second link to a folder"
                skipped.append(SkippedFile(directory, kind, f"leads to {relative_name(first, folder)}"))
                continue
            entries = sorted(os.scandir(directory), key=lambda entry: entry.name)
        except OSError as error:
            skipped.append(SkippedFile(directory, "unreadable", error.strerror or str(error)))
            continue
        for entry in entries:
            path = directory / entry.name
            if entry.name.startswith("."):
                hidden += 1
                continue
            try:
                status = entry.stat()
            except OSError as error:
                kind = "symlink loop" if error.errno == errno.ELOOP else "unreadable"
                skipped.append(SkippedFile(path, kind, error.strerror or str(error)))
                continue
            if stat.S_ISDIR(status.st_mode):
                (links if entry.is_symlink() else waiting).append(path)
            elif not stat.S_ISREG(status.st_mode):
                skipped.append(SkippedFile(path, "not audio", "not a regular file"))
            elif path.suffix.lower() not in AUDIO_SUFFIXES:
                skipped.append(SkippedFile(path, "not audio"))
            elif by := matching_patterns(path, folder, exclude):
                busy.update(by)
                skipped.append(SkippedFile(path, "excluded", f"by {', '.join(by)}"))
            else:
                candidates.append(Candidate(path, status.st_size, status.st_mtime_ns))
    loose = [candidate for candidate in candidates if candidate.path.parent == folder]
    if len(loose) < len(candidates):
        detail = "it lies beside the label folders; move it into one of them"
        skipped.extend(SkippedFile(candidate.path, "without a label", detail) for candidate in loose)
        candidates = [candidate for candidate in candidates if candidate.path.parent != folder]
    for candidate in [candidate for candidate in candidates if candidate.path.parent != folder]:
        try:
            check_name(candidate.path.relative_to(folder).parts[0])
        except ValueError as error:
            skipped.append(SkippedFile(candidate.path, "without a label", f"rename its folder: the name {error}"))
            candidates.remove(candidate)
    candidates.sort(key=lambda candidate: candidate.path.relative_to(folder).as_posix())
    skipped.sort(key=lambda item: item.path.as_posix())
    return ScanResult(candidates, skipped, hidden, [pattern for pattern in exclude if pattern not in busy])


def matching_patterns(path: Path, folder: Path, patterns: Sequence[str]) -> list[str]:
    """Those of the patterns that the name of a file in `folder`, with its sub-folders, fits."""
    name = path.relative_to(folder).as_posix()
    return [pattern for pattern in patterns if fnmatchcase(name, pattern)]


def relative_name(path: Path, folder: Path) -> str:
    """The name of something in `folder` as messages give it, on one line whatever it is made of."""
    return "the folder itself" if path == folder else printable(path.relative_to(folder).as_posix())
