"""One thing after another: what one of them lacks keeps no other from being shown."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TypeVar

import typer

Item = TypeVar("Item")


def show_each(items: Iterable[Item], show: Callable[[Item], None]) -> None:
    """Show all items. What is wrong with some is told on stderr in a line each, and makes the exit status 2."""
    from soundgan.errors import SoundGANError, one_line

    failed = False
    for item in items:
        try:
            show(item)
        except SoundGANError as error:
            typer.echo(f"soundgan: {one_line(error)}", err=True)
            failed = True
    if failed:
        raise typer.Exit(2)
