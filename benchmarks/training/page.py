"""The page of `training.py`, made from its figures alone."""

from __future__ import annotations

import statistics
import textwrap
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from benchmarks.synthesis.page import number, table
from benchmarks.training import pace
from soundgan.evaluation.metrics.catalog import KINDS, Figure, Kind
from soundgan.files import write_text

OURS = "ours"
CEILING = "fresh real sounds"
FASTER, SHARE = 4.0, 0.5  # what the goals ask for
EMULATED = 0.5  # times the float32 peak, below which bfloat16 is not arithmetic that the machine has
LONGER = 1.1  # times the shortest training, from which on times are no longer called equal


def render(figures: dict[str, Any], folder: Path) -> None:
    """Write `training.md`."""
    parts = [introduction()]
    parts += [competition(found) for _, found in sorted(figures["sets"].items())]
    if "speed" in figures:
        parts += [speed(figures["speed"])]
    write_text(folder / "training.md", "\n\n".join(parts) + "\n")


def introduction() -> str:
    return """# Training

What comes out of equal time, for SoundGAN and for generators that others have published; and how fast the training
runs. All of this page is written by `benchmarks.training`, and none of it by hand.

All competitors train on the same sounds for the same wall-clock time, make as many sounds as there are in the test
split, and are judged by the same harness as `soundgan evaluate`: everything is brought to one sample rate, length and
peak, and distances are taken from the same choice of training sounds. Sounds of higher rates are brought to 16 kHz,
that of the papers, for everybody. The column of fresh real sounds has what the test split itself reaches there.

- **ours**: SoundGAN with its usual settings, labels included. It is asked for the labels of the test split.
- **dcgan**: the original SoundGAN, a DCGAN in a Wasserstein game with gradient penalty (λ = 10) and instance noise. It
  paints the present representation and is played by the present phase retrieval, both better than it once had.
- **wavegan**, **specgan**: Donahue, McAuley and Puckette, "Adversarial Audio Synthesis" (2019), written from the paper,
  with its widths (d = 64), batches and game unless the row says otherwise. SpecGAN, too, is played by our phase
  retrieval. At 8 kHz both start from half as many positions, and make 8,192 samples for the paper's 16,384.

The baselines know no labels, as in their papers: nobody can ask them for one, and whether a sound is recognised as what
was asked for is not defined for them. Scores of labels are taken from what a classifier hears. The papers trained on a
GPU for days. In minutes on a processor their widths leave few steps; rows of a narrower width show what more and
cheaper steps bring."""


def competition(found: dict[str, Any]) -> str:
    about, rows = found["conditions"], found["rows"]
    order = sorted(rows, key=lambda name: (not name.startswith(OURS), name))
    taken = {name: rows[name]["seconds"] for name in order}
    told = f"{min(rows[name]['minutes'] for name in order):g} minutes each"
    if max(taken.values()) > LONGER * min(taken.values()):
        told = "**unequal times**, which the table has"
    head = ["", "Minutes", "Sounds seen", "Sounds/s", "Generator's steps", "Batch", "Its parameters", "Seed"]
    trainings = [
        [
            name, f"{row['seconds'] / 60:.1f}", f"{row['samples_seen']:,}", number(row["samples_seen"] / max(row["seconds"], 1e-9)),
            f"{row['steps']:,}", str(row["settings"]["batch"]), f"{row['settings']['generator_parameters']:,}",
            str(row["seed"]),
        ]
        for name, row in ((name, rows[name]) for name in order)
    ]  # fmt: skip
    columns = {CEILING: found["ceiling"]} | {name: rows[name]["figures"] for name in order}
    measured = [kind for kind in KINDS if any(kind.key in one for one in columns.values())]
    figures = [
        [f"{kind.title} {kind.sign}", *(cell(kind, one.get(kind.key)) for one in columns.values())] for kind in measured
    ]
    machines = sorted({row["machine"] for row in rows.values()})
    counts = ", ".join(sorted({str(row["n"]) for row in rows.values()}))
    introduced = wrapped(
        f"{about['training']:,} sounds to train on, {about['test']:,} that test (`{about['test_pattern']}`), "
        f"{about['labels']} labels; {about['seconds']:.3f} s at {about['sample_rate']:,} Hz; {counts} sounds made "
        f"by each. Training: {told}, on {'; '.join(machines)}."
    )
    return f"""## {about["data"].capitalize()}

{introduced}

{table(head, trainings)}

Measured by {found["embedding"]}; 95 % intervals in brackets; ↑ more is better, ↓ less, ≈ as near to the fresh real
sounds as can be.

{table(["", *columns], figures)}

{verdicts(columns)}"""


def wrapped(text: str, indent: str = "") -> str:
    """A paragraph in lines of the page's width."""
    return textwrap.fill(text, 120, subsequent_indent=indent, break_long_words=False, break_on_hyphens=False)


def cell(kind: Kind, values: Sequence[float | None] | None) -> str:
    """A figure with its interval."""
    if values is None or values[0] is None:
        return "–"
    figure = Figure(values[0], *values[1:])
    interval = kind.interval(figure)
    return f"{kind.write(figure.value)} ({interval})" if interval else kind.write(figure.value)


