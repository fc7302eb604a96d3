"""`soundgan export RUN`: write the model of a checkpoint, of a running or interrupted training."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from soundgan.cli.errors import require_extra


def export(
    run: Annotated[Path, typer.Argument(help="Folder of the training: its --out, or saveroot.")],
    keep_discriminator: Annotated[
        bool, typer.Option("--keep-discriminator", help="Also write the discriminator, for fine-tuning of the model.")
    ] = False,
) -> None:
    """Export the latest checkpoint of a training as a model."""
    with require_extra("train", "export"):
        from soundgan.training.pipeline import export_checkpoint
    folder = export_checkpoint(
        run, lambda message: typer.echo(message, err=True), keep_discriminator=keep_discriminator
    )
    typer.echo(f"Model: {folder}")
