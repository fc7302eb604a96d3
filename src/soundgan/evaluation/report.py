"""HTML report of an evaluation, one file with all spectrograms and sounds."""

from __future__ import annotations

import base64
import io
from collections.abc import Iterator
from datetime import date
from pathlib import Path
from typing import NamedTuple

from markupsafe import Markup

from soundgan.audio import encode
from soundgan.evaluation.features.logmel import Floats, LogMel
from soundgan.evaluation.features.predictions import Predictions
from soundgan.evaluation.metrics.catalog import FEW_SOUNDS, METRICS, Estimate, Metric, SoundSet
from soundgan.evaluation.metrics.descriptor_scores import DESCRIPTORS
from soundgan.evaluation.metrics.set_metrics import N_NEIGHBORS
from soundgan.evaluation.result import Evaluation
from soundgan.evaluation.sounds import Sounds
from soundgan.files import write_text
from soundgan.viz.html import render
from soundgan.viz.spectrogram_figure import SpectrogramAxes, png, spectrogram_figure
from soundgan.viz.spectrogram_image import picture

KEY_METRICS = ("accuracy", "second_accuracy", "coverage", "frechet_distance", "memorized_fraction")
MAX_PAIRS = 6  # of generated and nearest training sounds
MAX_LABELS = 12  # with sounds in the report
MAX_REAL, MAX_GENERATED = 2, 4  # sounds of a label
MAX_SECONDS = 150  # of sound in the file, approximately
BANDS = 64  # of a spectrogram


class _TableRow(NamedTuple):
    """A metric of generated sounds and of the real baseline, of which the smaller set has `n` sounds."""

    key: str
    metric: Metric
    generated: Estimate | None
    baseline: Estimate | None
    n: int

    @property
    def mark(self) -> str:
        """See `Metric.comparison_mark`."""
        return self.metric.comparison_mark(self.generated, self.baseline, self.n)

    def bars(self) -> list[tuple[str, list[str]]]:
        """CSS class and positions of each interval on one scale, from 0 (or below) to the larger value."""
        points = {
            css_class: [estimate.value if end is None else end for end in (estimate.low, estimate.value, estimate.high)]
            for css_class, estimate in (("generated", self.generated), ("real", self.baseline))
            if estimate
        }
        values = [value for ends in points.values() for value in ends]
        start, stop = min(0.0, *values), 1.0 if self.metric.is_share else max(1e-9, *values)
        return [
            (name, [f"{100 * (end - start) / (stop - start):.1f}%" for end in ends]) for name, ends in points.items()
        ]


def write_report(evaluation: Evaluation, path: str | Path) -> Path:
    """Write the report to an HTML file; an older one is replaced only when the new one is complete."""
    return write_text(path, render_report(evaluation))


def render_report(evaluation: Evaluation) -> str:
    """Return the report as HTML."""
    rows, selection = _rows(evaluation, SoundSet.GENERATED, SoundSet.REAL_BASELINE), _selection(evaluation)
    generated, training = evaluation.generated, evaluation.real.possible_training_sounds
    return render(
        "evaluation_report.html.j2",
        evaluation=evaluation,
        descriptor_rows=list(_descriptor_rows(evaluation)),
        key_figures=list(_key_figures(rows)),
        rows=rows,
        few_sounds=FEW_SOUNDS,
        full_rows=_rows(evaluation, SoundSet.GENERATED_FULL, SoundSet.REAL_BASELINE_FULL),
        overview=_overview(selection),
        sounds=[
            (label, _figures(real, "real") + _figures(generated, "generated")) for label, real, generated in selection
        ],
        predictions=dict(_predictions(evaluation)),
        pairs=[
            (distance, _figures(generated[[i]], "generated") + _figures(training[[j]], "real"))
            for i, j, distance in evaluation.scores.pairs[:MAX_PAIRS]
        ],
        condition_rows=list(_conditions(evaluation)),
    )


def _descriptor_rows(evaluation: Evaluation) -> Iterator[tuple[str, list[tuple[str, ...]]]]:
    """Label, and title, real value, generated value, distance and fault of each of its descriptors."""
    for label, comparisons in evaluation.scores.descriptors.items():
        rows = list[tuple[str, ...]]()
        for descriptor, (real, generated, distance, fault) in comparisons.items():
            info = DESCRIPTORS[descriptor]
            rows.append((info.title, info.format(real), info.format(generated), f"{distance:.1f}", fault))
        yield label, rows


def _rows(evaluation: Evaluation, generated: SoundSet, baseline: SoundSet) -> list[_TableRow]:
    """Rows of the metrics of two sets; empty without the first of them."""
    table = evaluation.scores.table
    if generated not in table:
        return []
    n = min(table[generated].n, table[baseline].n)
    rows = [
        _TableRow(key, metric, table[generated].estimates.get(key), table[baseline].estimates.get(key), n)
        for key, metric in METRICS.items()
    ]
    return [row for row in rows if row.generated or row.baseline]


