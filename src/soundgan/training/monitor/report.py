"""HTML report of a training: curves, and the spectrograms and sounds of the snapshots beside it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple
from urllib.parse import quote

from markupsafe import Markup

from soundgan.data.dataset import Dataset
from soundgan.errors import TrainingError
from soundgan.files import write_text
from soundgan.settings import Settings
from soundgan.training.losses.augment import MAX_P, TARGET_D_ACCURACY
from soundgan.training.monitor.log import read_log
from soundgan.training.monitor.schedule import FIRST_VALIDATION
from soundgan.training.monitor.stopping import MIN_SAMPLES, PATIENCE
from soundgan.training.monitor.validation import ValidationResult
from soundgan.viz.html import render
from soundgan.viz.line_figure import Points, inline_svg, line_figure

REPORT = "report.html"
LogLines = Sequence[dict[str, float]]

MAX_EARLIER_SNAPSHOTS = 8  # listed below the newest one, evenly spread over the training
HIGH_D_ACCURACY = 0.95  # accuracy of the discriminator that leaves the generator little to learn from
LOW_RECALL = 0.1  # recall below which the generated sounds lack variety, given sufficient precision
RECENT_LINES = 20  # log lines that describe the current state


# Title, description, log keys by the names of their curves, and whether the values are fractions.
_CHARTS: tuple[tuple[str, str, dict[str, str], bool], ...] = (
    (
        "Fréchet distance",
        "Between generated sounds and recordings, lower is better. Dashed: the kept generator, where recall and "
        "coverage count as well.",
        {"Fréchet distance": "frechet"},
        False,
    ),
    (
        "Coverage, recall, near-duplicates",
        "Shares of the recordings with a generated sound nearby, of the recordings within the generated sounds' "
        "manifold, and of the generated sounds close to a recording.",
        {"Coverage": "coverage", "Recall": "recall", "Near-duplicates": "near_duplicate_rate"},
        True,
    ),
    (
        "Losses",
        "Neither falls for long, as the networks learn from each other; neither should grow without bound.",
        {"Discriminator": "loss_D", "Generator": "loss_G"},
        False,
    ),
    (
        "Discriminator accuracy",
        f"Share of real/fake pairs ranked correctly: 50% is chance, the target is {TARGET_D_ACCURACY:.0%}, and near "
        "100% the discriminator overfits.",
        {"Accuracy": "d_accuracy"},
        True,
    ),
    (
        "Augmentation probability",
        "Probability of each augmentation of the discriminator's input, which prevents overfitting.",
        {"Probability": "augment_p"},
        True,
    ),
    (
        "Diversity",
        "Distance between two generated sounds of a label relative to two recordings; raised while below 1.",
        {"Diversity": "diversity"},
        False,
    ),
    (
        "Auxiliary losses",
        "IMLE: excess distance to the nearest recordings. Texture: deviation from theirs (1 is normal). Pitch: "
        "deviation in octaves.",
        {"IMLE": "imle_loss", "Texture": "texture_loss", "Pitch": "pitch_loss"},
        False,
    ),
    (
        "Gradient penalty",
        "Slope of the discriminator's output; unbounded growth precedes divergence.",
        {"Penalty": "gradient_penalty"},
        False,
    ),
)


class _Chart(NamedTuple):
    title: str
    text: str
    svg: Markup


class _Snapshot(NamedTuple):
    samples_seen: int
    picture: str
    sounds: list[tuple[str, str]]  # (name, URL)


def write_report(folder: Path, dataset: Dataset, settings: Settings, failure: str = "") -> Path:
    """Write `report.html` into the folder of a training; it links to `snapshots/` beside it.

    Args:
        failure: error that ended the training, if any.
    """
    lines = read_log(folder)
    steps, validations = _steps(lines), _validations(lines)
    last = lines[-1] if lines else {"samples_seen": 0, "seconds": 0.0}
    defaults = Settings().flat()
    page = render(
        "training_report.html.j2",
        name=folder.resolve().parent.name,
        samples_seen=last["samples_seen"],
        minutes=last["seconds"] / 60,
        key_figures=_key_figures(lines, validations),
        remarks=[f"Training stopped with an error: {failure}"] if failure else remarks(steps, validations),
        charts=_charts(lines, validations),
        snapshots=_snapshots(folder),
        data_report=dataset.report,
        settings=[(name, value) for name, value in settings.flat().items() if value != defaults[name]],
    )
    return write_text(folder / REPORT, page)


@contextmanager
def report_failures(folder: Path, dataset: Dataset, settings: Settings) -> Iterator[None]:
    """Write a report with the error message when the training in this context fails."""
    try:
        yield
    except TrainingError as error:
        write_report(folder, dataset, settings, failure=str(error))
        raise


def last_remarks(folder: Path) -> list[str]:
    """Remarks of the report in the folder of a training."""
    lines = read_log(folder)
    return remarks(_steps(lines), _validations(lines))


def remarks(steps: LogLines, validations: Sequence[ValidationResult]) -> list[str]:
    """Remarks on the progress of a training, one sentence each, from its log lines and validation results."""
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
                f"Overfitting: {last.near_duplicate_rate:.0%} of the generated sounds are close to a training "
                "recording; 5% is normal. More recordings would help."
            )
        if not early and last.recall < LOW_RECALL and last.precision > 0.5:
            sentences.append(
                "Low variety (mode collapse): the generated sounds resemble recordings, but only "
                f"{last.recall:.0%} of the recordings resemble a generated sound. If recall does not rise, double "
                "gradient_penalty in a settings file (--config)."
            )
    recent = steps[-RECENT_LINES:]
    if recent and sum(line["d_accuracy"] for line in recent) / len(recent) > HIGH_D_ACCURACY:
        sentences.append(
            "The discriminator separates nearly all pairs correctly, so the generator learns little from it: normal "
            "in the first minutes, or with very few recordings."
        )
    if recent and recent[-1].get("augment_p", 0) >= MAX_P:
        sentences.append(
            f"The augmentation probability is at its maximum of {MAX_P:.0%}: there are few recordings for networks of "
            "this size."
        )
    return sentences


def _steps(lines: LogLines) -> LogLines:
    return [line for line in lines if "loss_D" in line]


def _validations(lines: LogLines) -> list[ValidationResult]:
    return [
        ValidationResult(int(line["samples_seen"]), *(line[name] for name in ValidationResult._fields[1:]))
        for line in lines
        if "frechet" in line
    ]


def _key_figures(lines: LogLines, validations: Sequence[ValidationResult]) -> list[tuple[str, str, str]]:
    """Title, value and remark of each tile."""
    if not lines:
        return []
    speed = next((line["sounds_per_second"] for line in reversed(lines) if "sounds_per_second" in line), None)
    figures = [("Samples seen", f"{lines[-1]['samples_seen']:,}", f"{speed:.0f} per second" if speed else "")]
    if validations:
        best, last = min(validations, key=lambda result: result.score), validations[-1]
        figures += [
            ("Fréchet distance", f"{best.frechet:.1f}", f"of the kept generator, after {best.samples_seen:,} samples"),
            ("Coverage", f"{best.coverage:.0%}", f"of the recordings; last validation: {last.coverage:.0%}"),
            ("Near-duplicates", f"{last.near_duplicate_rate:.0%}", "of the generated sounds; 5% is normal"),
        ]
    return figures


def _charts(lines: LogLines, validations: Sequence[ValidationResult]) -> list[_Chart]:
    """Charts of the logged values; those without a value are left out. The best validation is marked."""
    best = min(validations, key=lambda result: result.score).samples_seen if validations else None
    charts = []
    for title, text, names, share in _CHARTS:
        curves: dict[str, Points] = {
            name: [(line["samples_seen"], line[key]) for line in lines if key in line] for name, key in names.items()
        }
        mark = best if set(names.values()) <= set(ValidationResult._fields) else None
        if any(curves.values()):
            charts.append(_Chart(title, text, Markup(inline_svg(line_figure(curves, share=share, mark=mark), title))))
    return charts


def _snapshots(folder: Path) -> list[_Snapshot]:
    """The newest snapshot first, then earlier ones, evenly spread."""
    pictures = sorted((folder / "snapshots").glob("*.png"))
    newest, earlier = pictures[-1:], pictures[:-1]
    if len(earlier) > MAX_EARLIER_SNAPSHOTS:
        earlier = [earlier[len(earlier) * k // MAX_EARLIER_SNAPSHOTS] for k in range(MAX_EARLIER_SNAPSHOTS)]
    return [_snapshot(folder, picture) for picture in (*newest, *reversed(earlier))]


def _snapshot(folder: Path, picture: Path) -> _Snapshot:
    sounds = sorted(picture.with_suffix("").glob("*.wav"))
    return _Snapshot(int(picture.stem), _url(folder, picture), [(path.stem, _url(folder, path)) for path in sounds])


def _url(folder: Path, file: Path) -> str:
    """URL of a file relative to the report in `folder`."""
    return quote(file.relative_to(folder).as_posix())
