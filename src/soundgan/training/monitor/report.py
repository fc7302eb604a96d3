"""HTML report of a training: curves, and the spectrograms and sounds of the snapshots beside it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path

from markupsafe import Markup

from soundgan.data.dataset import Dataset
from soundgan.files import write_text
from soundgan.settings import Settings
from soundgan.training.losses.augment import MAX_P, TARGET_D_ACCURACY
from soundgan.training.monitor.log import read_log
from soundgan.training.monitor.schedule import FIRST_VALIDATION, MIN_SAMPLES, PATIENCE
from soundgan.training.monitor.validation import ValidationResult
from soundgan.viz.html import render
from soundgan.viz.line_figure import Points, inline_svg, line_figure

REPORT = "report.html"
LogLines = Sequence[dict[str, float]]

MAX_EARLIER_SNAPSHOTS = 8  # listed below the newest one, evenly spread over the training
HIGH_D_ACCURACY = 0.95  # accuracy of the discriminator that leaves the generator little to learn from
LOW_RECALL = 0.1  # recall below which the generated sounds lack variety, given sufficient precision
RECENT_LINES = 20  # log lines that describe the current state


def write_report(folder: Path, dataset: Dataset, settings: Settings, failure: str = "") -> Path:
    """Write `report.html` into the folder of a training; it links to `snapshots/` beside it.

    Args:
        failure: error that ended the training, if any.
    """
    lines = read_log(folder)
    last = lines[-1] if lines else {"samples_seen": 0, "seconds": 0.0}
    best = min(_validations(lines), key=lambda result: result.score, default=None)
    defaults = Settings().flat()
    page = render(
        "training_report.html.j2",
        name=folder.resolve().parent.name,
        samples_seen=last["samples_seen"],
        minutes=last["seconds"] / 60,
        key_figures=_key_figures(lines),
        remarks=[f"Training stopped with an error: {failure}"] if failure else remarks(lines),
        chart=partial(_chart, lines),
        best=best.samples_seen if best else None,
        target_d_accuracy=TARGET_D_ACCURACY,
        snapshots=_snapshots(folder),
        data_report=dataset.report,
        settings=[(name, value) for name, value in settings.flat().items() if value != defaults[name]],
    )
    return write_text(folder / REPORT, page)


def remarks(lines: LogLines) -> list[str]:
    """Remarks on the progress of a training, one sentence each, from its log."""
    steps, validations = [line for line in lines if "loss_D" in line], _validations(lines)
    sentences = []
    if not validations and (not steps or steps[-1]["samples_seen"] < FIRST_VALIDATION):
        sentences.append(f"The first validation comes after {FIRST_VALIDATION:,} samples seen.")
    if validations:
        best, last = min(validations, key=lambda result: result.score), validations[-1]
        since = sum(result.samples_seen > best.samples_seen for result in validations)
        early = last.samples_seen < MIN_SAMPLES
        if len(validations) == 1:
            sentences.append("Only one validation so far: too early to tell whether training improves.")
        elif not since:
            sentences.append("The last validation was the best so far: training still improves.")
        elif early or since < PATIENCE:
            sentences.append(
                f"The validation after {best.samples_seen:,} samples was better than the last one; its generator is "
                "kept."
            )
        else:
            sentences.append(
                f"No improvement since the validation after {best.samples_seen:,} samples, whose generator is kept: "
                f"the {since} later validations were worse. More training with these settings is unlikely to help."
            )
        if last.overfitting:
            sentences.append(
                f"Overfitting: {100 * last.near_duplicate_rate:.0f} % of the generated sounds are close to a training "
                "recording; 5 % is normal. More recordings would help."
            )
        if not early and last.recall < LOW_RECALL and last.precision > 0.5:
            sentences.append(
                "Low variety (mode collapse): the generated sounds resemble recordings, but only "
                f"{100 * last.recall:.0f} % of the recordings resemble a generated sound. If recall does not rise, "
                "double gradient_penalty in a settings file (--config)."
            )
    recent = steps[-RECENT_LINES:]
    if recent and sum(line["d_accuracy"] for line in recent) / len(recent) > HIGH_D_ACCURACY:
        sentences.append(
            "The discriminator separates nearly all pairs correctly, so the generator learns little from it: normal "
            "in the first minutes, or with very few recordings."
        )
    if recent and recent[-1].get("augment_p", 0) >= MAX_P:
        sentences.append(
            f"The augmentation probability is at its maximum of {100 * MAX_P:.0f} %: there are few recordings for "
            "networks of this size."
        )
    return sentences


def _validations(lines: LogLines) -> list[ValidationResult]:
    return [
        ValidationResult(int(line["samples_seen"]), *(line[name] for name in ValidationResult._fields[1:]))
        for line in lines
        if "frechet" in line
    ]


def _key_figures(lines: LogLines) -> list[tuple[str, str, str]]:
    """Title, value and remark of each tile."""
    if not lines:
        return []
    speed = next((line["sounds_per_second"] for line in reversed(lines) if "sounds_per_second" in line), None)
    figures = [("Samples seen", f"{lines[-1]['samples_seen']:,}", f"{speed:.0f} per second" if speed else "")]
    if validations := _validations(lines):
        best, last = min(validations, key=lambda result: result.score), validations[-1]
        figures += [
            ("Fréchet distance", f"{best.frechet:.1f}", f"of the kept generator, after {best.samples_seen:,} samples"),
            ("Coverage", f"{100 * best.coverage:.0f} %", f"of the recordings; last: {100 * last.coverage:.0f} %"),
            ("Near-duplicates", f"{100 * last.near_duplicate_rate:.0f} %", "of the generated sounds; 5 % is normal"),
        ]
    return figures


def _chart(
    lines: LogLines, title: str, keys: Mapping[str, str], *, share: bool = False, mark: float | None = None
) -> Markup:
    """Chart of logged values as SVG; empty if there are none.

    Args:
        keys: of the values in the log, by the names of their curves.
        share, mark: see `line_figure`.
    """
    curves: dict[str, Points] = {
        name: [(line["samples_seen"], line[key]) for line in lines if key in line] for name, key in keys.items()
    }
    return Markup(inline_svg(line_figure(curves, share=share, mark=mark), title) if any(curves.values()) else "")


def _snapshots(folder: Path) -> list[tuple[Path, list[Path]]]:
    """Picture and sounds, below `folder`, of the newest snapshot, and then of earlier ones, evenly spread."""
    pictures = sorted((folder / "snapshots").glob("*.png"))
    newest, earlier = pictures[-1:], pictures[:-1]
    if len(earlier) > MAX_EARLIER_SNAPSHOTS:
        earlier = [earlier[len(earlier) * k // MAX_EARLIER_SNAPSHOTS] for k in range(MAX_EARLIER_SNAPSHOTS)]
    sounds = {picture: sorted(picture.with_suffix("").glob("*.wav")) for picture in (*newest, *reversed(earlier))}
    return [
        (picture.relative_to(folder), [path.relative_to(folder) for path in paths]) for picture, paths in sounds.items()
    ]
