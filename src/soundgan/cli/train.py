"""`soundgan train FOLDER`: train a model on a folder of sounds, with progress in the terminal."""

from __future__ import annotations

from math import isfinite
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from soundgan.cli.errors import require_extra

if TYPE_CHECKING:
    from soundgan.settings import Settings


def train(
    folder: Annotated[Path | None, typer.Argument(help="Folder of sounds; its sub-folders are the labels.")] = None,
    out: Annotated[Path | None, typer.Option("-o", "--out", help="Model folder; by default runs/<folder>.")] = None,
    config: Annotated[Path | None, typer.Option(help="Settings file to start from, such as a recipe.")] = None,
    init_from: Annotated[
        str | None,
        typer.Option("--from", metavar="MODEL", help="Model folder or bundled model to fine-tune, for few sounds."),
    ] = None,
    minutes: Annotated[
        str | None,
        typer.Option(metavar="FLOAT|auto", help="Minutes of training in total (default 60); auto: early stopping."),
    ] = None,
    max_samples: Annotated[int | None, typer.Option(help="Stop after this many training samples.")] = None,
    size: Annotated[int | None, typer.Option(help="Size of the networks (base channels), a multiple of 8.")] = None,
    network: Annotated[str | None, typer.Option(help="Architecture: residual, or dcgan (the classic one).")] = None,
    sample_rate: Annotated[
        int | None, typer.Option(help="Sample rate in Hz; by default the preset nearest to that of the data.")
    ] = None,
    duration: Annotated[
        float | None, typer.Option(help="Length of a sound in s; by default from the lengths of the recordings.")
    ] = None,
    slice: Annotated[bool | None, typer.Option(help="Cut long recordings into slices.")] = None,
    exclude: Annotated[
        list[str] | None, typer.Option(help="Exclude files that match this pattern (repeatable).")
    ] = None,
    seed: Annotated[int | None, typer.Option(help="Random seed of the training.")] = None,
    threads: Annotated[int | None, typer.Option(help="CPU threads; by default one per core that is free.")] = None,
) -> None:
    """Train a model on a folder of sounds. Ctrl-C saves a checkpoint; the same command resumes the training."""
    from soundgan.errors import SettingsError
    from soundgan.settings import Settings, load_settings, with_options

    settings = load_settings(config) if config is not None else Settings()
    if folder is None and not settings.is_set("dataroot"):
        raise SettingsError("train: name a FOLDER of sounds, or a --config with a dataroot")
    if out is None and not settings.is_set("saveroot"):
        out = Path("runs") / Path(folder or settings.data.dataroot).resolve().name
    options = {
        "dataroot": folder and str(folder), "saveroot": out and str(out), "minutes": _number(minutes),
        "max_samples": max_samples, "size": size, "network": network, "sample_rate": sample_rate,
        "duration": duration, "slice": slice, "exclude": exclude or None, "seed": seed,
        "threads": threads, "init_from": init_from,
    }  # fmt: skip
    run_training(with_options(settings, options))


def _number(text: str | None) -> float | str | None:
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

    from soundgan.model_folder import TRAINING

    with require_extra("train", "train"):
        from soundgan.training.monitor.log import read_log
        from soundgan.training.monitor.monitor import ProgressReport
        from soundgan.training.monitor.report import REPORT, remarks
        from soundgan.training.pipeline import train_model_folder
        from soundgan.training.runtime.distributed import rank

    folder, console = Path(settings.run.saveroot), Console(stderr=True)
    columns = TextColumn("{task.description}"), BarColumn(), TextColumn("{task.percentage:>3.0f} %")
    hidden = rank() > 0 or not console.is_terminal
    last_line = 0.0

    def print_text(text: str) -> None:
        console.print(text, markup=False, highlight=False, soft_wrap=True)

    with Progress(*columns, TextColumn("{task.fields[status]}"), console=console, disable=hidden) as bar:
        reading = bar.add_task("Reading", total=None, status="")
        training = bar.add_task("Training", total=1.0, status="", visible=False)

        def on_data(report: str) -> None:
            bar.update(reading, visible=False)
            bar.update(training, visible=True)
            print_text(report)

        def on_progress(step: ProgressReport) -> None:
            nonlocal last_line
            status = f"{step.samples_seen:,} samples seen, {step.sounds_per_second:.0f}/s"
            status += f", {_duration(step.seconds_left)} left" if isfinite(step.seconds_left) else ""
            status += f", Fréchet distance {step.validation.frechet:.1f}" if step.validation else ""
            bar.update(training, completed=step.done, status=status)
            # Without a terminal, a line for every 5 %.
            last_line = min(last_line, step.done + 0.05)  # early stopping lowers the fraction when validation improves
            if not console.is_terminal and step.done >= last_line:
                typer.echo(f"{100 * step.done:3.0f} %  {status}", err=True)
                last_line = step.done + 0.05

        result = train_model_folder(
            settings,
            on_read=lambda done, total: bar.update(reading, completed=done, total=total),
            on_data=on_data,
            on_message=print_text,
            on_progress=on_progress,
        )
        bar.update(training, completed=None if result.interrupted else 1.0)
    if rank() > 0:
        return folder  # rank 0 reports
    if result.interrupted:
        typer.echo("Stopped; the checkpoint is saved. Run the same command to resume.", err=True)
    progress, best = result.progress, result.best
    typer.echo(f"Model:   {folder} ({progress.samples_seen:,} samples seen in {progress.seconds / 60:.1f} minutes)")
    if best is not None:
        shares = f"coverage {100 * best.coverage:.0f} %, recall {100 * best.recall:.0f} %"
        metrics = f"Fréchet distance {best.frechet:.1f}, {shares}"
        typer.echo(f"Best:    at {best.samples_seen:,} samples seen (validation: {metrics})")
    for remark in remarks(read_log(folder / TRAINING)):
        typer.echo(f"Note:    {remark}")
    typer.echo(f"Report:  {folder / TRAINING / REPORT}")
    typer.echo(f"Samples: {folder / 'samples' / 'spectrograms.png'}")
    typer.echo(f"Next:    soundgan generate {folder} -n 8 -o sounds")
    return folder


def _duration(seconds: float) -> str:
    return f"{seconds:.0f} s" if seconds < 90 else f"{seconds / 60:.0f} min"
