"""`soundgan models`: the models that come with SoundGAN."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def models(
    folder: Annotated[Path | None, typer.Argument(help="List the model folders in here instead.")] = None,
) -> None:
    """List models with their labels, sample rate, duration and licence."""
    from soundgan.model_folder import CONFIG, bundled, read_config

    found = bundled()
    if folder is not None:
        found = {path.parent.name: path.parent for path in sorted(folder.glob(f"*/{CONFIG}"))}
    for name, path in found.items():
        config = read_config(path)
        representation = config.representation
        typer.echo(f"{name}: {representation.duration:.2f} s at {representation.sample_rate} Hz")
        typer.echo(f"    labels: {', '.join(config.labels) or 'none'}")
        if config.licence:
            typer.echo(f"    trained on data under {config.licence}: {config.attribution}")
    if not found:
        typer.echo("No models here.", err=True)
