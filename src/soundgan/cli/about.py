"""`soundgan about FILE`: format and tags of sound files."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from soundgan.cli.errors import print_each


def about(files: Annotated[list[Path], typer.Argument(help="Sound files.")]) -> None:
    """Print duration, sample rate and tags of sound files; generated ones are tagged with model, label and seed.

    The exit status is 2 if one of them is not a sound file.
    """
    print_each(files, _show)


def _show(file: Path) -> None:
    from soundgan import audio

    info, tags = audio.probe(file), audio.read_tags(file)
    typer.echo(f"{file}: {info.seconds:.3f} s, {info.sample_rate} Hz, {info.channels} channel(s)")
    for name, text in tags.items():
        typer.echo(f"  {name}: {text}")
