"""`soundgan models [FOLDER]`: list the bundled models, or those in a folder."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from soundgan.cli.errors import print_each


def models(
    folder: Annotated[
        Path | None, typer.Argument(help="A model folder, or a folder of model folders; by default the bundled models.")
    ] = None,
) -> None:
    """List models with labels, sample rate, duration and license; exit status 2 if one of them is damaged."""
    from soundgan.model_folder import bundled, models_in

    folders = bundled() if folder is None else models_in(folder)
    if not folders:
        typer.echo("No models found.", err=True)
    print_each(folders.items(), _show)


def _show(model: tuple[str, Path]) -> None:
    from soundgan.model_folder import read_config

    name, path = model
    config = read_config(path)
    representation = config.representation
    typer.echo(f"{name}: {representation.duration:.2f} s at {representation.sample_rate} Hz")
    typer.echo(f"    labels: {', '.join(config.labels) or 'none'}")
    if config.license:
        typer.echo(f"    trained on data under {config.license}: {config.attribution}")
