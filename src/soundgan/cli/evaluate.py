"""`soundgan evaluate MODEL DATA`: metrics of a model's sounds, beside held-out real sounds."""

from __future__ import annotations

import errno
import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from soundgan.cli.generate import QualityOption

if TYPE_CHECKING:
    from rich.table import Table

    from soundgan.evaluation.result import Evaluation


def evaluate(
    subject: Annotated[
        str, typer.Argument(metavar="MODEL", help="Model folder or bundled name; or a folder of generated sounds.")
    ],
    data: Annotated[Path, typer.Argument(help="Folder of real sounds; its sub-folders are the labels.")],
    n: Annotated[
        int | None, typer.Option("-n", "--number", help="Number of sounds; by default that of held-out real sounds.")
    ] = None,
    seed: Annotated[int, typer.Option(help="Seed of the first sound and of every random choice.")] = 0,
    quality: Annotated[
        QualityOption, typer.Option(help="Quality of phase retrieval; best takes up to 10 times as long.")
    ] = QualityOption.balanced,
    uniform: Annotated[bool, typer.Option("--uniform", help="Generate all labels equally often.")] = False,
    quick: Annotated[bool, typer.Option("--quick", help="Skip the comparison with all training sounds.")] = False,
    test_pattern: Annotated[
        str | None,
        typer.Option(help="File names of the held-out sounds; by default those that the model's training excluded."),
    ] = None,
    embedding: Annotated[Path | None, typer.Option(help="ONNX file of the embedding for the distances.")] = None,
    embedding_rate: Annotated[
        int | None, typer.Option(help="Sample rate of the embedding in Hz, if its metadata has none.")
    ] = None,
    classifier: Annotated[
        Path | None, typer.Option(help="Folder that caches the classifier of labels for the next time.")
    ] = None,
    html: Annotated[Path | None, typer.Option(help="Write a report with spectrograms and sounds to this file.")] = None,
    json: Annotated[Path | None, typer.Option(help="Write all metrics to this file.")] = None,
) -> None:
    """Evaluate a model, or a folder of sounds, beside real sounds: distances, variety, labels and memorization."""
    from json import dumps

    from rich.console import Console
    from rich.markup import escape
    from rich.measure import Measurement
    from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

    from soundgan.errors import DataError
    from soundgan.evaluation.evaluate import EvaluationOptions, evaluate_folder
    from soundgan.evaluation.evaluate import evaluate as evaluate_model
    from soundgan.evaluation.features.embedding import OnnxEmbedding
    from soundgan.evaluation.report import write_report
    from soundgan.files import write_text
    from soundgan.model import SoundGAN
    from soundgan.model_folder import CONFIG, TRAINING, bundled

    for file in (html, json):
        if file is not None:  # before minutes of work
            file.parent.mkdir(parents=True, exist_ok=True)
            if file.is_dir():
                raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(file))
    options = EvaluationOptions(
        seed=seed, test_pattern=test_pattern, classifier_folder=classifier, n=n, quality=quality.value,
        uniform_labels=uniform, quick=quick,
        embedding=None if embedding is None else OnnxEmbedding(embedding, sample_rate=embedding_rate),
    )  # fmt: skip
    stderr = Console(stderr=True)
    columns = TextColumn("{task.description}"), BarColumn(), TimeRemainingColumn()
    with Progress(*columns, console=stderr, transient=True, disable=not stderr.is_terminal) as bar:
        bar_task, current = bar.add_task("Reading", total=None), ""

        def progress(task: str, done: int, total: int) -> None:
            nonlocal current
            if task != current and not stderr.is_terminal:
                stderr.print(task)  # without a progress bar
            current = task
            bar.update(bar_task, description=task, completed=done, total=total)

        folder = Path(subject)
        is_model = subject in bundled() or (folder / CONFIG).exists() or (folder / TRAINING).is_dir()
        if folder.is_dir() and not is_model:
            if n is not None or uniform or quick:
                raise DataError(
                    f"{folder}: contains sounds, not a model: --number, --uniform and --quick have no effect on sounds"
                )
            result = evaluate_folder(folder, data, options, progress)
        else:
            result = evaluate_model(SoundGAN.load(subject), data, options, progress)
    console = Console(highlight=False)
    table = _table(result, intervals=True)
    width = Measurement.get(console, console.options.update(max_width=1000), table).maximum
    if not console.is_terminal:
        console.width = max(console.width, width)  # files have no limit
    intervals = width <= console.width
    console.print(table if intervals else _table(result, intervals=False))
    console.print(_caption(result) + ("" if intervals else " A wider terminal, --html and --json have intervals."))
    for note in result.notes:
        console.print(f"[yellow]Note[/yellow] {escape(note)}")
    if classifier is None and result.conditions["classifier"]:
        console.print("The classifier of labels was trained for this evaluation only; --classifier FOLDER caches it.")
    if html is not None:
        typer.echo(f"Report: {write_report(result, html)}")
    if json is not None:
        typer.echo(f"Metrics: {write_text(json, dumps(result.as_json(), indent=2, ensure_ascii=False) + chr(10))}")


def _table(result: Evaluation, *, intervals: bool) -> Table:
    """Table of the metrics, with or without their intervals."""
    from rich.markup import escape
    from rich.table import Table

    from soundgan.evaluation.metrics.catalog import METRICS, SoundSet

    real = result.data.real
    generated, baseline, full = (
        result.scores.table.get(name) for name in (SoundSet.GENERATED, SoundSet.REAL_BASELINE, SoundSet.GENERATED_FULL)
    )
    title = f"{escape(result.subject)}, seed {result.conditions['seed']}"
    table = Table(title=title, title_justify="left", box=None)
    table.add_column("")
    held_out = f"{len(real.held_out):,} real, {'unseen' if real.held_out_is_unseen else 'perhaps seen'}"
    for header in f"{len(result.data.generated):,} generated", held_out:
        table.add_column(header, justify="right")
        if intervals:
            table.add_column("95 %", justify="right", style="dim")
    if full:
        table.add_column(f"{full.n:,} generated", justify="right", style="dim")
    for metric, info in METRICS.items():
        estimates = [row and row.estimates.get(metric) for row in (generated, baseline)]
        if not any(estimates):
            continue
        mark = " [green]✓[/green]" if info.matches_baseline(*estimates) else ""
        cells = [f"{info.direction_symbol} {info.title}{mark}"]
        for estimate in estimates:
            texts = [info.format(estimate.value), info.format_interval(estimate)] if estimate else ["–", ""]
            cells += texts if intervals else texts[:1]
        if full:
            cells.append(info.format(full.estimates[metric].value) if metric in full.estimates else "")
        table.add_row(*cells)
    return table


def _caption(result: Evaluation) -> str:
    from soundgan.evaluation.metrics.catalog import SoundSet

    count = len(result.data.real.train)
    return (
        f"Compared with {result.scores.size:,} of {count:,} training sounds"
        + (f"; the last column with all {count:,}. " if SoundSet.GENERATED_FULL in result.scores.table else ". ")
        + "A perfect generator would reach the values of the real sounds; ✓: inside of their interval, or better."
    )
