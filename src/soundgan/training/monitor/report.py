"""The report of a training: its curves, and the pictures and sounds of its snapshots, which it lies beside."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from html import escape
from pathlib import Path
from urllib.parse import quote

from soundgan.data.dataset import Dataset
from soundgan.errors import TrainingError
from soundgan.files import write_text
from soundgan.settings import Settings
from soundgan.training.losses.augment import MOST, TARGET_D_ACCURACY
from soundgan.training.monitor.budget import LEAST_SOUNDS, NO_BETTER
from soundgan.training.monitor.log import read_log
from soundgan.training.monitor.validation import FIRST, ValidationResult
from soundgan.viz.html import conditions, notes, page, tiles
from soundgan.viz.line_chart import Points, chart

REPORT = "report.html"
Lines = Sequence[dict[str, float]]

EARLIER = 8  # snapshots shown beside the newest one, spread over the training
SURE = 0.95  # share of pairs judged right that leaves the Generator little to learn from
ALIKE = 0.1  # recall below which the made sounds are told to be alike, if they are of some precision
RECENT = 20  # lines of the log that tell how it is now


def write_report(folder: Path, dataset: Dataset, settings: Settings, failure: str = "") -> Path:
    """Write `report.html` into the folder of a training; it refers to `snapshots/` beside it.

    Args:
        failure: why the training broke off, if it did.
    """
    lines = read_log(folder)
    steps, checks = _steps(lines), _checks(lines)
    told = [f"It broke off: {failure}"] if failure else remarks(steps, checks)
    parts = [_head(folder, lines), _tiles(lines, checks), notes(told)]
    parts += [_curves(steps, checks), _snapshots(folder), _conditions(dataset, settings)]
    return write_text(folder / REPORT, page(f"{_name(folder)} · training", parts))


@contextmanager
def failures_told(folder: Path, dataset: Dataset, settings: Settings) -> Iterator[None]:
    """A training that goes wrong in here leaves a report that says how."""
    try:
        yield
    except TrainingError as error:
        write_report(folder, dataset, settings, failure=str(error))
        raise


def last_remarks(folder: Path) -> list[str]:
    """What the report in the folder of a training remarks."""
    lines = read_log(folder)
    return remarks(_steps(lines), _checks(lines))


def remarks(steps: Lines, checks: Sequence[ValidationResult]) -> list[str]:
    """What is seen in the figures of the steps and the checks, in plain sentences."""
    told = []
    if not checks and (not steps or steps[-1]["samples_seen"] < FIRST):
        told.append(f"The sounds are compared with the recordings for the first time after {FIRST:,} samples seen.")
    if checks:
        best, last = min(checks, key=lambda check: check.score), checks[-1]
        since = sum(check.samples_seen > best.samples_seen for check in checks)
        early = last.samples_seen < LEAST_SOUNDS
        if len(checks) == 1:
            told.append("Compared with the recordings only once so far: too early to say whether it gets better.")
        elif not since:
            told.append("The last check was the best so far: it still gets better.")
        elif early or since < NO_BETTER:
            told.append(
                f"The check after {best.samples_seen:,} sounds was better than the last one; its Generator is kept."
            )
        else:
            told.append(
                f"No progress since the check after {best.samples_seen:,} sounds, whose Generator is kept: the {since} later "
                "checks were worse. More of the same training is unlikely to help."
            )
        if last.overfitting:
            told.append(
                f"Copying: {last.near_duplicate_rate:.0%} of the sounds come close to a recording, where 5% would be usual. The "
                "networks learn the recordings by heart; more recordings would help."
            )
        if not early and last.recall < ALIKE and last.precision > 0.5:
            told.append(
                f"Little variety: the sounds are like recordings, but only {last.recall:.0%} of the recordings are "
                "like one of the sounds. If that does not rise, double the penalty in a settings file (--config)."
            )
    recent = steps[-RECENT:]
    if recent and sum(line["d_accuracy"] for line in recent) / len(recent) > SURE:
        told.append(
            "The Discriminator judges nearly all pairs right, so the Generator learns little from it: usual in the "
            "first minutes, or with very few recordings."
        )
    if recent and recent[-1].get("augment_p", 0) >= MOST:
        told.append("Spectrograms are changed as often as can be: there are few recordings for networks of this size.")
    return told


def _steps(lines: Lines) -> Lines:
    return [line for line in lines if "loss_D" in line]


def _checks(lines: Lines) -> list[ValidationResult]:
    found = [line for line in lines if "frechet" in line]
    return [
        ValidationResult(int(line["samples_seen"]), *(line[name] for name in ValidationResult._fields[1:]))
        for line in found
    ]


def _name(folder: Path) -> str:
    return folder.resolve().parent.name


def _head(folder: Path, lines: Lines) -> str:
    last = lines[-1] if lines else {"samples_seen": 0, "seconds": 0.0}
    told = f"{last['samples_seen']:,} samples seen in {last['seconds'] / 60:.1f} min. Load this page again to see the latest."
    return f'<p class="eyebrow">SoundGAN · training</p>\n<h1>{escape(_name(folder))}</h1>\n<p>{told}</p>'


def _tiles(lines: Lines, checks: Sequence[ValidationResult]) -> str:
    speed = next((line["sounds_per_second"] for line in reversed(lines) if "sounds_per_second" in line), None)
    shown = (
        [("Sounds seen", f"{lines[-1]['samples_seen']:,}", f"{speed:.0f} a second" if speed else "")] if lines else []
    )
    if checks:
        best, last = min(checks, key=lambda check: check.score), checks[-1]
        shown += [
            ("Fréchet distance", f"{best.frechet:.1f}", f"of what is kept, after {best.samples_seen:,} sounds"),
            ("Coverage", f"{best.coverage:.0%}", f"of the recordings; last check: {last.coverage:.0%}"),
            ("Copies", f"{last.near_duplicate_rate:.0%}", "of the sounds; 5% would be usual"),
        ]
    return tiles(shown)


def _curves(steps: Lines, checks: Sequence[ValidationResult]) -> str:
    def of_steps(name: str) -> Points:
        return [(line["samples_seen"], line[name]) for line in steps if name in line]

    def of_checks(name: str) -> Points:
        return [(check.samples_seen, getattr(check, name)) for check in checks]

    best = min(checks, key=lambda check: check.score).samples_seen if checks else None
    charts = [
        chart(
            "Fréchet distance",
            "Of the sounds from the recordings, lower is better. Dashed: what is kept, where variety counts as well.",
            {"Fréchet distance": of_checks("frechet")},
            mark=best,
        ),
        chart(
            "Coverage, recall, copies",
            "Recordings with a sound nearby, recordings within reach of the sounds, and sounds next to a recording.",
            {name.capitalize(): of_checks(name) for name in ("coverage", "recall", "near_duplicate_rate")},
            share=True,
            mark=best,
        ),
        chart(
            "Losses",
            "Neither falls for long, as each network learns from the other: what counts is that none runs away.",
            {"Discriminator": of_steps("loss_D"), "Generator": of_steps("loss_G")},
        ),
        chart(
            "Pairs judged right",
            f"By the Discriminator: 50% is guessing, {TARGET_D_ACCURACY:.0%} is aimed at, and near 100% it knows too much.",
            {"Judged right": of_steps("d_accuracy")},
            share=True,
        ),
        chart(
            "Changes of spectrograms",
            "How often each change comes to what the Discriminator sees, so that it does not learn by heart.",
            {"Probability": of_steps("augment_p")},
            share=True,
        ),
        chart(
            "Variety",
            "How far apart two sounds of a label are, in units of two recordings; it is raised while below 1.",
            {"Variety": of_steps("diversity")},
        ),
        chart(
            "Beside the nearest recordings",
            "How much too far from them the sounds are, and how far off in texture (1 is usual) and pitch (octaves).",
            {"Too far": of_steps("imle_loss"), "Texture": of_steps("texture_loss"), "Pitch": of_steps("pitch_loss")},
        ),
        chart(
            "Gradient penalty",
            "How steep the Discriminator's judgement is; a rise without end comes before a divergence.",
            {"Penalty": of_steps("gradient_penalty")},
        ),
    ]
    told = "".join(charts)
    return f'<h2>Curves</h2>\n<p>Over the samples seen.</p>\n<div class="two">{told}</div>' if told else ""


def _snapshots(folder: Path) -> str:
    """The newest one, and some earlier ones to unfold."""
    pictures = sorted((folder / "snapshots").glob("*.png"))
    if not pictures:
        return ""
    *earlier, newest = pictures
    shown = [earlier[len(earlier) * k // EARLIER] for k in range(EARLIER)] if len(earlier) > EARLIER else earlier
    folds = [f"<summary>After {int(picture.stem):,} sounds</summary>{_snapshot(picture)}" for picture in shown[::-1]]
    folded = "".join(f"<details>{fold}</details>\n" for fold in folds)
    return (
        f"<h2>After {int(newest.stem):,} samples seen</h2>\n"
        "<p>A row a label: the first four are recordings, the others are made, always from the same noise. Time goes "
        "to the right, pitch upwards. Below, the first made sound of every row.</p>\n"
        f"{_snapshot(newest)}\n" + (f"<h2>Earlier</h2>\n{folded}" if folded else "")
    )


def _snapshot(picture: Path) -> str:
    """A grid and its sounds."""
    sounds = sorted(picture.with_suffix("").glob("*.wav"))
    figures = "".join(
        f'<figure class="sound"><figcaption>{escape(sound.stem)}</figcaption>'
        f'<audio controls preload="none" src="{_relative(sound)}"></audio></figure>'
        for sound in sounds
    )
    grid = f'<img class="grid" loading="lazy" alt="Spectrograms" src="{_relative(picture)}">'
    return f'{grid}<div class="sounds wide">{figures}</div>'


def _relative(file: Path) -> str:
    """From the folder of the training: the last parts, from `snapshots` on."""
    parts = file.parts[len(file.parts) - file.parts[::-1].index("snapshots") - 1 :]
    return escape(quote("/".join(parts)))


def _conditions(dataset: Dataset, settings: Settings) -> str:
    defaults = Settings().flat()
    chosen = {name: value for name, value in settings.flat().items() if value != defaults[name]}
    return (
        f'<h2>Recordings</h2>\n<div class="scroll"><pre>{escape(dataset.report)}</pre></div>\n'
        f"<h2>Settings</h2>\n<p>All others have their defaults.</p>\n{conditions(chosen.items())}"
    )
