"""Optional dependencies of commands."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from soundgan.errors import SoundGANError


@contextmanager
def require_extra(extra: str, command: str) -> Iterator[None]:
    """Turn a missing library of an extra (`train`, `serve`) into a `SoundGANError` that says how to install it."""
    try:
        yield
    except ModuleNotFoundError as error:
        raise SoundGANError(
            f"{command} needs the extra `{extra}` ({error.name} is missing): "
            f"pip install -c constraints.txt -e '.[{extra}]'"
        ) from error