def _key_figures(rows: list[_TableRow]) -> Iterator[tuple[str, str, str]]:
    """Title, value and remark of the key metrics."""
    for key, metric, generated, baseline, _ in rows:
        if generated and key in KEY_METRICS:
            remark = f"real baseline: {metric.format(baseline.value)}" if baseline else ""
            yield metric.title, metric.format(generated.value), remark


def _predictions(evaluation: Evaluation) -> Iterator[tuple[str, list[tuple[str, str, Predictions]]]]:
    """Name of each classifier, and title, CSS class and predictions of the sets with labels, if the real ones have."""
    sets = ("Generated", "generated", SoundSet.GENERATED), ("Real baseline", "real", SoundSet.REAL_BASELINE)
    for classifier, predictions in evaluation.scores.predictions.items():
        if predictions[SoundSet.REAL_BASELINE].label_accuracy:
            labeled = [row for row in sets if predictions[row[2]].label_accuracy]
            yield classifier, [(title, name, predictions[key]) for title, name, key in labeled]


def _selection(evaluation: Evaluation) -> list[tuple[str, Sounds, Sounds]]:
    """Labels, and some of their real and generated sounds."""
    generated, held_out = evaluation.generated, evaluation.real.held_out
    labels = list(dict.fromkeys(generated.labels or [""]))[:MAX_LABELS]
    # Fewer of each label where sounds are long, to limit the size of the file.
    budget = max(1, int(MAX_SECONDS / generated.seconds / len(labels)))
    n_real, n_generated = max(1, min(MAX_REAL, budget // 3)), max(1, min(MAX_GENERATED, budget - budget // 3))
    factor = 1 if generated.labels else 2
    real = [_evenly_spaced(held_out, label, factor * n_real) for label in labels]
    fake = [_evenly_spaced(generated, label, factor * n_generated) for label in labels]
    return list(zip(labels, real, fake, strict=True))


def _evenly_spaced(sounds: Sounds, label: str, n: int) -> Sounds:
    """At most `n` sounds of a label, at equal steps: neighbors in a folder are often similar."""
    indices = [i for i in range(len(sounds)) if not label or not sounds.labels or sounds.labels[i] == label]
    return sounds[[indices[k * len(indices) // n] for k in range(n)] if len(indices) > n else indices]


def _figures(sounds: Sounds, css_class: str) -> list[Markup]:
    return [
        audio_figure(wave, sounds.sample_rate, sounds.seconds, name, css_class)
        for wave, name in zip(sounds.waves, sounds.names, strict=True)
    ]


def audio_figure(wave: Floats, sample_rate: int, seconds: float, name: str, css_class: str) -> Markup:
    """Figure of a sound: log-mel spectrogram (PNG) that plays the audio (FLAC) on a click, and name.

    Args:
        wave: (samples,), at `sample_rate` Hz; its spectrogram is padded with silence to `seconds`.
        name: caption.
        css_class: of the figure, "generated" or "real".
    """
    image = io.BytesIO()
    picture(LogMel(sample_rate, seconds, BANDS).spectrograms([wave])[0]).save(image, "PNG", optimize=True)
    # FLAC is lossless and supported by every browser; the waves of an evaluation are rounded to 16 bits.
    sound = encode(wave, sample_rate, "flac")
    sources = {"picture": _data_url("image/png", image.getvalue()), "audio": _data_url("audio/flac", sound)}
    return Markup(render("audio_figure.html.j2", name=name, css_class=css_class, **sources))


def _data_url(media_type: str, content: bytes) -> str:
    return f"data:{media_type};base64,{base64.b64encode(content).decode()}"


def _overview(selection: list[tuple[str, Sounds, Sounds]]) -> str | None:
    """Data URL of a grid of the spectrograms of real and generated sounds, with axes; None without matplotlib."""
    frontend = LogMel(selection[0][1].sample_rate, selection[0][1].seconds, BANDS)
    groups = {"real": [real for _, real, _ in selection], "generated": [generated for *_, generated in selection]}
    rows = {
        heading: [list(frontend.spectrograms(sounds.waves)) if len(sounds) else [] for sounds in group]
        for heading, group in groups.items()
    }
    axes = SpectrogramAxes(frontend.seconds, frontend.band_centers, -frontend.range_db, 0, "dB")
    try:
        figure = spectrogram_figure(rows, axes, [label for label, *_ in selection if label])
    except ModuleNotFoundError:  # matplotlib, of the extra `train`
        return None
    return _data_url("image/png", png(figure))


def _conditions(evaluation: Evaluation) -> Iterator[tuple[str, object]]:
    conditions, real = dict(evaluation.conditions), evaluation.real
    versions = ", ".join(f"{name} {number}" for name, number in conditions.pop("versions", {}).items())
    yield "Date", date.today().isoformat()
    counts = f"{len(evaluation.generated):,} generated, {len(real.held_out):,} held out"
    yield "Sounds", f"{counts}, {len(real.train):,} {real.train_title}"
    yield "Skipped", evaluation.skipped or "nothing"
    yield "Distances in", f"{evaluation.scores.embedding}; {N_NEIGHBORS} neighbors"
    yield from ((name.replace("_", " ").capitalize(), value) for name, value in conditions.items())
    yield "Versions", versions
