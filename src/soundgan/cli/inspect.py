"""`soundgan inspect FOLDER`: report on a folder of sounds before training."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def inspect(
    folder: Annotated[Path, typer.Argument(help="Folder of sounds; its sub-folders are the labels.")],
    config: Annotated[Path | None, typer.Option(help="Settings file to start from.")] = None,
    sample_rate: Annotated[int | None, typer.Option(help="In Hz; by default that of the data.")] = None,
    duration: Annotated[float | None, typer.Option(help="In s; by default from the data.")] = None,
    slice: Annotated[bool | None, typer.Option(help="Cut long recordings into slices.")] = None,
    exclude: Annotated[
        list[str] | None, typer.Option(help="Exclude files that match this pattern (repeatable).")
    ] = None,
    list_all: Annotated[bool, typer.Option("--all", help="List every file that is left out.")] = False,
) -> None:
    """Report what would be used, padded, cut, sliced and left out, and why, without training."""
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn

    from soundgan.data.report import format_report
    from soundgan.data.scan import scan
    from soundgan.data.survey import survey
    from soundgan.settings import Settings, load_settings, with_options

    settings = load_settings(config) if config is not None else Settings()
    options = {"sample_rate": sample_rate, "duration": duration, "slice": slice, "exclude": exclude or None}
    settings = with_options(settings, options)

    console = Console(stderr=True)
    columns = TextColumn("Reading"), BarColumn(), TaskProgressColumn(), TimeRemainingColumn()
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as bar:
        task = bar.add_task("Reading", total=None)
        surveyed = survey(
            scan(folder, settings.data.exclude),
            settings.data,
            settings.spectrogram,
            progress=lambda done, total: bar.update(task, completed=done, total=total),
        )
    typer.echo(format_report(surveyed, max_listed=None if list_all else 10))
    surveyed.require_enough()
