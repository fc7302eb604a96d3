"""`soundgan evaluate MODEL DATA`: how good a model's sounds are, beside real ones that it never met."""

from __future__ import annotations

import errno
import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from soundgan.cli.generate import Quality

if TYPE_CHECKING:
    from rich.table import Table

    from soundgan.evaluation.result import Evaluation


def evaluate(
    subject: Annotated[
        str, typer.Argument(metavar="MODEL", help="Model folder or bundled name; or a folder of generated sounds.")
    ],
    data: Annotated[Path, typer.Argument(help="Folder of real sounds; its sub-folders are the labels.")],
    n: Annotated[
        int | None, typer.Option("-n", "--number", help="How many sounds; otherwise as many as there are to test.")
    ] = None,
    seed: Annotated[int, typer.Option(help="Seed of the first sound and of every choice.")] = 0,
    quality: Annotated[Quality, typer.Option(help="Of phases: best takes up to 10 times as long.")] = Quality.balanced,
    uniform: Annotated[bool, typer.Option("--uniform", help="All labels equally often.")] = False,
    quick: Annotated[bool, typer.Option("--quick", help="Without the comparison with all training sounds.")] = False,
    test_pattern: Annotated[
        str | None, typer.Option(help="File names of the test sounds; otherwise what the model's training excluded.")
    ] = None,
    embedding: Annotated[Path | None, typer.Option(help="ONNX file in whose embedding distances are measured.")] = None,
    embedding_rate: Annotated[
        int | None, typer.Option(help="Hz that it listens at, if its metadata has no sample_rate.")
    ] = None,
    classifier: Annotated[
        Path | None, typer.Option(help="Folder that keeps the classifier of labels for the next time.")
    ] = None,
    html: Annotated[Path | None, typer.Option(help="Write the report there, with pictures and sounds.")] = None,
    json: Annotated[Path | None, typer.Option(help="Write all figures there.")] = None,
) -> None:
    """Judge a model, or a folder of sounds, beside real sounds: distances, variety, labels, and what was memorised."""
    from json import dumps

    from rich.console import Console
    from rich.markup import escape
    from rich.measure import Measurement
    from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

    from soundgan.errors import DataError
    from soundgan.evaluation.evaluate import evaluate as evaluate_model
    from soundgan.evaluation.evaluate import evaluate_sounds
    from soundgan.evaluation.features.embedding import OnnxEmbedding
    from soundgan.evaluation.report import write_page
    from soundgan.files import write_text
    from soundgan.model import SoundGAN
    from soundgan.model_folder import CONFIG, TRAINING, bundled

    for file in (html, json):
        if file is not None:  # now, not after minutes
            file.parent.mkdir(parents=True, exist_ok=True)
            if file.is_dir():
                raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(file))
    ear = None if embedding is None else OnnxEmbedding(embedding, sample_rate=embedding_rate)
    errors = Console(stderr=True)
    columns = TextColumn("{task.description}"), BarColumn(), TimeRemainingColumn()
    with Progress(*columns, console=errors, transient=True, disable=not errors.is_terminal) as bar:
        task, doing = bar.add_task("Reading", total=None), ""

        def progress(what: str, done: int, total: int) -> None:
            nonlocal doing
            if what != doing and not errors.is_terminal:
                errors.print(what)  # where no bar can be drawn
            doing = what
            bar.update(task, description=what, completed=done, total=total)

        folder = Path(subject)
        of_a_model = subject in bundled() or (folder / CONFIG).exists() or (folder / TRAINING).is_dir()
        if folder.is_dir() and not of_a_model:
            if n is not None or uniform or quick:
                raise DataError(
                    f"{folder}: holds sounds, not a model: --number, --uniform and --quick say nothing there"
                )
            found = evaluate_sounds(
                folder, data, seed=seed, embedding=ear, test_pattern=test_pattern, classifier=classifier,
                progress=progress,
            )  # fmt: skip
        else:
            found = evaluate_model(
                SoundGAN.load(subject), data, n=n, seed=seed, embedding=ear, quality=quality.value,
                test_pattern=test_pattern, uniform=uniform, quick=quick, classifier=classifier, progress=progress,
            )  # fmt: skip
    console = Console(highlight=False)
    table = _table(found, intervals=True)
    needed = Measurement.get(console, console.options.update(max_width=1000), table).maximum
    if not console.is_terminal:
        console.width = max(console.width, needed)  # a file has room
    intervals = needed <= console.width
    console.print(table if intervals else _table(found, intervals=False))
    console.print(_explained(found) + ("" if intervals else " A wider terminal, --html and --json have intervals."))
    for note in found.notes:
        console.print(f"[yellow]Note[/yellow] {escape(note)}")
    if classifier is None and found.conditions["classifier"]:
        console.print("The classifier of labels was trained for this alone; --classifier FOLDER keeps it.")
    if html is not None:
        typer.echo(f"Report: {write_page(found, html)}")
    if json is not None:
        typer.echo(f"Figures: {write_text(json, dumps(found.as_json(), indent=2, ensure_ascii=False) + chr(10))}")


def _table(found: Evaluation, *, intervals: bool) -> Table:
    """The figures, with their intervals or without."""
    from rich.markup import escape
    from rich.table import Table

    from soundgan.evaluation.metrics.catalog import KINDS
    from soundgan.evaluation.score import ALL, CEILING, GENERATED

    judged, real = found.judgement, found.real
    made, ceiling, many = (judged.row(what) for what in (GENERATED, CEILING, ALL))
    unseen = "unseen" if real.unseen else "held out"
    table = Table(title=f"{escape(found.subject)}, seed {found.conditions['seed']}", title_justify="left", box=None)
    table.add_column("")
    for title in f"{len(found.made):,} generated", f"{len(real.test):,} real, {unseen}":
        table.add_column(title, justify="right")
        if intervals:
            table.add_column("95 %", justify="right", style="dim")
    if many:
        table.add_column(f"{many.n:,} generated", justify="right", style="dim")
    for kind in KINDS:
        ours, theirs = (row.figures.get(kind.key) if row else None for row in (made, ceiling))
        if ours is None and theirs is None:
            continue
        reached = ours and theirs and kind.as_good(ours, theirs)
        cells = [f"{kind.sign} {kind.title}{' [green]✓[/green]' if reached else ''}"]
        for figure in (ours, theirs):
            written = [kind.write(figure.value), kind.interval(figure)] if figure else ["–", ""]
            cells += written if intervals else written[:1]
        if many:
            cells.append(kind.write(many.figures[kind.key].value) if kind.key in many.figures else "")
        table.add_row(*cells)
    return table


def _explained(found: Evaluation) -> str:
    """What the table compares."""
    from soundgan.evaluation.score import ALL

    judged, count = found.judgement, len(found.real.training)
    return (
        f"Beside {judged.size:,} of {count:,} training sounds"
        + (f"; the last column beside all {count:,}. " if judged.row(ALL) else ". ")
        + "The real sounds are what a perfect generator would reach; ✓: not outside of their interval."
    )
