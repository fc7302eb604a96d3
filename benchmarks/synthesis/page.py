"""The page and the plot of `benchmarks.synthesis`, rendered from its figures alone."""

# pyright: reportMissingImports=false
# matplotlib comes with the extra `bench` only.

from __future__ import annotations

import itertools
from collections.abc import Sequence
from pathlib import Path

from matplotlib.figure import Figure

from benchmarks.common import Figures, number, write_page
from benchmarks.synthesis.methods import ORIGINAL

SECOND = "one second at 16 kHz"
DISTANCES = ("linear", "mel", "librosa", "spectrogram")
ORIGINAL_SECONDS = 27.0
MODES = {"batch": "in a batch", "single": "one at a time"}


def render(figures: Figures, folder: Path) -> None:
    """Write `synthesis.md` and `synthesis.png`."""
    (original,) = (row for row in figures["classic"] if row["method"] == ORIGINAL)
    growth = [
        f"{(more - less) / (int(b) - int(a)) * 1024:.0f} KiB per sound from {a} to {b}"
        for (a, less), (b, more) in itertools.pairwise(figures["memory"].items())
    ]
    values = {"goals": goals(figures, original), "original": original, "growth": growth, "distances": DISTANCES}
    functions = {"verdict": verdict, "whole_verdict": whole_verdict}
    write_page("synthesis/synthesis.md.j2", folder, figures | values | functions)
    plot(figures["magnitudes"], folder / "synthesis.png")


def of_family(rows: Sequence[Figures], family: str) -> list[Figures]:
    return [row for row in rows if row["family"] == family]


def goals(figures: Figures, original: Figures) -> list[tuple[str, str, bool]]:
    """Goal, measured value, met."""
    second = figures["magnitudes"][SECOND]
    ours = {row["method"]: row for row in of_family(second["rows"], "ours")}
    balanced, best = ours["balanced"]["sc"], ours["best"]["sc"]
    pace = ours["balanced"]["batch"] * second["seconds"]
    drums = of_family(figures["spectrograms"]["drums, mel"], "ours")[-3:]  # all qualities, on all sounds
    mel, own = (min(drums, key=lambda row: row[key]) for key in ("mel", "spectrogram"))
    better = [row for row in of_family(figures["classic"], "ours") if not worse_distances(row, original)]
    quickest = min((row["seconds"] for row in better), default=float("inf"))
    ratio, published = original["seconds"] / quickest, ORIGINAL_SECONDS / quickest
    peak, lsd = figures["memory"]["1000"], "drums from 128 mel bands: LSD of at most 1.2 dB in"
    return [
        ("one second at 16 kHz, balanced: at most 2 ms a sound in a batch", f"{pace:.2f} ms", pace <= 2),
        ("the same: SC of at least 27 dB", f"{balanced:.1f} dB", balanced >= 27),
        ("the same, best: SC of at least 33 dB", f"{best:.1f} dB", best >= 33),
        (f"{lsd} mel bands at half the hop", f"{mel['mel']:.2f} dB ({mel['method']})", mel["mel"] <= 1.2),
        (
            f"{lsd} the spectrogram's own bands and frames",
            f"{own['spectrogram']:.2f} dB ({own['method']})",
            own["spectrogram"] <= 1.2,
        ),
        ("classic ten-second sound, no worse LSD than the original's: 200 × faster", f"{ratio:.0f} ×", ratio >= 200),
        (
            f"the same, against the {ORIGINAL_SECONDS:.0f} s of the original's own measurement",
            f"{published:.0f} ×",
            published >= 200,
        ),
        ("1,000 one-second sounds: less than 1 GiB of memory", f"{peak:.0f} MiB", peak < 1024),
    ]


def verdict(baseline: Figures, rows: Sequence[Figures], mode: str) -> str:
    """Our methods that beat a baseline, or all of ours if none does, with the differences in time and SC."""

    def compared(row: Figures) -> str:
        faster, better = baseline[mode] / row[mode], row["sc"] - baseline["sc"]
        pace = f"{number(faster)} × faster" if faster >= 1 else f"{number(1 / faster)} × slower"
        return f"{row['method']} ({pace}, {better:+.1f} dB)"

    def winners(family: str) -> str:
        better = [row for row in of_family(rows, family) if row["sc"] >= baseline["sc"] and row[mode] <= baseline[mode]]
        return ", ".join(map(compared, better))

    if winners("ours"):
        return f"beaten by {winners('ours')}"
    text = "**not beaten**: " + ", ".join(map(compared, of_family(rows, "ours")))
    return f"{text}; of our variants, it is by {winners('variants')}" if winners("variants") else text


def worse_distances(row: Figures, baseline: Figures) -> list[str]:
    """The distances common to all in which a row is worse."""
    return [distance for distance in ("linear", "mel") if row[distance] > baseline[distance]]


def whole_verdict(baseline: Figures, rows: Sequence[Figures], key: str) -> str:
    """Comparison of our methods with a baseline on the same sounds, by the time `key` and the distances."""
    verdicts = []
    for row in of_family(rows, "ours"):
        if row["files"] != baseline["files"]:
            continue
        worse, pace = worse_distances(row, baseline), number(baseline[key] / row[key])
        if not worse and row[key] <= baseline[key]:
            verdicts.append(f"{row['method']} beats it ({pace} × faster)")
        else:
            differences = "".join(
                f", {distance} LSD {row[distance] - baseline[distance]:+.2f} dB" for distance in worse
            )
            verdicts.append(f"{row['method']} is {pace} × as fast, but **does not beat it**{differences}")
    return f"{baseline['method']}: {'; '.join(verdicts)}."


def plot(sets: Figures, path: Path) -> None:
    """SC over time, a column per set and a row per mode; up and to the left is better."""
    figure = Figure(figsize=(4 * len(sets), 8.5))
    axes = figure.subplots(2, len(sets), squeeze=False)
    styles = {"ours": "C3o-", "variants": "C3o", "PGHI": "C2s", "librosa": "C0^-", "torch": "C1v-"}
    labels = {"ours": "ours: fast, balanced, best", "variants": "ours: variants"}
    panels = itertools.product(MODES.items(), sets.items())
    for axis, ((mode, mode_title), (title, measured)) in zip(axes.flat, panels, strict=True):
        for family, style in styles.items():
            rows = of_family(measured["rows"], family)
            hollow = {"markerfacecolor": "none", "linestyle": "none"} if family == "variants" else {}
            times, levels = [row[mode] for row in rows], [row["sc"] for row in rows]
            axis.semilogx(times, levels, style, label=labels.get(family, family), **hollow)
        axis.set(title=f"{title}, {mode_title}", xlabel="ms for a second of sound", ylabel="spectral convergence, dB")
        axis.grid(alpha=0.3, which="both")
    figure.legend(*axes[0, 0].get_legend_handles_labels(), loc="lower center", ncols=len(styles))
    figure.tight_layout(rect=(0, 0.05, 1, 1))
    figure.savefig(path, dpi=80)
