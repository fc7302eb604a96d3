"""The report of an evaluation as one HTML file: figures, pictures and sounds are in it, and it needs nothing else."""

from __future__ import annotations

from collections import Counter
from datetime import date
from html import escape
from itertools import chain
from pathlib import Path

from soundgan.evaluation.audio_figure import player
from soundgan.evaluation.data import Sounds
from soundgan.evaluation.features.predictions import Predictions
from soundgan.evaluation.metrics.catalog import KINDS, Figure, Kind, Row
from soundgan.evaluation.metrics.set_metrics import N_NEIGHBORS
from soundgan.evaluation.result import Evaluation
from soundgan.evaluation.score import ALL, CEILING, CEILING_ALL, GENERATED
from soundgan.files import write_text
from soundgan.viz.html import conditions, notes, page, tiles

_TILES = ("accuracy", "coverage", "frechet", "memorised")  # what a reader in a hurry wants to know
_PAIRS = 6  # most similar pairs that are shown
_LABELS = 12  # that are to be heard, at most
_REAL, _MADE = 2, 4  # sounds of a label that are to be heard
_SECONDS = 150  # of sound in the file, about
# A picture is a play button; where scripts are off, the browser's own controls stay.
_SCRIPT = """
document.documentElement.classList.add("js");
let now;
document.addEventListener("click", event => {
  const button = event.target.closest(".sound button");
  if (!button) return;
  const sound = button.parentElement.querySelector("audio");
  if (now) { now.pause(); now.onpause?.(); }
  if (now === sound) { now = undefined; return; }
  now = sound;
  sound.currentTime = 0;
  button.classList.add("playing");
  sound.onpause = sound.onended = () => { button.classList.remove("playing"); if (now === sound) now = undefined; };
  sound.play();
});
"""


def write_page(evaluation: Evaluation, path: str | Path) -> Path:
    """Write the report to an HTML file; an older one is replaced only when the new one is whole."""
    return write_text(path, render(evaluation))


def render(evaluation: Evaluation) -> str:
    """The report as HTML."""
    parts = [_head(evaluation), _tiles(evaluation), notes(evaluation.notes), _reading(evaluation), _figures(evaluation)]
    parts += [_listening(evaluation), _labels(evaluation), _memory(evaluation), _all(evaluation), _made_how(evaluation)]
    return page(f"{evaluation.subject} · evaluation", parts, _SCRIPT)


def _head(e: Evaluation) -> str:
    unseen = "real ones that it never met" if e.real.unseen else "real ones"
    return (
        f'<p class="eyebrow">SoundGAN · evaluation</p>\n<h1>{escape(e.subject)}</h1>\n'
        f"<p>{len(e.made):,} generated sounds beside {len(e.real.test):,} {unseen}, compared with "
        f"{e.judgement.size:,} of the {len(e.real.training):,} real sounds of the training. "
        f"Seed {e.conditions['seed']}.</p>"
    )


def _tiles(e: Evaluation) -> str:
    made, ceiling = (row.figures for row in e.judgement.rows[:2])
    kinds = [kind for kind in KINDS if kind.key in _TILES and kind.key in made]
    beside = {
        kind.key: f"fresh real sounds: {kind.write(ceiling[kind.key].value)}" for kind in kinds if kind.key in ceiling
    }
    return tiles((kind.title, kind.write(made[kind.key].value), beside.get(kind.key, "")) for kind in kinds)


def _reading(e: Evaluation) -> str:
    size, unseen = e.judgement.size, "that the model never met" if e.real.unseen else "of the other half"
    return (
        "<h2>Figures</h2>\n"
        f"<p>The <strong>reference</strong> is one choice of {size:,} training sounds. The <strong>ceiling</strong> is "
        f"what real sounds {unseen} have beside that reference: a perfect generator would have the same, so measure "
        "every figure by the ceiling, not by 0 or 100 %. Small print gives 95 % intervals from random halves of the "
        "sounds. ↑ more is better, ↓ less is better, ≈ good is near the ceiling.</p>\n"
        '<p><span class="nowrap"><i class="key made"></i>generated</span> '
        '<span class="nowrap"><i class="key real"></i>ceiling</span> '
        '<span class="good">✓ like real</span>: no worse than real sounds are, give or take their interval.</p>'
    )


