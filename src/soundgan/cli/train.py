"""`soundgan train FOLDER`: train a model on a folder of sounds, with progress in the terminal."""

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
    out: Annotated[Path | None, typer.Option("-o", "--out", help="Model folder; by default runs/<folder>.")] = None,
    config: Annotated[Path | None, typer.Option(help="Settings file to start from, such as a recipe.")] = None,
    minutes: Annotated[
        str | None,
        typer.Option(metavar="FLOAT|auto", help="Total minutes over restarts (default 60); auto: early stopping."),
    ] = None,
    max_samples: Annotated[int | None, typer.Option(help="Stop when this many samples have been seen.")] = None,
    size: Annotated[int | None, typer.Option(help="Size of the networks (base channels), a multiple of 8.")] = None,
    network: Annotated[str | None, typer.Option(help="residual, or dcgan (the classic networks).")] = None,
    sample_rate: Annotated[int | None, typer.Option(help="In Hz; by default that of the data.")] = None,
    duration: Annotated[float | None, typer.Option(help="In s; by default from the data.")] = None,
    slice: Annotated[bool | None, typer.Option(help="Cut long recordings into slices.")] = None,
    exclude: Annotated[
        list[str] | None, typer.Option(help="Exclude files that match this pattern (repeatable).")
    ] = None,
    seed: Annotated[int | None, typer.Option(help="Seed of the training.")] = None,
) -> None:
    """Train on a folder of sounds. The same command resumes an interrupted training; Ctrl-C saves a checkpoint."""
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


def _metrics(result: ValidationResult) -> str:
    return f"Fréchet distance {result.frechet:.1f}, coverage {result.coverage:.0%}, recall {result.recall:.0%}"


def _duration(seconds: float) -> str:
    return f"{seconds:.0f} s" if seconds < 90 else f"{seconds / 60:.0f} min"


def _minutes(text: str | None) -> float | str | None:
    """Return a number if the text is one; other text is checked with the other settings."""
    try:
        return None if text is None else float(text)
    except ValueError:
        return text


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
        from soundgan.training.monitor.log import read_log
        from soundgan.training.monitor.monitor import ProgressReport
        from soundgan.training.monitor.report import REPORT, remarks
        from soundgan.training.pipeline import train_model_folder
        from soundgan.training.runtime.distributed import rank

    folder, console = Path(settings.run.saveroot), Console(stderr=True)
    last_line = 0.0

    with Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        TextColumn("{task.percentage:>3.0f} %"),
        TextColumn("{task.fields[status]}"),
        console=console,
        disable=rank() > 0 or not console.is_terminal,
    ) as bar:
        reading = bar.add_task("Reading", total=None, status="")
        training = bar.add_task("Training", total=1.0, status="", visible=False)

        def on_data(report: str) -> None:
            bar.update(reading, visible=False)
            bar.update(training, visible=True)
            console.print(report, markup=False, highlight=False, soft_wrap=True)

        def on_progress(step: ProgressReport) -> None:
            nonlocal last_line
            status = f"{step.samples_seen:,} samples seen, {step.sounds_per_second:.0f}/s"
            status += f", {_duration(step.seconds_left)} left" if isfinite(step.seconds_left) else ""
            status += f", distance {step.validation.frechet:.1f}" if step.validation else ""
            bar.update(training, completed=step.done, status=status)
            # Without a terminal, a line for every 5 %.
            last_line = min(last_line, step.done + 0.05)  # early stopping lowers the fraction when validation improves
            if not console.is_terminal and step.done >= last_line:
                typer.echo(f"{step.done:4.0%}  {status}", err=True)
                last_line = step.done + 0.05

        result = train_model_folder(
            settings,
            on_read=lambda done, total: bar.update(reading, completed=done, total=total),
            on_data=on_data,
            on_message=lambda message: console.print(message, markup=False, highlight=False, soft_wrap=True),
            on_progress=on_progress,
        )
        bar.update(training, completed=None if result.interrupted else 1.0)
    if rank() > 0:
        return folder  # rank 0 reports
    if result.interrupted:
        typer.echo("Stopped; the checkpoint is saved. Run the same command to resume.", err=True)
    progress = result.progress
    typer.echo(f"Model:   {folder} ({progress.samples_seen:,} samples seen in {progress.seconds / 60:.1f} minutes)")
    if result.best is not None:
        typer.echo(f"Best:    at {result.best.samples_seen:,} samples seen (validation: {_metrics(result.best)})")
    for remark in remarks(read_log(folder / TRAINING)):
        typer.echo(f"Note:    {remark}")
    typer.echo(f"Report:  {folder / TRAINING / REPORT}")
    typer.echo(f"Samples: {folder / 'samples' / 'spectrograms.png'}")
    typer.echo(f"Next:    soundgan generate {folder} -n 8 -o sounds")
    return folder
