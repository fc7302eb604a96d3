"""List of a folder of sounds, without opening a file: audio files, and the reason why any other entry is not used."""

from __future__ import annotations

import errno
import os
import stat
from collections import deque
from collections.abc import Sequence
from enum import StrEnum
from fnmatch import fnmatchcase
from pathlib import Path
from typing import NamedTuple

from soundgan.errors import AudioError, DataError
from soundgan.files import check_name, printable

AUDIO_SUFFIXES = frozenset({".wav", ".flac", ".ogg", ".oga", ".mp3", ".aif", ".aiff", ".aifc"})


class Candidate(NamedTuple):
    """A file with a suffix of audio; its size in bytes and modification time in ns identify its content."""

    path: Path
    size: int
    modified: int


class SkipReason(StrEnum):
    """Reasons not to use an entry of a folder of sounds, as reports name them."""

    UNREADABLE = "unreadable"
    NOT_AUDIO = "not audio"
    SYMLINK_LOOP = "symlink loop"
    SECOND_LINK = "second link to a folder"
    EXCLUDED = "excluded"
    UNLABELED = "without a label"
    TOO_SHORT = "too short"
    SILENT = "silent"
    DUPLICATE = "duplicate"


class SkippedFile(NamedTuple):
    """An entry of the folder that is not used."""

    path: Path
    reason: SkipReason
    detail: str = ""

    @classmethod
    def unreadable(cls, path: Path, error: AudioError) -> SkippedFile:
        """Return the entry of a file whose reading raised an error; the path is left out of its message."""
        return cls(path, SkipReason.UNREADABLE, str(error).removeprefix(f"{printable(path)}: "))

    def __str__(self) -> str:
        """Return reason and detail, without the path."""
        return f"{self.reason}: {self.detail}" if self.detail else self.reason


class ScanResult(NamedTuple):
    """Entries of a folder before any file is opened, in an order that does not depend on the machine.

    `unmatched_patterns` are the patterns of files to leave out that match no audio file.
    """

    folder: Path
    candidates: list[Candidate]
    skipped: list[SkippedFile]
    hidden: int
    unmatched_patterns: list[str]


def check_folder(folder: Path) -> None:
    """Raise `DataError` unless this is a readable folder."""
    try:
        os.listdir(folder)
    except OSError as error:
        raise DataError(f"{printable(folder)}: cannot be read as a folder of sounds: {error.strerror}") from error


def scan(folder: Path, exclude: Sequence[str] = ()) -> ScanResult:
    """List a folder and its sub-folders without opening a file; links are followed, but no folder is entered twice.

    Args:
        exclude: shell patterns (`*`, `?`, `[…]`) of files to leave out, matched with the path below `folder`, in which
            `*` also spans folders.

    Raises:
        DataError: the folder does not exist, is not a folder or may not be read.
    """
    check_folder(folder)
    candidates: list[Candidate] = []
    skipped: list[SkippedFile] = []
    hidden, matched = 0, set[str]()
    entered: dict[tuple[int, int], Path] = {}
    # Links come after all real folders, so that a folder is known by its own name and not by that of a link.
    pending, links = deque([folder]), deque[Path]()
    while pending or links:
        directory = pending.popleft() if pending else links.popleft()
        try:
            status = directory.stat()
            first = entered.setdefault((status.st_dev, status.st_ino), directory)
            if first is not directory:
                reason = SkipReason.SYMLINK_LOOP if first in directory.parents else SkipReason.SECOND_LINK
                skipped.append(SkippedFile(directory, reason, f"leads to {relative_name(first, folder)}"))
                continue
            entries = sorted(os.scandir(directory), key=lambda entry: entry.name)
        except OSError as error:
            skipped.append(SkippedFile(directory, SkipReason.UNREADABLE, error.strerror or str(error)))
            continue
        for entry in entries:
            path = directory / entry.name
            if entry.name.startswith("."):
                hidden += 1
                continue
            try:
                status = entry.stat()
            except OSError as error:
                reason = SkipReason.SYMLINK_LOOP if error.errno == errno.ELOOP else SkipReason.UNREADABLE
                skipped.append(SkippedFile(path, reason, error.strerror or str(error)))
                continue
            if stat.S_ISDIR(status.st_mode):
                (links if entry.is_symlink() else pending).append(path)
            elif not stat.S_ISREG(status.st_mode):
                skipped.append(SkippedFile(path, SkipReason.NOT_AUDIO, "not a regular file"))
            elif path.suffix.lower() not in AUDIO_SUFFIXES:
                skipped.append(SkippedFile(path, SkipReason.NOT_AUDIO))
            elif patterns := matching_patterns(path, folder, exclude):
                matched.update(patterns)
                skipped.append(SkippedFile(path, SkipReason.EXCLUDED, f"by {', '.join(patterns)}"))
            else:
                candidates.append(Candidate(path, status.st_size, status.st_mtime_ns))
    labeled = any(candidate.path.parent != folder for candidate in candidates)
    usable: list[Candidate] = []
    for candidate in sorted(candidates, key=lambda candidate: candidate.path.relative_to(folder).as_posix()):
        if labeled and (problem := _label_problem(candidate.path.relative_to(folder).parts)):
            skipped.append(SkippedFile(candidate.path, SkipReason.UNLABELED, problem))
        else:
            usable.append(candidate)
    skipped.sort(key=lambda item: item.path.as_posix())
    unmatched = [pattern for pattern in exclude if pattern not in matched]
    return ScanResult(folder, usable, skipped, hidden, unmatched)


def _label_problem(parts: tuple[str, ...]) -> str:
    """Return why a path below a folder with labels has no label; empty if it has one."""
    if len(parts) == 1:
        return "it lies beside the label folders; move it into one of them"
    try:
        check_name(parts[0])
    except ValueError as error:
        return f"rename its folder: the name {error}"
    return ""


def matching_patterns(path: Path, folder: Path, patterns: Sequence[str]) -> list[str]:
    """Return the patterns that match the path of a file below `folder`."""
    name = path.relative_to(folder).as_posix()
    return [pattern for pattern in patterns if fnmatchcase(name, pattern)]


def relative_name(path: Path, folder: Path) -> str:
    """Return the path below `folder` as printable text of one line, for messages."""
    return "the folder itself" if path == folder else printable(path.relative_to(folder).as_posix())
