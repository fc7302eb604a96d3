"""`soundgan models [FOLDER]`: the models that come with SoundGAN, or those in a folder."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def models(
    folder: Annotated[Path | None, typer.Argument(help="A model folder, or one that holds some.")] = None,
) -> None:
    """List models with their labels, sample rate, duration and licence; exit status 2 if one of them is damaged."""
    from soundgan.errors import ModelError, one_line
    from soundgan.model_folder import bundled, models_in, read_config

    found = bundled() if folder is None else models_in(folder)
    damaged = False
    for name, path in found.items():
        try:
            config = read_config(path)
        except ModelError as error:
            typer.echo(f"soundgan: {one_line(error)}", err=True)
            damaged = True
            continue
        representation = config.representation
        typer.echo(f"{name}: {representation.duration:.2f} s at {representation.sample_rate} Hz")
        typer.echo(f"    labels: {', '.join(config.labels) or 'none'}")
        if config.licence:
            typer.echo(f"    trained on data under {config.licence}: {config.attribution}")
    if not found:
        typer.echo("No models here.", err=True)
    if damaged:
        raise typer.Exit(2)
