"""The page of `benchmarks.serving`, rendered from its figures alone."""

from __future__ import annotations

from pathlib import Path

from benchmarks.common import Figures, number, write_page
from soundgan.model_folder import read_config, resolve_model

OURS = {"soundgan serve": "balanced", "soundgan serve, fast": "fast"}  # and the quality of the requests
PIPELINES = {
    "ours": "our generator in PyTorch, librosa Griffin-Lim",
    "dcgan": "the original's DCGAN, librosa Griffin-Lim",
    "original": "the same, and mel bands to linear ones by NNLS",
}
ORIGINAL, SLOWEST = "dcgan", "original"
TARGET_SPEEDUP, MAX_LATENCY, GOAL_CLIENTS = 20.0, 100.0, 8  # times; ms; clients


def render(figures: Figures, folder: Path) -> None:
    """Write `serving.md`."""
    sets = figures["sets"]
    rows = [row for measured in sets.values() for row in measured["rows"]]
    values = {
        "client_cpu": max(row["client_cpu"] for row in rows),
        "load": extent([row["load"] for row in rows]),
        "stolen": extent([row["stolen"] for row in rows]),
        "formats": [sound_format(model) for model in dict.fromkeys(measured["model"] for measured in sets.values())],
        "goals": [goal for title, measured in sets.items() for goal in goals(title, measured["rows"])],
        "pipelines": PIPELINES,
        "speedup": speedup,
    }
    write_page("serving/serving.md.j2", folder, figures | values)


def extent(values: list[float]) -> tuple[float, float]:
    return min(values), max(values)


def goals(title: str, rows: list[Figures]) -> list[tuple[str, str, bool]]:
    """Goals for sounds of a second, those that were measured: goal, measured value, met."""
    at_goal, results = {row["server"]: row for row in rows if row["clients"] == GOAL_CLIENTS}, []
    for name, quality in OURS.items():
        case = f"{title}, {quality}, {GOAL_CLIENTS} clients"
        if name in at_goal and ORIGINAL in at_goal:
            goal = f"{case}: {TARGET_SPEEDUP:g} × as many sounds as {PIPELINES[ORIGINAL]}"
            times = at_goal[ORIGINAL]["speedup"][name]
            results.append((goal, f"{number(times)} ×", times >= TARGET_SPEEDUP))
        if name in at_goal:
            latency = at_goal[name]["p99"]
            goal = f"{case}: 99 of 100 within {MAX_LATENCY:g} ms"
            results.append((goal, f"{number(latency)} ms", latency < MAX_LATENCY))
    return results


def sound_format(model: str) -> str:
    """Duration and sample rate of the sounds of a bundled model."""
    representation = read_config(resolve_model(model)).representation
    return f"{model}: {representation.duration:.2f} s at {representation.sample_rate / 1000:g} kHz"


def speedup(row: Figures) -> str:
    """Ratios of the rate of ours, balanced and fast, to that of a baseline."""
    return "" if row["server"] in OURS else " and ".join(f"{number(row['speedup'][name])} ×" for name in OURS)
