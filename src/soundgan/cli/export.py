"""`soundgan export RUN`: a model folder from the checkpoint of a run that still goes on, or was broken off."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def export(run: Annotated[Path, typer.Argument(help="Folder of the training: its --out, or saveroot.")]) -> None:
    """Make the model of a run playable as it is now."""
    from soundgan.cli.extras import require_extra

    with require_extra("train", "export"):
        from soundgan.training.run import export_checkpoint
    typer.echo(f"Model: {export_checkpoint(run, lambda told: typer.echo(told, err=True))}")
