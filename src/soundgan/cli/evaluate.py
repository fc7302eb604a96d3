"""`soundgan evaluate MODEL DATA`: metrics of a model's sounds, beside held-out real sounds."""

from __future__ import annotations

import errno
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from soundgan.cli.generate import QualityOption

if TYPE_CHECKING:
    from rich.console import Console
    from rich.progress import Progress
    from rich.table import Table

    from soundgan.evaluation.result import Evaluation

MIN_ANNOUNCED = 5.0  # s that remain of a task after its first tenth


def evaluate(
    subject: Annotated[
        str, typer.Argument(metavar="MODEL", help="Model folder or bundled name; or a folder of generated sounds.")
    ],
    data: Annotated[Path, typer.Argument(help="Folder of real sounds; its sub-folders are the labels.")],
    n: Annotated[
        int | None, typer.Option("-n", "--number", help="Number of sounds; by default that of held-out real sounds.")
    ] = None,
    seed: Annotated[int, typer.Option(help="Seed of the first sound and of every random choice.")] = 0,
    quality: QualityOption = "balanced",
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
    from soundgan.evaluation import evaluate as evaluation
    from soundgan.evaluation.features.embedding import OnnxEmbedding
    from soundgan.evaluation.options import EvaluationOptions
    from soundgan.evaluation.report import write_report
    from soundgan.files import write_text
    from soundgan.model import SoundGAN
    from soundgan.model_folder import CONFIG, TRAINING, bundled

    for file in (html, json):
        if file is not None:  # before minutes of work
            file.parent.mkdir(parents=True, exist_ok=True)
            if file.is_dir():
                raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(file))
    folder = Path(subject)
    is_model = subject in bundled() or (folder / CONFIG).exists() or (folder / TRAINING).is_dir()
    given = {"--number": n is not None, "--uniform": uniform, "--quick": quick}
    if folder.is_dir() and not is_model and any(given.values()):
        superfluous = " and ".join(option for option, is_given in given.items() if is_given)
        raise DataError(f"{folder}: contains sounds, not a model: leave out {superfluous}, only for models")
    stderr = Console(stderr=True)
    columns = TextColumn("{task.description}"), BarColumn(), TimeRemainingColumn()
    with Progress(*columns, console=stderr, transient=True, disable=not stderr.is_terminal) as bar:
        options = EvaluationOptions(
            seed=seed, test_pattern=test_pattern, classifier_folder=classifier, n=n, quality=quality,
            uniform_labels=uniform, quick=quick, progress=_progress(bar),
            embedding=None if embedding is None else OnnxEmbedding(embedding, sample_rate=embedding_rate),
        )  # fmt: skip
        if folder.is_dir() and not is_model:
            result = evaluation.evaluate_folder(folder, data, options)
        else:
            result = evaluation.evaluate(SoundGAN.load(subject), data, options)
    console = Console(highlight=False)
    _print_verdict(console, result)
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


def _print_verdict(console: Console, result: Evaluation) -> None:
    """Print the verdict, and a line for each label with faults."""
    from rich.markup import escape

    verdict = result.verdict
    console.print(f"[bold]{escape(verdict.headline)}[/bold]")
    for label, faults in verdict.faults.items():
        if faults:
            console.print(escape("  " + (f"{label}: " if label else "") + "; ".join(faults)), soft_wrap=True)
    console.print()


def _progress(bar: Progress) -> Callable[[str, int, int], None]:
    """Show the tasks of an evaluation in a bar; without a terminal as lines, with the time of those that take long."""
    item, started, announced = bar.add_task(""), 0.0, False

    def progress(task: str, done: int, total: int) -> None:
        nonlocal started, announced
        if task != bar.tasks[0].description:
            bar.reset(item, description=task, total=total)
            started, announced = time.monotonic(), False
            if bar.disable:
                bar.console.print(task)
        bar.update(item, completed=done, total=total)
        if bar.disable and not announced and done and done >= total / 10:
            announced = True
            if (remaining := (time.monotonic() - started) / done * (total - done)) > MIN_ANNOUNCED:
                bar.console.print(f"{task}: about {remaining:.0f} s more")

    return progress


def _table(result: Evaluation, *, intervals: bool) -> Table:
    """Table of the metrics, with or without their intervals."""
    from rich.markup import escape
    from rich.table import Table

    from soundgan.evaluation.metrics.catalog import METRICS, SoundSet

    real = result.real
    generated, baseline, full = (
        result.scores.table.get(name) for name in (SoundSet.GENERATED, SoundSet.REAL_BASELINE, SoundSet.GENERATED_FULL)
    )
    title = f"{escape(result.subject)}, seed {result.conditions['seed']}"
    table = Table(title=title, title_justify="left", box=None)
    table.add_column("")
    held_out = f"{len(real.held_out):,} real, {'unseen' if real.held_out_is_unseen else 'perhaps seen'}"
    for header in f"{len(result.generated):,} generated", held_out:
        table.add_column(header, justify="right")
        if intervals:
            table.add_column("95 %", justify="right", style="dim")
    if full:
        table.add_column(f"{full.n:,} generated", justify="right", style="dim")
    n_compared = min(row.n for row in (generated, baseline) if row)
    for key, metric in METRICS.items():
        estimates = [row and row.estimates.get(key) for row in (generated, baseline)]
        if not any(estimates):
            continue
        mark = metric.comparison_mark(estimates[0], estimates[1], n_compared)
        cells = [
            f"{metric.direction_symbol} {metric.title} {f'[green]{mark}[/green]' if mark == '✓' else mark}".rstrip()
        ]
        for estimate in estimates:
            texts = [metric.format(estimate.value), metric.format_interval(estimate)] if estimate else ["–", ""]
            cells += texts if intervals else texts[:1]
        if full:
            cells.append(metric.format(full.estimates[key].value) if key in full.estimates else "")
        table.add_row(*cells)
    return table


def _caption(result: Evaluation) -> str:
    from soundgan.evaluation.metrics.catalog import FEW_SOUNDS, SoundSet

    real, n = result.real, len(result.real.train)
    full = f"; the last column with all {n:,}" if SoundSet.GENERATED_FULL in result.scores.table else ""
    seen = f" The model may have been trained on all {n + len(real.held_out):,} real sounds."
    return (
        f"Compared with {result.scores.size:,} of {n:,} {real.train_title}{full}."
        f"{'' if real.held_out_is_unseen else seen} A perfect generator would reach the values of the real sounds; "
        f"✓: inside of their interval, or better; ?: the same, but fewer than {FEW_SOUNDS} sounds exclude no fault."
    )
