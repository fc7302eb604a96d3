"""HTML report of an evaluation, one file with all spectrograms and sounds."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date
from pathlib import Path
from typing import NamedTuple

from markupsafe import Markup

from soundgan.evaluation.audio_figure import audio_figure, overview_figure
from soundgan.evaluation.data import Sounds
from soundgan.evaluation.features.predictions import Predictions
from soundgan.evaluation.metrics.catalog import METRICS, Estimate, Metric, MetricInfo, MetricRow, SoundSet
from soundgan.evaluation.metrics.set_metrics import N_NEIGHBORS
from soundgan.evaluation.result import Evaluation
from soundgan.files import write_text
from soundgan.viz.html import render

KEY_METRICS = (Metric.ACCURACY, Metric.COVERAGE, Metric.FRECHET_DISTANCE, Metric.MEMORIZED_FRACTION)
MAX_PAIRS = 6  # of generated and nearest training sounds
MAX_LABELS = 12  # with sounds in the report
MAX_REAL, MAX_GENERATED = 2, 4  # sounds of a label
MAX_SECONDS = 150  # of sound in the file, approximately


class _TableRow(NamedTuple):
    """A metric of generated sounds and of the real baseline; `tracks`: CSS class and positions of each interval."""

    info: MetricInfo
    generated: Estimate | None
    baseline: Estimate | None
    tracks: list[tuple[str, list[str]]]


def write_report(evaluation: Evaluation, path: str | Path) -> Path:
    """Write the report to an HTML file; an older one is replaced only when the new one is complete."""
    return write_text(path, render_report(evaluation))


def render_report(evaluation: Evaluation) -> str:
    """Return the report as HTML."""
    table = evaluation.scores.table
    rows = _rows(table[SoundSet.GENERATED], table[SoundSet.REAL_BASELINE])
    full_rows = []
    if SoundSet.GENERATED_FULL in table:
        full_rows = _rows(table[SoundSet.GENERATED_FULL], table[SoundSet.REAL_BASELINE_FULL])
    selection = _selection(evaluation)
    overview = {
        "real": [real for _, real, _ in selection], "generated": [generated for _, _, generated in selection],
    }  # fmt: skip
    return render(
        "evaluation_report.html.j2",
        evaluation=evaluation,
        key_figures=list(_key_figures(rows)),
        rows=rows,
        full_rows=full_rows,
        overview=overview_figure(overview, [label for label, _, _ in selection if label]),
        sounds=[
            (label, [*_figures(real, "real"), *_figures(generated, "generated")])
            for label, real, generated in selection
        ],
        predictions=_predictions(evaluation),
        pairs=list(_pairs(evaluation)),
        condition_rows=list(_conditions(evaluation)),
    )


def _rows(generated: MetricRow, baseline: MetricRow) -> list[_TableRow]:
    rows = []
    for metric, info in METRICS.items():
        pair = generated.estimates.get(metric), baseline.estimates.get(metric)
        if any(pair):
            rows.append(_TableRow(info, *pair, _interval_bars(info, *pair)))
    return rows


def _interval_bars(
    info: MetricInfo, generated: Estimate | None, baseline: Estimate | None
) -> list[tuple[str, list[str]]]:
    """Positions of both intervals on one scale, which begins at 0 (or below) and ends at the larger value."""
    points = {
        name: [estimate.value if end is None else end for end in (estimate.low, estimate.value, estimate.high)]
        for name, estimate in (("generated", generated), ("real", baseline))
        if estimate
    }
    values = [value for ends in points.values() for value in ends]
    start, stop = min(0.0, *values), 1.0 if info.is_share else max(1e-9, *values)
    return [
        (name, [f"{100 * (value - start) / (stop - start):.1f}%" for value in ends]) for name, ends in points.items()
    ]


def _key_figures(rows: list[_TableRow]) -> Iterator[tuple[str, str, str]]:
    """Title, value and remark of the key metrics."""
    for info, generated, baseline, _ in rows:
        if generated and info in [METRICS[metric] for metric in KEY_METRICS]:
            remark = f"real baseline: {info.format(baseline.value)}" if baseline else ""
            yield info.title, info.format(generated.value), remark


def _selection(evaluation: Evaluation) -> list[tuple[str, Sounds, Sounds]]:
    """Labels, and some of their real and generated sounds."""
    generated, held_out = evaluation.data.generated, evaluation.data.real.held_out
    labels = list(dict.fromkeys(generated.labels or [""]))[:MAX_LABELS]
    # Fewer of each label where sounds are long, to limit the size of the file.
    budget = max(1, int(MAX_SECONDS / generated.seconds / len(labels)))
    n_real, n_generated = max(1, min(MAX_REAL, budget // 3)), max(1, min(MAX_GENERATED, budget - budget // 3))
    factor = 1 if generated.labels else 2
    return [
        (
            label,
            _evenly_spaced(held_out, label, factor * n_real),
            _evenly_spaced(generated, label, factor * n_generated),
        )
        for label in labels
    ]


def _evenly_spaced(sounds: Sounds, label: str, n: int) -> Sounds:
    """At most `n` sounds of a label, at equal steps: neighbors in a folder are often similar."""
    indices = [i for i in range(len(sounds)) if not label or not sounds.labels or sounds.labels[i] == label]
    return sounds[[indices[k * len(indices) // n] for k in range(n)] if len(indices) > n else indices]


def _figures(sounds: Sounds, css_class: str) -> list[Markup]:
    return [
        audio_figure(wave, sounds.sample_rate, sounds.seconds, name, css_class)
        for wave, name in zip(sounds.waves, sounds.names, strict=True)
    ]


def _predictions(evaluation: Evaluation) -> list[tuple[str, str, Predictions]]:
    """Title, CSS class and predictions of the sets with labels; nothing without labels of the real sounds."""
    predictions = evaluation.scores.predictions
    if not predictions or not predictions[SoundSet.REAL_BASELINE].label_accuracy:
        return []
    sets = (
        ("Generated", "generated", predictions[SoundSet.GENERATED]),
        ("Real baseline", "real", predictions[SoundSet.REAL_BASELINE]),
    )
    return [item for item in sets if item[2].label_accuracy]


def _pairs(evaluation: Evaluation) -> Iterator[tuple[float, list[Markup]]]:
    """Distances and figures of the generated sounds that are nearest to training sounds."""
    generated, training = evaluation.data.generated, evaluation.data.real.possible_training_sounds
    for pair in evaluation.scores.pairs[:MAX_PAIRS]:
        yield pair.distance, [
            *_figures(generated[[pair.generated]], "generated"), *_figures(training[[pair.real]], "real"),
        ]  # fmt: skip


def _conditions(evaluation: Evaluation) -> Iterator[tuple[str, object]]:
    conditions, data = dict(evaluation.conditions), evaluation.data
    versions = ", ".join(f"{name} {number}" for name, number in conditions.pop("versions", {}).items())
    yield "Date", date.today().isoformat()
    counts = f"{len(data.generated):,} generated, {len(data.real.train):,} training"
    yield "Sounds", f"{counts}, {len(data.real.held_out):,} held out"
    yield "Skipped", ", ".join(f"{count} {kind}" for kind, count in evaluation.skipped.items()) or "nothing"
    yield "Distances in", f"{evaluation.scores.embedding}; {N_NEIGHBORS} neighbors"
    yield from ((name.replace("_", " ").capitalize(), value) for name, value in conditions.items())
    yield "Versions", versions
