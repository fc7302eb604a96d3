"""The page of `benchmarks.folders`, rendered from its figures alone."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal, NamedTuple

from benchmarks.common import Figures, number, write_page
from benchmarks.folders.entrants import OURS
from benchmarks.folders.scores import GOALS
from soundgan.evaluation.metrics.catalog import METRICS, Estimate
from soundgan.evaluation.metrics.descriptor_scores import DESCRIPTORS

REAL = "recordings"
MAX_DISTANCE = 100  # above it the number has no meaning: the recordings are nearly equal
GOOD = {"memorized_fraction": (0.05, 1.0), "density": (0.0, 1.0)}  # ranges outside of which a value is no better


class Column(NamedTuple):
    """A figure of a row of the summary.

    Attributes:
        title: of the column.
        better: the better direction.
        value: of a row; None where there is none.
        text: the value as text.
    """

    title: str
    better: Literal["higher", "lower"]
    value: Callable[[Figures], float | None]
    text: Callable[[Figures], str]


def metric_column(key: str, title: str = "") -> Column:
    metric = METRICS.get(key, METRICS["coverage"])  # that of the held-out recordings is a coverage too
    low, high = GOOD.get(key, (-math.inf, math.inf))

    def value(row: Figures) -> float | None:
        value = row["metrics"].get(key, [None])[0]
        return value if value is None else min(max(value, low), high)

    def text(row: Figures) -> str:
        return metric.format(row["metrics"][key][0]) if key in row["metrics"] else "–"

    return Column(title or metric.title, "lower" if metric.better == "lower" else "higher", value, text)


def fact_column(title: str, value: Callable[[Figures], float | None]) -> Column:
    return Column(title, "lower", value, lambda row: number(value(row)))


def goals_missed(row: Figures) -> float | None:
    return row["goals"]["missed"] / row["goals"]["counted"] if row["goals"]["counted"] else None


def goals_text(row: Figures) -> str:
    missed, counted = row["goals"]["missed"], row["goals"]["counted"]
    return f"{missed:.{0 if missed == int(missed) else 1}f} of {counted:.0f}" if counted else "–"


def faultless(row: Figures) -> float | None:
    return sum(not faults for faults in row["faults"].values()) / len(row["faults"]) if "faults" in row else None


def faultless_text(row: Figures) -> str:
    return f"{sum(not faults for faults in row['faults'].values())} of {len(row['faults'])}" if "faults" in row else "–"


def fact(row: Figures, name: str, scale: float = 1.0) -> float | None:
    return scale * row["facts"][name] if "facts" in row else None


COLUMNS = (
    Column("Goals missed", "lower", goals_missed, goals_text),
    Column("Labels without faults", "higher", faultless, faultless_text),
    metric_column("accuracy"),
    metric_column("second_accuracy", "Second classifier"),
    metric_column("coverage"),
    metric_column("held_out_coverage", "Coverage of held-out"),
    metric_column("precision"),
    metric_column("density"),
    metric_column("memorized_fraction"),
    metric_column("frechet_distance"),
    metric_column("kernel_distance"),
    fact_column("ms/sound", lambda row: fact(row, "ms_per_sound")),
    fact_column("Size, MB", lambda row: fact(row, "bytes", 1e-6)),
)


def render(figures: Figures, folder: Path) -> None:
    """Write `folders.md`."""
    functions = measured, losses, pace, metric_rows, goal_rows, picture_name
    values = {function.__name__: function for function in functions}
    values |= {"COLUMNS": COLUMNS, "OURS": OURS, "REAL": REAL}
    write_page("folders/folders.md.j2", folder, figures | values)


def picture_name(name: str) -> str:
    """File name of the picture of a folder, beside the page."""
    return f"folders-{name}.png"


def measured(rows: Figures) -> Figures:
    """The rows of entrants and recordings that have figures."""
    return {name: row for name, row in rows.items() if "failed" not in row}


def pace(row: Figures) -> str:
    """Recordings seen a second of training."""
    seen, seconds = (row.get("facts", {}).get(name) for name in ("samples_seen", "seconds"))
    return number(seen / seconds) if seconds else "–"


def losses(rows: Figures) -> list[str]:
    """For each other entrant, the figures in which it is better than ours."""
    rows = measured(rows)
    if OURS not in rows:
        return ["- No training of ours is on record."]
    lines = []
    for name, row in rows.items():
        worse = []
        for column in COLUMNS:
            ours, other = column.value(rows[OURS]), column.value(row)
            if ours is None or other is None or name in (OURS, REAL):
                continue
            if (other > ours) if column.better == "higher" else (other < ours):
                worse.append(f"{column.title} {column.text(row)} ({OURS} {column.text(rows[OURS])})")
        if worse:
            lines.append(f"- {name} is better in {len(worse)}: {', '.join(worse)}.")
    return lines or ["- No entrant is better in any figure."]


def metric_rows(rows: Figures) -> list[list[str]]:
    """Cells of the table of metrics: title, and the value with its range of each set."""
    return [
        [f"{metric.title} {metric.direction_symbol}", *(metric_cell(key, row) for row in measured(rows).values())]
        for key, metric in METRICS.items()
        if any(key in row["metrics"] for row in measured(rows).values())
    ]


def metric_cell(key: str, row: Figures) -> str:
    if key not in row["metrics"]:
        return "–"
    estimate = Estimate(*row["metrics"][key])
    interval = METRICS[key].format_interval(estimate)
    return METRICS[key].format(estimate.value) + (f" ({interval})" if interval else "")


def goal_rows(rows: Figures) -> list[list[str]]:
    """Cells of the table of goals: label, descriptor, recordings, and each entrant, bold where it misses the goal."""
    entrants = [row for name, row in measured(rows).items() if name != REAL]
    cells = []
    for label in sorted({label for row in entrants for label in row["descriptors"]}):
        for goal in GOALS:
            compared = [row["descriptors"].get(label, {}).get(goal) for row in entrants]
            real = next((comparison[0] for comparison in compared if comparison), None)
            if real is not None:
                title, info = DESCRIPTORS[goal].title, DESCRIPTORS[goal]
                cells.append([label or "all", title, info.format(real), *(goal_cell(goal, item) for item in compared)])
    return cells


def goal_cell(goal: Any, comparison: list[Any] | None) -> str:
    if comparison is None:
        return "–"
    _, generated, distance, fault = comparison
    text = DESCRIPTORS[goal].format(math.nan if generated is None else generated)
    text += "" if distance is None else f" ({distance:.1f})" if distance < MAX_DISTANCE else f" (> {MAX_DISTANCE})"
    return f"**{text}**" if fault else text
