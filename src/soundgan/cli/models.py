"""`soundgan models [FOLDER]`: the models that come with SoundGAN, or those in a folder."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from soundgan.cli.errors_per_item import show_each


def models(
    folder: Annotated[Path | None, typer.Argument(help="A model folder, or one that holds some.")] = None,
) -> None:
    """List models with their labels, sample rate, duration and license; exit status 2 if one of them is damaged."""
    from soundgan.model_folder import bundled, models_in

    found = bundled() if folder is None else models_in(folder)
    if not found:
        typer.echo("No models here.", err=True)
    show_each(found.items(), _show)


def _show(model: tuple[str, Path]) -> None:
    from soundgan.model_folder import read_config

    name, path = model
    config = read_config(path)
    representation = config.representation
    typer.echo(f"{name}: {representation.duration:.2f} s at {representation.sample_rate} Hz")
    typer.echo(f"    labels: {', '.join(config.labels) or 'none'}")
    if config.license:
        typer.echo(f"    trained on data under {config.license}: {config.attribution}")
