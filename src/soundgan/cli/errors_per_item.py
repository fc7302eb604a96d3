"""Printing of several items; an error of one does not stop the others."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TypeVar

import typer

Item = TypeVar("Item")


def print_each(items: Iterable[Item], print_item: Callable[[Item], None]) -> None:
    """Print all items; each error is one line on stderr, and makes the exit status 2."""
    from soundgan.errors import SoundGANError, one_line

    failed = False
    for item in items:
        try:
            print_item(item)
        except SoundGANError as error:
            typer.echo(f"soundgan: {one_line(error)}", err=True)
            failed = True
    if failed:
        raise typer.Exit(2)
