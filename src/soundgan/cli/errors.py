"""Errors of commands: of one of several items, and of missing libraries."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import TypeVar

import typer

from soundgan.errors import SoundGANError, one_line

Item = TypeVar("Item")


def print_each(items: Iterable[Item], print_item: Callable[[Item], None]) -> None:
    """Print all items; each error is one line on stderr, and makes the exit status 2."""
    failed = False
    for item in items:
        try:
            print_item(item)
        except SoundGANError as error:
            typer.echo(f"soundgan: {one_line(error)}", err=True)
            failed = True
    if failed:
        raise typer.Exit(2)


@contextmanager
def require_extra(extra: str, command: str) -> Iterator[None]:
    """Turn a missing library of an extra (`train`, `serve`) into a `SoundGANError` that says how to install it."""
    try:
        yield
    except ModuleNotFoundError as error:
        problem = f"{command} needs the extra `{extra}` ({error.name} is missing)"
        raise SoundGANError(f"{problem}: pip install -c constraints.txt -e '.[{extra}]'") from error
