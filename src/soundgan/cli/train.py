"""`soundgan train FOLDER`: from a folder of sounds to a model folder, with progress in the terminal."""

from __future__ import annotations

from math import isfinite
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from soundgan.settings import Settings
    from soundgan.training.monitor.validation import ValidationResult


def train(
    folder: Annotated[Path | None, typer.Argument(help="Folder of sounds; its sub-folders are the labels.")] = None,
    out: Annotated[Path | None, typer.Option("-o", "--out", help="Model folder; otherwise runs/<folder>.")] = None,
    config: Annotated[Path | None, typer.Option(help="Settings file to start from, such as a recipe.")] = None,
    minutes: Annotated[
        str | None,
        typer.Option(metavar="FLOAT|auto", help="In all, over restarts; auto: while it gets better; 60 if not given."),
    ] = None,
    max_samples: Annotated[int | None, typer.Option(help="Stop when this many samples have been seen.")] = None,
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
        "minutes": _minutes(minutes),
        "max_samples": max_samples,
        "size": size,
        "network": network,
        "sample_rate": sample_rate,
        "duration": duration,
        "slice": slice,
        "exclude": exclude or None,
        "seed": seed,
    }
    if folder is None and not base.is_set("dataroot"):
        raise SettingsError("train: name a FOLDER of sounds, or a --config with a dataroot")
    if out is not None:
        options["saveroot"] = str(out)
    elif not base.is_set("saveroot"):
        options["saveroot"] = str(Path("runs") / Path(folder or base.data.dataroot).resolve().name)
    run_training(with_options(base, options))


def _told(check: ValidationResult) -> str:
    return f"Fréchet distance {check.frechet:.1f}, coverage {check.coverage:.0%}, recall {check.recall:.0%}"


def _duration(seconds: float) -> str:
    return f"{seconds:.0f} s" if seconds < 90 else f"{seconds / 60:.0f} min"


def _minutes(given: str | None) -> float | str | None:
    """A number if it is one; what else was given is judged with the other settings."""
    try:
        return None if given is None else float(given)
    except ValueError:
        return given


def run_training(settings: Settings) -> Path:
    """Prepare, train and export with the settings' `dataroot` and `saveroot`, showing progress on stderr.

    Returns:
        The model folder.
    """
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn

    from soundgan.cli.extras import require_extra
    from soundgan.model_folder import TRAINING

    with require_extra("train", "train"):
        from soundgan.training.loop import ProgressReport as Step
        from soundgan.training.monitor.report import REPORT
        from soundgan.training.run import run
        from soundgan.training.runtime.distributed import rank

    console = Console(stderr=True)
    last_line = 0.0

    with Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        TextColumn("{task.percentage:>3.0f} %"),
        TextColumn("{task.fields[told]}"),
        console=console,
        disable=rank() > 0 or not console.is_terminal,
    ) as bar:
        reading = bar.add_task("Reading", total=None, told="")
        training = bar.add_task("Training", total=1.0, told="", visible=False)

        def prepared(report: str) -> None:
            bar.update(reading, visible=False)
            bar.update(training, visible=True)
            console.print(report, markup=False, highlight=False, soft_wrap=True)

        def stepped(step: Step) -> None:
            nonlocal last_line
            told = f"{step.samples_seen:,} samples seen, {step.sounds_per_second:.0f}/s"
            told += f", {_duration(step.seconds_left)} left" if isfinite(step.seconds_left) else ""
            told += f", distance {step.check.frechet:.1f}" if step.check else ""
            bar.update(training, completed=step.done, told=told)
            # Where no bar can be drawn, a line now and then serves.
            last_line = min(last_line, step.done + 0.05)  # with `auto`, the share falls when it gets better
            if not console.is_terminal and step.done >= last_line:
                typer.echo(f"{step.done:4.0%}  {told}", err=True)
                last_line = step.done + 0.05

        result = run(
            settings,
            reading=lambda done, total: bar.update(reading, completed=done, total=total),
            prepared=prepared,
            announce=lambda told: console.print(told, markup=False, highlight=False, soft_wrap=True),
            stepped=stepped,
        )
        bar.update(training, completed=None if result.interrupted else 1.0)
    if rank() > 0:
        return result.folder  # the first process tells
    if result.interrupted:
        typer.echo("Stopped; everything is saved. The same command goes on from here.", err=True)
    typer.echo(f"Model: {result.folder} ({result.samples_seen:,} samples seen in {result.seconds / 60:.1f} minutes)")
    if result.best is not None:
        typer.echo(
            f"Kept:  the Generator after {result.best.samples_seen:,} sounds, the best one checked ({_told(result.best)})"
        )
    for remark in result.remarks:
        typer.echo(f"Note:  {remark}")
    typer.echo(f"More:  {result.folder / TRAINING / REPORT}")
    typer.echo(f"Look:  {result.folder / 'samples' / 'spectrograms.png'}")
    typer.echo(f"Try:   soundgan generate {result.folder} -n 8 -o sounds")
    return result.folder
