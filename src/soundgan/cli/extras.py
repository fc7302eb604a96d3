"""What commands say when an optional part of SoundGAN is not installed."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from soundgan.errors import SoundGANError


@contextmanager
def require_extra(extra: str, command: str) -> Iterator[None]:
    """Turn a missing library of an extra (`train`, `serve`) into a `SoundGANError` that says how to get it."""
    try:
        yield
    except ModuleNotFoundError as error:
        raise SoundGANError(
            f"{command} needs the extra `{extra}` ({error.name} is missing): "
            f"pip install -c constraints.txt -e '.[{extra}]'"
        ) from error
