"""The page and the plot of `synthesis.py`, made from its figures alone."""

# pyright: reportMissingImports=false
# matplotlib comes with the bench extra only.

from __future__ import annotations

import itertools
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from benchmarks.synthesis.methods import ORIGINAL
from soundgan.files import write_text

Row = dict[str, Any]
SECOND = "one second at 16 kHz"
JUDGES = {
    "linear": "Linear LSD, dB",
    "mel": "Mel LSD, dB",
    "librosa": "librosa's own",
    "spectrogram": "Spectrogram's own",
}
ORIGINAL_SECONDS = 27.0
MODES = {"batch": "in a batch", "single": "one at a time"}


def render(figures: dict[str, Any], folder: Path) -> None:
    """Write `synthesis.md` and `synthesis.png`."""
    parts = [introduction(figures), goals(figures), from_magnitudes(figures["magnitudes"])]
    parts += [from_spectrograms(figures["spectrograms"]), classic(figures["classic"]), memory(figures["memory"])]
    write_text(folder / "synthesis.md", "\n\n".join(parts) + "\n")
    plot(figures["magnitudes"], folder / "synthesis.png")


def number(value: float | None) -> str:
    if value is None:
        return "–"
    return f"{value:.2f}" if value < 10 else f"{value:.1f}" if value < 100 else f"{value:,.0f}"


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [head, ["---"] + ["--:"] * (len(head) - 1), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def of(rows: Sequence[Row], family: str) -> list[Row]:
    return [row for row in rows if row["family"] == family]


def name(row: Row) -> str:
    return f"**ours, {row['method']}**" if row["family"] == "ours" else row["method"]


def introduction(figures: dict[str, Any]) -> str:
    machine, options = figures["machine"], figures["options"]
    versions = ", ".join(f"{package} {version}" for package, version in machine["versions"].items())
    chosen = " ".join(f"--{option.replace('_', '-')} {value}" for option, value in options.items())
    return f"""# From spectrogram to sound

How near a sound comes to the one that its spectrogram was made of, and how long that takes, for every method here and
for those of other libraries, on {options["files"]} real sounds each of spoken digits, drums and sound effects.
Measured on {machine["cores"]} cores ({machine["processor"]}), all of which every method may use, with
{versions}.
This page is written by

    python -m benchmarks.synthesis --data ../shared/data {chosen}

and none of it by hand. The sounds are the loudest part of each file, padded with silence where the file is shorter, at
a peak of 0.9; the files are drawn with a fixed seed, in turn from all classes. In every round of timing the methods
take turns; times are medians over rounds (one round for 256 iterations) and, one at a time, over sounds, in
milliseconds for a second of sound. A batch is {options["batch"]} sounds in one call. PGHI's first call took
{machine["compilation"]:.1f} s of compilation, which are not counted.

- **SC**, spectral convergence: how many dB the error of the magnitudes lies below the magnitudes, mean over sounds with
  its 95 % interval. More is better.
- **LSD**, log-spectral distance: RMS over bins of the difference in dB, mean over the frames of which the original has
  anything to hear, then over sounds. Both sides are cut off 80 dB below the original's loudest bin. Less is better."""


def goals(figures: dict[str, Any]) -> str:
    second = figures["magnitudes"][SECOND]
    ours = {row["method"]: row for row in of(second["rows"], "ours")}
    drums = figures["spectrograms"]["drums, mel"]
    drums = [row for row in of(drums, "ours") if row["files"] == max(r["files"] for r in drums)]
    pace = ours["balanced"]["batch"] * second["seconds"]
    original = next(row for row in figures["classic"] if row["method"] == ORIGINAL)
    better = [
        row for row in of(figures["classic"], "ours")
        if row["mel"] <= original["mel"] and row["linear"] <= original["linear"]
    ]  # fmt: skip
    quickest = min((row["seconds"] for row in better), default=float("inf"))
    ratio, since = original["seconds"] / quickest, ORIGINAL_SECONDS / quickest
    peak = figures["memory"]["1000"]
    rows = [
        ("one second at 16 kHz, balanced: at most 2 ms a sound in a batch", f"{pace:.2f} ms", pace <= 2),
        ("the same: SC of at least 27 dB", f"{ours['balanced']['sc']:.1f} dB", ours["balanced"]["sc"] >= 27),
        ("the same, best: SC of at least 33 dB", f"{ours['best']['sc']:.1f} dB", ours["best"]["sc"] >= 33),
    ]
    for key, told in {
        "mel": "mel bands at half the hop",
        "spectrogram": "the spectrogram's own bands and frames",
    }.items():
        row = min(drums, key=lambda row: row[key])
        goal = f"drums from 128 mel bands: LSD of at most 1.2 dB in {told}"
        rows.append((goal, f"{row[key]:.2f} dB ({row['method']})", row[key] <= 1.2))
    rows += [
        ("classic ten-second sound, no worse LSD than the original's: 200 × faster", f"{ratio:.0f} ×", ratio >= 200),
        (f"the same, against the {ORIGINAL_SECONDS:.0f} s that it once took", f"{since:.0f} ×", since >= 200),
        ("1,000 one-second sounds: less than 1 GiB of memory", f"{peak:.0f} MiB", peak < 1024),
    ]
    cells = [[goal, measured, "met" if met else "**not met**"] for goal, measured, met in rows]
    return "## Goals\n\n" + table(["Goal", "Measured", ""], cells)


def from_magnitudes(sets: dict[str, Any]) -> str:
    text = """## From true magnitudes

![Quality over time](synthesis.png)

Every method gets the linear magnitudes of its own framing of the sound, and the same framing judges what it makes of
them: librosa and PyTorch centre the first frame on the first sample, ours half a hop later; Hann window, same length
and hop for all. Momentum is 0.99 wherever there is any. The torch method is torchaudio's, all sounds at once. PGHI runs
in our framing, a thread a sound. "Beaten" means: one of our three qualities takes no longer and has no lower SC."""
    for title, measured in sets.items():
        head = ["Method", "SC, dB", "LSD, dB", "ms/s, one", "ms/s, batch"]
        cells = [
            [name(row), f"{row['sc']:.1f} ± {row['sc_error']:.1f}"]
            + [number(row[k]) for k in ("lsd", "single", "batch")]
            for row in measured["rows"]
        ]
        text += (
            f"\n\n### {title[0].upper() + title[1:]}\n\n{measured['files']} sounds of {measured['seconds']:.3f} s at "
        )
        text += f"{measured['rate']:,} Hz, n_fft {measured['n_fft']}, hop {measured['hop_length']}.\n\n{table(head, cells)}\n"
        for rival in measured["rows"]:
            if rival["family"] not in ("ours", "variants"):
                told = "; ".join(f"{told} {verdict(rival, measured['rows'], mode)}" for mode, told in MODES.items())
                text += f"\n- {rival['method']}: {told}."
    return text


def verdict(rival: Row, rows: Sequence[Row], mode: str) -> str:
    """Which of our methods beat a rival, and by how much; or which fall short, and by how much."""

    def compared(row: Row) -> str:
        faster, better = rival[mode] / row[mode], row["sc"] - rival["sc"]
        pace = f"{number(faster)} × faster" if faster >= 1 else f"{number(1 / faster)} × slower"
        return f"{row['method']} ({pace}, {better:+.1f} dB)"

    def beats(row: Row) -> bool:
        return row["sc"] >= rival["sc"] and row[mode] <= rival[mode]

    ours = of(rows, "ours")
    if winners := [row for row in ours if beats(row)]:
        return "beaten by " + ", ".join(map(compared, winners))
    told = "**not beaten**: " + ", ".join(map(compared, ours))
    if variants := [row for row in of(rows, "variants") if beats(row)]:
        told += "; of the other searches, it is by " + ", ".join(map(compared, variants))
    return told


def from_spectrograms(sets: dict[str, Any]) -> str:
    text = """## From spectrograms

The whole way: from 128 bands with a limited range of levels to a sound. Ours paints 80 dB (digits: 70 dB) below the
loudest band of the set, the rivals get librosa's mel spectrogram of 128 bands, in dB, cut off 80 dB below its own
loudest. They take long, so that they make fewer sounds; our rows for as many are those to compare them with. The two
share one run of the first step, non-negative least squares (NNLS), and it counts for both.

Linear and mel LSD are everyone's: of librosa's STFT at half the hop, whose frames are librosa's and ours in turn, and
of librosa's 128 mel bands of it. On its own frames and bands, whose very levels it was given, each side is at its best:
"librosa's own" takes every second of these frames, "spectrogram's own" is our spectrogram of the result against that of the
original, from its floor up. Only the first two decide who beats whom; the bands of the second are still those that the
rivals were given and we were not."""
    for title, rows in sets.items():
        head = ["Method", "Sounds", *JUDGES.values(), "ms/s, one", "ms/s, batch"]
        cells = [
            [name(row), str(row["files"])] + [number(row.get(key)) for key in (*JUDGES, "single", "batch")]
            for row in rows
        ]
        text += f"\n\n### {title[0].upper() + title[1:]} bands\n\n{table(head, cells)}"
        if rivals := of(rows, "librosa"):
            few = [row for row in of(rows, "ours") if row["files"] == rivals[0]["files"]]
            text += "\n\n" + "\n".join(f"- {painted_verdict(rival, few)}" for rival in rivals)
    return text


def painted_verdict(rival: Row, ours: Sequence[Row], key: str = "single") -> str:
    told = []
    for row in ours:
        lacking = [k for k in ("linear", "mel") if row[k] > rival[k]]
        if not lacking and row[key] <= rival[key]:
            told.append(f"{row['method']} beats it ({number(rival[key] / row[key])} × faster)")
        else:
            told.append(
                f"{row['method']} is {number(rival[key] / row[key])} × as fast, but **does not beat it**"
                + "".join(f", {k} LSD {row[k] - rival[k]:+.2f} dB" for k in lacking)
            )
    return f"{rival['method']}: {'; '.join(told)}."


def classic(rows: Sequence[Row]) -> str:
    original = next(row for row in rows if row["method"] == ORIGINAL)
    head = ["Method", "Seconds", "Faster than the original", *JUDGES.values()]
    cells = [
        [name(row), f"{row['seconds']:.3f}", f"{number(original['seconds'] / row['seconds'])} ×"]
        + [number(row[key]) for key in JUDGES]
        for row in rows
    ]
    rivals = "\n".join(f"- {painted_verdict(row, of(rows, 'ours'), 'seconds')}" for row in of(rows, "librosa"))
    return f"""## The classic ten-second sound

Ten seconds at 22,050 Hz, 128 mel bands, n_fft 1024, hop 512, 431 frames, as the first version of this program made
them: from a spectrogram of 80 dB to a WAV file, whose writing is counted, and which is read back for the judge. Means of
{rows[0]["files"]} sounds, each of two sound effects one after the other.

{table(head, cells)}

{rivals}"""


def memory(peaks: dict[str, float]) -> str:
    counts = sorted(map(int, peaks))
    steps = [
        f"{(peaks[str(b)] - peaks[str(a)]) / (b - a) * 1024:.0f} KiB a sound from {a} to {b}"
        for a, b in itertools.pairwise(counts)
    ]
    cells = [[f"{count:,}", f"{peaks[str(count)]:.0f}"] for count in counts]
    return f"""## Memory

Peak of a process that makes one-second sounds at 16 kHz of noisy spectrograms, which cost the most, in one call.

{table(["Sounds", "MiB"], cells)}

Growth: {", ".join(steps)}."""


def plot(sets: dict[str, Any], path: Path) -> None:
    """A column a set, a row a mode: SC over time; up and to the left is better."""
    import matplotlib

    matplotlib.use("agg")
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(2, len(sets), figsize=(4 * len(sets), 8.5), squeeze=False)
    styles = {"ours": "C3o-", "variants": "C3o", "PGHI": "C2s", "librosa": "C0^-", "torch": "C1v-"}
    for column, (title, measured) in enumerate(sets.items()):
        for axis, (mode, told) in zip(axes[:, column], MODES.items(), strict=True):
            for family, style in styles.items():
                rows = of(measured["rows"], family)
                hollow = {"markerfacecolor": "none", "linestyle": "none"} if family == "variants" else {}
                label = {"ours": "ours: fast, balanced, best", "variants": "ours: other searches"}.get(family, family)
                axis.semilogx([r[mode] for r in rows], [r["sc"] for r in rows], style, label=label, **hollow)
            axis.set(title=f"{title}, {told}", xlabel="ms for a second of sound", ylabel="spectral convergence, dB")
            axis.grid(alpha=0.3, which="both")
    figure.legend(*axes[0, 0].get_legend_handles_labels(), loc="lower center", ncols=len(styles))
    figure.tight_layout(rect=(0, 0.05, 1, 1))
    figure.savefig(path, dpi=80)
