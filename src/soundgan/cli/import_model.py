"""`soundgan import model_G.pt`: convert a generator of the original SoundGAN to a model folder."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from soundgan.cli.errors import require_extra


def import_model(
    file: Annotated[Path, typer.Argument(help="model_G.pt: a pickled generator, or its state dict.")],
    config: Annotated[Path, typer.Option(help="Settings file of the model.")] = Path("gan_config.json"),
    out: Annotated[
        Path | None, typer.Option("-o", "--out", help="Model folder; by default saveroot of the settings.")
    ] = None,
) -> None:
    """Convert a model of the original SoundGAN; nothing in the file is executed."""
    from soundgan.settings import load_settings

    settings = load_settings(config)
    with require_extra("train", "import"):
        from soundgan.training.pipeline import import_legacy
    folder = import_legacy(file, settings, out or Path(settings.run.saveroot))
    typer.echo(f"Model: {folder}")
    typer.echo(f"Try:   soundgan generate {folder} -n 8 -o sounds")
