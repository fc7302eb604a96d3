"""The command line: one file a command, with lazy imports."""

from __future__ import annotations

import io
import sys
from typing import Annotated

import typer

from soundgan.cli.about import about
from soundgan.cli.config import config
from soundgan.cli.evaluate import evaluate
from soundgan.cli.export import export
from soundgan.cli.generate import generate
from soundgan.cli.import_model import import_model
from soundgan.cli.inspect import inspect
from soundgan.cli.models import models
from soundgan.cli.serve import serve
from soundgan.cli.train import train
from soundgan.errors import SoundGANError, one_line
from soundgan.version import __version__

app = typer.Typer(name="soundgan", no_args_is_help=True, pretty_exceptions_enable=False, add_completion=False)
for command in (generate, models, inspect, train, evaluate, serve, export, config, about):
    app.command()(command)
app.command("import")(import_model)


def _print_version(requested: bool) -> None:
    if requested:
        typer.echo(f"soundgan {__version__}")
        raise typer.Exit


@app.callback()
def _soundgan(
    version: Annotated[
        bool, typer.Option("--version", help="Print the version and exit.", callback=_print_version, is_eager=True)
    ] = False,
) -> None:
    """Train a GAN on a folder of sounds and generate new ones."""


def main() -> None:
    """Run the command line; an error for the user is one line on stderr and exit status 2."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")  # file names may have characters that a terminal cannot show
    try:
        app()
    except (SoundGANError, OSError) as error:
        print(f"soundgan: {one_line(error)}", file=sys.stderr)
        sys.exit(2)