def _figures(e: Evaluation) -> str:
    made, ceiling = e.judgement.rows[:2]
    return _table(made, ceiling, plots=True)


def _all(e: Evaluation) -> str:
    made, ceiling = e.judgement.row(ALL), e.judgement.row(CEILING_ALL)
    if made is None or ceiling is None:
        return ""
    return (
        f"<h2>Beside all {len(e.real.training):,} training sounds</h2>\n"
        f"<p>As many generated sounds as there are training sounds, {made.n:,}: a finer look. So many sounds lie "
        "closer together, and none of these figures may be compared with one above. The test sounds are fewer, and "
        "have a ceiling only where their number does not count.</p>\n" + _table(made, ceiling, plots=False)
    )


def _table(made: Row, ceiling: Row, *, plots: bool) -> str:
    lines = []
    for kind in KINDS:
        if kind.key not in made.figures and kind.key not in ceiling.figures:
            continue
        ours, real = made.figures.get(kind.key), ceiling.figures.get(kind.key)
        told = f"<small>{kind.text}</small>" if plots else ""
        reached = ours and real and kind.as_good(ours, real)
        mark = ' <span class="good">✓ like real</span>' if reached else ""
        cells = f"<td><strong>{kind.title}</strong> <span class=soft>{kind.sign}</span>{mark}{told}</td>"
        cells += _cell(kind, ours, "Generated") + _cell(kind, real, "Ceiling")
        lines.append(f"<tr>{cells}{_plot(kind, ours, real) if plots else ''}</tr>")
    last = "<th></th>" if plots else ""
    head = '<th>Figure</th><th class="number">Generated</th><th class="number">Ceiling</th>' + last
    return f'<table class="figures"><thead><tr>{head}</tr></thead><tbody>{"".join(lines)}</tbody></table>'


def _cell(kind: Kind, figure: Figure | None, title: str) -> str:
    if figure is None:
        return f'<td class="number" data-title="{title}">–</td>'
    small = kind.interval(figure)
    value = f'<span class="value">{kind.write(figure.value)}</span>{f"<small>{small}</small>" if small else ""}'
    return f'<td class="number" data-title="{title}">{value}</td>'


def _plot(kind: Kind, made: Figure | None, real: Figure | None) -> str:
    """Both figures with their intervals on one scale, which begins at 0 (or below) and ends at the larger one."""
    ends = [
        [figure.value if end is None else end for end in (figure.low, figure.value, figure.high)] if figure else []
        for figure in (made, real)
    ]
    every = list(chain(*ends))
    start, stop = min(0.0, *every), 1.0 if kind.share else max(1e-9, *every)
    tracks = []
    for name, places in zip(("made", "real"), ends, strict=True):
        if places:
            low, value, high = (f"{100 * (place - start) / (stop - start):.1f}%" for place in places)
            bar = f'<i style="left:{low};width:calc({high} - {low})"></i><b style="left:{value}"></b>'
            tracks.append(f'<div class="track {name}">{bar}</div>')
    return f'<td class="plot" aria-hidden="true">{"".join(tracks)}</td>'


