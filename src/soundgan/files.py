"""Atomic writing of files, and names that are safe in paths and messages."""

from __future__ import annotations

import os
import re
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

MAX_NAME_BYTES = 255 - len("_4294967295.flac")  # a name is followed by a seed and a suffix
# Separators of folders, control characters, and surrogates, which no UTF-8 text can hold.
_UNSAFE = re.compile(r"[/\\\x00-\x1f\x7f-\x9f\ud800-\udfff]")


@contextmanager
def atomic_write(path: str | Path) -> Iterator[Path]:
    """Yield a temporary path beside `path`, with the same suffix; rename it to `path` if the block raises no error.

    The content is on disk before the rename. On an error the temporary file is removed and an older `path` stays. The
    folder must exist.
    """
    path = Path(path)
    temporary = path.with_name(f".{path.stem[:40]}.{uuid.uuid4().hex[:8]}.tmp{path.suffix}")
    try:
        yield temporary
        fsync(temporary)
        os.replace(temporary, path)
    except OSError as error:
        if error.strerror is None or error.filename not in (None, temporary, str(temporary)):
            raise
        raise OSError(error.errno, error.strerror, str(path)) from error  # the temporary name means nothing to the user
    finally:
        with suppress(OSError):  # a read-only file system refuses even to remove no file
            temporary.unlink()


def fsync(path: Path) -> None:
    """Wait until the content of a file is on the disk."""
    with path.open("rb") as file:
        os.fsync(file.fileno())


def write_text(path: str | Path, text: str) -> Path:
    """Write UTF-8 text, bytes of names that are not UTF-8 as escapes such as \\udcff; see `atomic_write`."""
    with atomic_write(path) as temporary:
        temporary.write_text(text, encoding="utf-8", errors="backslashreplace")
    return Path(path)


def check_name(name: str) -> str:
    """Return a label or model name if it is safe as the beginning of a file name: no model writes elsewhere.

    Raises:
        ValueError: it is empty, `.` or `..`, too long, or holds a slash, a backslash, a control character or a
            surrogate.
    """
    if name in ("", ".", "..") or _UNSAFE.search(name) or len(name.encode()) > MAX_NAME_BYTES:
        raise ValueError(
            f"must be the beginning of a file name, of at most {MAX_NAME_BYTES} bytes, without slashes, backslashes "
            "and control characters"
        )
    return name


def printable(path: str | os.PathLike[str]) -> str:
    """Return a path as printable text of one line, escaped if needed."""
    text = os.fspath(path)
    return text if text.isprintable() else ascii(text)