def verdicts(columns: dict[str, dict[str, Any]]) -> str:
    """A line a rival: the figures in which ours is better, and those in which it is not."""
    if OURS not in columns:
        return "Ours has not been trained here yet."
    ours, ceiling = columns[OURS], columns[CEILING]
    lines = []
    for name, theirs in columns.items():
        if name.startswith(OURS) or name == CEILING:
            continue
        common = [kind for kind in KINDS if kind.key in ours and kind.key in theirs]
        told = {
            verdict: [kind.title for kind in common if compared(kind, ours, theirs, ceiling) == sign]
            for verdict, sign in (("better", 1), ("equal", 0), ("**worse**", -1))
        }
        parts = [f"{verdict} in {len(titles)} ({', '.join(titles)})" for verdict, titles in told.items() if titles]
        lines.append(wrapped(f"- {name}: of {len(common)} figures, ours is {'; '.join(parts)}.", "  "))
    return "\n".join(lines)


def compared(kind: Kind, ours: dict[str, Any], theirs: dict[str, Any], ceiling: dict[str, Any]) -> int:
    """1 where the value of ours is the better one, -1 where theirs is, 0 where they are equal."""
    mine, other = ours[kind.key][0], theirs[kind.key][0]
    if kind.good == "near":
        goal = ceiling[kind.key][0] if kind.key in ceiling else 1.0
        mine, other = -abs(mine - goal), -abs(other - goal)
    elif kind.good == "down":
        mine, other = -mine, -other
    return int(mine > other) - int(mine < other)


def speed(measured: dict[str, Any]) -> str:
    return "\n\n".join([
        """## Pace

Real samples seen a second by the steps of our loop, and by the same networks with the same optimizer in plain PyTorch:
float32, eager, channels first. "Exact penalties" plays as R3GAN is published: R1 and R2 by differentiating twice, on
every pair, and new spectrograms and judgements for each of the two networks. "Finite differences" plays the very game of
our loop, where what is painted once serves both.
All parties take turns in every round; medians over rounds, then the median of the ratios within a round. Operations are
counted in the loop itself (convolutions and matrix products, a product and a sum are two), and set against the fastest
of several 3 × 3 convolutions, forward and backward, channels-last. On a GPU float32 is what PyTorch makes of it
unasked: its convolutions round to TF32 first.""",
        *(one_pace(name, found) for name, found in sorted(measured.items())),
    ])  # fmt: skip


def one_pace(name: str, found: dict[str, Any]) -> str:
    """The pace on one set of data."""
    told = pace.summary(found)
    rows = [
        [party, number(statistics.median(values)), " ".join(map(number, values)),
         "" if party == pace.OURS else f"{number(told[f'faster than {party}'])} ×"]
        for party, values in found["pace"].items()
    ]  # fmt: skip
    peaks = [
        [shape, *(f"{peak[shape] / 1e9:.0f}" for peak in found["peaks"].values())]
        for shape in found["peaks"]["float32"]
    ]
    best = {kind: max(peak.values()) for kind, peak in found["peaks"].items()}
    faster, share = told[f"faster than {next(iter(pace.PLAIN))}"], told["share of bfloat16"]
    own, fastest = told[f"share of {found['precision']}"], best[found["precision"]]
    emulated = best["bfloat16"] < EMULATED * best["float32"]
    goals = [
        [f"at least {FASTER:g} × the sounds/s of plain float32 PyTorch", f"{number(faster)} ×", met(faster >= FASTER)],
        [
            f"at least {SHARE:.0%} of the bfloat16 peak",
            f"{share:.1%}",
            "says nothing" if emulated else met(share >= SHARE),
        ],
    ]
    note = ""
    if emulated:
        reached = told["share of float32"]
        goals += [[f"here: at least {SHARE:.0%} of the float32 peak", f"{reached:.0%}", met(reached >= SHARE)]]
        note = "\n\n" + wrapped(
            f"The fastest bfloat16 convolution runs at {best['bfloat16'] / best['float32']:.0%} of the pace of the "
            "fastest float32 one: this machine emulates the arithmetic of bfloat16, and a share of that peak says "
            "nothing. The share of the float32 peak is what the loop gets out of the machine."
        )
    shape = " × ".join(map(str, found["shape"]))
    ran = wrapped(
        f"{found['machine']}; {found['device']}, {found['threads']} threads, {found['precision']}. Spectrograms of "
        f"{shape}, size {found['size']}, batches of {found['batch_size']}, {found['steps']} steps a round."
    )
    work = wrapped(
        f"A step is {found['flops'] / 1e9:.1f} GFLOP, so that the loop computes {told['flops a second'] / 1e9:.0f} "
        f"GFLOP/s: {own:.1%} of the {fastest / 1e9:.0f} GFLOP/s that the fastest convolution reaches in "
        f"{found['precision']}."
    )
    return f"""### {name[:1].upper()}{name[1:]}

{ran}

{table(["", "Sounds/s", "In every round", "Ours is faster by"], rows)}

{work}

{table(["Convolution (batch × channels × rows × columns), GFLOP/s", *found["peaks"]], peaks)}

{table(["Goal", "Measured", ""], goals)}{note}"""


def met(reached: bool) -> str:
    return "met" if reached else "**not met**"
