"""`soundgan train FOLDER`: from a folder of sounds to a model folder, with progress in the terminal."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from soundgan.settings import Settings


def train(
    folder: Annotated[Path | None, typer.Argument(help="Folder of sounds; its sub-folders are the labels.")] = None,
    out: Annotated[Path | None, typer.Option("-o", "--out", help="Model folder; otherwise runs/<folder>.")] = None,
    config: Annotated[Path | None, typer.Option(help="Settings file to start from, such as a recipe.")] = None,
    minutes: Annotated[float | None, typer.Option(help="Train for this long; 60 if no budget is given.")] = None,
    sounds: Annotated[int | None, typer.Option(help="Train until this many sounds have been seen.")] = None,
    size: Annotated[int | None, typer.Option(help="Size dial of the networks, a multiple of 8.")] = None,
    network: Annotated[str | None, typer.Option(help="residual, or dcgan (the classic one).")] = None,
    sample_rate: Annotated[int | None, typer.Option(help="Hz; otherwise the data's own.")] = None,
    duration: Annotated[float | None, typer.Option(help="s; otherwise from the data.")] = None,
    slice: Annotated[bool | None, typer.Option(help="Cut long recordings into slices.")] = None,
    exclude: Annotated[list[str] | None, typer.Option(help="Leave out files of this pattern (repeatable).")] = None,
    seed: Annotated[int | None, typer.Option(help="Seed of the training.")] = None,
) -> None:
    """Train on a folder of sounds. The same command again goes on where it stopped; Ctrl-C saves first."""
    from soundgan.errors import SettingsError
    from soundgan.settings import Settings, load_settings, with_options

    base = load_settings(config) if config is not None else Settings()
    options: dict[str, Any] = {
        "dataroot": None if folder is None else str(folder),
        "minutes": minutes,
        "sounds": sounds,
        "size": size,
        "network": network,
        "sample_rate": sample_rate,
        "duration": duration,
        "slice": slice,
        "exclude": exclude or None,
        "seed": seed,
    }
    if folder is None and "dataroot" not in base.model_fields_set:
        raise SettingsError("train: name a FOLDER of sounds, or a --config with a dataroot")
    if out is not None:
        options["saveroot"] = str(out)
    elif "saveroot" not in base.model_fields_set:
        options["saveroot"] = str(Path("runs") / Path(folder or base.dataroot).resolve().name)
    run_training(with_options(base, options))


def run_training(settings: Settings) -> Path:
    """Prepare, train and export with the settings' `dataroot` and `saveroot`, showing progress on stderr.

    Returns:
        The model folder.
    """
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

    from soundgan.cli.extras import needs_train

    with needs_train("train"):
        from soundgan.training.loop import Progress as Step
        from soundgan.training.run import run

    console = Console(stderr=True)
    last_line = 0.0

    with Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        TextColumn("{task.percentage:>3.0f} %"),
        TimeRemainingColumn(),
        TextColumn("{task.fields[told]}"),
        console=console,
        disable=not console.is_terminal,
    ) as bar:
        reading = bar.add_task("Reading", total=None, told="")
        training = bar.add_task("Training", total=1.0, told="", visible=False)

        def prepared(report: str) -> None:
            bar.update(reading, visible=False)
            bar.update(training, visible=True)
            console.print(report, markup=False, highlight=False, soft_wrap=True)

        def stepped(step: Step) -> None:
            nonlocal last_line
            told = f"{step.seen:,} sounds seen, {step.sounds_per_second:.0f}/s, {step.seconds_left / 60:.0f} min left"
            bar.update(training, completed=step.done, told=told)
            # Where no bar can be drawn, a line now and then serves.
            if not console.is_terminal and step.done >= last_line:
                typer.echo(f"{step.done:4.0%}  {told}", err=True)
                last_line = step.done + 0.05

        result = run(
            settings,
            reading=lambda done, total: bar.update(reading, completed=done, total=total),
            prepared=prepared,
            announce=lambda machine: console.print(f"Training on {machine}", highlight=False),
            stepped=stepped,
        )
    if result.interrupted:
        typer.echo("Stopped; everything is saved. The same command goes on from here.", err=True)
    typer.echo(f"Model: {result.folder} ({result.seen:,} sounds seen in {result.seconds / 60:.1f} minutes)")
    typer.echo(f"Look:  {result.folder / 'samples' / 'paintings.png'}")
    typer.echo(f"Try:   soundgan generate {result.folder} -n 8 -o sounds")
    return result.folder
