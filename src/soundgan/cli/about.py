"""`soundgan about FILE`: what a sound file is, and where it comes from."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def about(files: Annotated[list[Path], typer.Argument(help="Sound files.")]) -> None:
    """Print duration, sample rate and tags of sound files; a generated one tells its model, label and seed."""
    from soundgan import audio

    for file in files:
        info = audio.probe(file)
        typer.echo(f"{file}: {info.seconds:.3f} s, {info.sample_rate} Hz, {info.channels} channel(s)")
        for name, text in audio.read_tags(file).items():
            typer.echo(f"  {name}: {text}")