def _listening(e: Evaluation) -> str:
    shown = list(dict.fromkeys(e.made.labels or [""]))[:_LABELS]
    # Long sounds make a large file: fewer of each label then.
    budget = max(1, int(_SECONDS / e.made.seconds / len(shown)))
    real, made = max(1, min(_REAL, budget // 3)), max(1, min(_MADE, budget - budget // 3))
    parts = []
    for label in shown:
        times = 1 if label else 2
        figures = [_sound(e.real.test, i, "real") for i in _of(e.real.test, label, real * times)]
        figures += [_sound(e.made, i, "made") for i in _of(e.made, label, made * times)]
        parts.append((f"<h3>{escape(label)}</h3>" if label else "") + f'<div class="sounds">{"".join(figures)}</div>')
    return (
        "<h2>Listen</h2>\n"
        '<p>Press a picture to hear it. <span class="nowrap"><i class="key real"></i>real</span> '
        '<span class="nowrap"><i class="key made"></i>generated.</span> '
        "Time goes to the right, pitch upwards; what is shown was chosen by place, not by ear.</p>\n" + "\n".join(parts)
    )


def _of(sounds: Sounds, label: str, most: int) -> list[int]:
    """At most so many of the sounds of a label, at equal steps: neighbours in a folder are often alike."""
    found = [i for i in range(len(sounds)) if not label or not sounds.labels or sounds.labels[i] == label]
    return [found[k * len(found) // most] for k in range(most)] if len(found) > most else found


def _sound(sounds: Sounds, index: int, kind: str) -> str:
    return player(sounds.waves[index], sounds.sample_rate, sounds.seconds, sounds.names[index], kind)


def _labels(e: Evaluation) -> str:
    heard = e.judgement.heard
    if GENERATED not in heard or not heard[CEILING].shares:
        return ""
    sets = [("made", "Generated", heard[GENERATED]), ("real", "Ceiling", heard[CEILING])]
    sets = [one for one in sets if one[2].shares]
    rows = []
    for label in heard[CEILING].labels:
        cells = "".join(_share(one.shares.get(label), kind) for kind, _, one in sets)
        rows.append(f"<tr><th>{escape(label)}</th>{cells}</tr>")
    head = "".join(f"<th>{title}</th>" for _, title, _ in sets)
    tables = "".join(
        f'<div><h3><i class="key {kind}"></i>{title}</h3>{_confusion(one, kind)}</div>' for kind, title, one in sets
    )
    return (
        "<h2>Labels</h2>\n<p>How many sounds of each label are heard as that label, by a classifier that was trained "
        "on the real training sounds. Confused labels show beside the diagonal: rows are what was asked for, columns "
        "what was heard.</p>\n"
        f'<table class="shares"><thead><tr><th>Label</th>{head}</tr></thead><tbody>{"".join(rows)}</tbody></table>\n'
        f'<div class="two">{tables}</div>'
    )


def _share(share: float | None, kind: str) -> str:
    if share is None:
        return "<td>–</td>"
    return f'<td class="{kind}">{share * 100:.1f} %<span class="bar" style="--p:{share:.3f}"></span></td>'


def _confusion(heard: Predictions, kind: str) -> str:
    head = "".join(f'<th title="{escape(label)}">{escape(label)}</th>' for label in heard.labels)
    rows = []
    for label, counts in zip(heard.labels, heard.confusion, strict=True):
        cells = "".join(_count_cell(int(count), count / max(1, counts.sum())) for count in counts)
        rows.append(f'<tr><th title="{escape(label)}">{escape(label)}</th>{cells}</tr>')
    return f'<div class="scroll"><table class="confusion {kind}"><tr><th></th>{head}</tr>{"".join(rows)}</table></div>'


def _count_cell(count: int, share: float) -> str:
    look = ' class="zero"' if not count else ' class="dark"' if share > 0.5 else ""
    return f'<td{look} style="--p:{share:.3f}">{count}</td>'


def _memory(e: Evaluation) -> str:
    judged, known = e.judgement, e.real.known
    pairs = []
    for pair in judged.pairs[:_PAIRS]:
        told = "counts as memorised" if pair.distance <= judged.limit else "not a copy"
        both = _sound(e.made, pair.made, "made") + _sound(known, pair.known, "real")
        pairs.append(f'<div class="pair"><p>distance {pair.distance:.3f} · {told}</p><div>{both}</div></div>')
    return (
        "<h2>Nearest to the training</h2>\n"
        "<p>The generated sounds that are most like a sound of the training, at any loudness and at any shift of up to "
        f"80 ms. A distance of 0 is a copy; only one in twenty fresh real sounds comes below {judged.limit:.3f}.</p>\n"
        f'<div class="pairs">{"".join(pairs)}</div>'
    )


def _made_how(e: Evaluation) -> str:
    told = dict(e.conditions)
    versions = ", ".join(f"{name} {number}" for name, number in told.pop("versions", {}).items())
    kinds = Counter(item.kind for item in e.real.skipped)
    skipped = ", ".join(f"{count} {kind}" for kind, count in kinds.items()) or "nothing"
    rows: list[tuple[str, object]] = [
        ("Date", date.today().isoformat()),
        ("Sounds", f"{len(e.made):,} generated, {len(e.real.training):,} training, {len(e.real.test):,} test"),
        ("Left out", skipped),
        ("Distances in", f"{e.judgement.embedding}; {N_NEIGHBORS} neighbours"),
        *((name.replace("_", " ").capitalize(), value) for name, value in told.items()),
        ("Versions", versions),
    ]
    return "<h2>How this was made</h2>\n" + conditions(rows)
