"""The page of `benchmarks.training`, rendered from its figures alone."""

from __future__ import annotations

import statistics
from pathlib import Path

from benchmarks.common import Figures, number, write_page
from benchmarks.training.speed import EXACT, OURS, summary
from soundgan.evaluation.metrics.catalog import METRICS, Estimate

TARGET_SPEEDUP, TARGET_SHARE = 4.0, 0.5
MIN_NATIVE_BFLOAT16 = 0.5  # times the float32 peak, below which bfloat16 is emulated
MAX_TIME_RATIO = 1.1  # of the longest training to the shortest, up to which times count as equal


def render(figures: Figures, folder: Path) -> None:
    """Write `training.md`."""
    functions = (
        training_times,
        ours_first,
        metric_rows,
        verdicts,
        summary,
        speed_goals,
        is_emulated,
        statistics.median,
    )
    values = {function.__name__: function for function in functions}
    write_page("training/training.md.j2", folder, {"speed": {}} | figures | values)


def ours_first(rows: Figures) -> Figures:
    """Rows in the order of the page: ours, then the baselines by name."""
    return dict(sorted(rows.items(), key=lambda item: (not item[0].startswith(OURS), item[0])))


def training_times(rows: Figures) -> str:
    seconds = [row["seconds"] for row in rows.values()]
    if max(seconds) > MAX_TIME_RATIO * min(seconds):
        return "**unequal times**, see the table"
    return f"{min(row['minutes'] for row in rows.values()):g} minutes each"


def metric_rows(measured: Figures) -> list[list[str]]:
    """Cells of the table: a metric that was measured, its value for fresh real sounds, and for each row."""
    columns = [measured["ceiling"], *(row["figures"] for row in ours_first(measured["rows"]).values())]
    return [
        [f"{metric.title} {metric.direction_symbol}", *(cell(key, column) for column in columns)]
        for key, metric in METRICS.items()
        if any(key in column for column in columns)
    ]


def cell(key: str, column: Figures) -> str:
    """A value with its interval."""
    value, *limits = column.get(key, [None])
    if value is None:
        return "–"
    metric = METRICS[key]
    interval = metric.format_interval(Estimate(value, *limits))
    return f"{metric.format(value)} ({interval})" if interval else metric.format(value)


def verdicts(measured: Figures) -> list[str]:
    """A line per baseline: the metrics in which ours is better, equal and worse."""
    rows = measured["rows"]
    if OURS not in rows:
        return ["No training of ours is on record."]
    ours, lines = rows[OURS]["figures"], []
    for name, row in ours_first(rows).items():
        if name.startswith(OURS):
            continue
        titles: dict[str, list[str]] = {"better": [], "equal": [], "**worse**": []}
        for key, metric in METRICS.items():
            if key in ours and key in row["figures"]:
                values = [error(key, figures, measured["ceiling"]) for figures in (ours, row["figures"])]
                verdict = "better" if values[0] < values[1] else "equal" if values[0] == values[1] else "**worse**"
                titles[verdict].append(metric.title)
        parts = [f"{verdict} in {len(names)} ({', '.join(names)})" for verdict, names in titles.items() if names]
        count = sum(map(len, titles.values()))
        lines.append(f"- {name}: of {count} metrics, ours is {'; '.join(parts)}.")
    return lines


def error(key: str, figures: Figures, real: Figures) -> float:
    """A number that is lower for better values: of a metric near the real sounds, the distance from theirs."""
    value, better = figures[key][0], METRICS[key].better
    if better == "near":
        return abs(value - real.get(key, [1.0])[0])
    return value if better == "lower" else -value


def is_emulated(measured: Figures) -> bool:
    """True if bfloat16 is so slow on this machine that it must be emulated."""
    best = {precision: max(peak.values()) for precision, peak in measured["peaks"].items()}
    return best["bfloat16"] < MIN_NATIVE_BFLOAT16 * best["float32"]


def speed_goals(measured: Figures) -> list[tuple[str, str, bool | None]]:
    """Goal, measured value, met; None if a share of the bfloat16 peak is undefined."""
    ratios, emulated = summary(measured), is_emulated(measured)
    speedup, share, reached = (
        ratios[key] for key in (f"speedup over {EXACT}", "share of bfloat16", "share of float32")
    )
    target = f"at least {100 * TARGET_SHARE:.0f} % of the"
    goals: list[tuple[str, str, bool | None]] = [
        (
            f"at least {TARGET_SPEEDUP:g} × the sounds/s of plain float32 PyTorch",
            f"{number(speedup)} ×",
            speedup >= TARGET_SPEEDUP,
        ),
        (f"{target} bfloat16 peak", f"{100 * share:.1f} %", None if emulated else share >= TARGET_SHARE),
    ]
    if emulated:
        goals.append((f"here: {target} float32 peak", f"{100 * reached:.0f} %", reached >= TARGET_SHARE))
    return goals
