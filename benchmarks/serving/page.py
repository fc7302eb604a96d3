"""The page of `serving.py`, made from its figures alone."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from benchmarks.synthesis.page import number, table
from soundgan.files import write_text
from soundgan.model_folder import read_config, resolve_model

# Ours, and the quality that is asked for.
OURS = {"soundgan serve": "balanced", "soundgan serve, fast": "fast"}
# The ways of `plain.py`, and what they are called.
WAYS = {
    "ours": "our Generator in PyTorch, librosa Griffin-Lim",
    "dcgan": "the original's DCGAN, librosa Griffin-Lim",
    "original": "the same, and mel bands to linear ones by NNLS",
}
ORIGINAL, SLOWEST = "dcgan", "original"
FASTER, PATIENCE, CROWD = 20.0, 100.0, 8  # times; ms; clients


def render(figures: dict[str, Any], folder: Path) -> None:
    """Write `serving.md`."""
    parts = [introduction(figures), goals(figures["sets"])]
    parts += [one_set(title, found) for title, found in figures["sets"].items()]
    write_text(folder / "serving.md", "\n\n".join(parts) + "\n")


def introduction(figures: dict[str, Any]) -> str:
    machine = figures["machine"]
    versions = ", ".join(f"{package} {version}" for package, version in machine["versions"].items())
    rows = [row for found in figures["sets"].values() for row in found["rows"]]
    clients = max(row["client_cpu"] for row in rows)
    usual, rare, rarest = map(number, machine["even"])
    loads, stolen = ([row[what] for row in rows] for what in ("load", "stolen"))
    return f"""# The server

Sounds a second, and how long a client waits for one, beside a plain FastAPI endpoint that goes the original's way.
Measured on {machine["cores"]} cores ({machine["processor"]}) with
{versions}.
All of this page is written by

    python -m benchmarks.serving

and none of it by hand. All servers are real ones behind Uvicorn, asked over loopback; each sound is another one, as a
WAV file. Every client has one connection, and asks again as soon as it is answered, for {figures["seconds"]:g} s in a
round. In every round the servers take turns, so that a busy moment hits them all; there are {figures["rounds"]} rounds,
but rivals meet 64 clients in the first one only, and the slowest never. Rates are medians over rounds, times are of all
answers together, and "ours is faster by" is the median of the ratios within a round, balanced and fast.

The rival is `benchmarks/serving/plain.py`: PyTorch without gradients, eager, a request at a time in each thread of FastAPI's
pool, then `librosa.griffinlim` with 32 iterations, or `librosa.feature.inverse.mel_to_audio` as the original had it,
whose first step is a non-negative least squares fit (NNLS). Its DCGAN has the original's width (ngf 128) at the size of
our spectrograms, smaller than the original's 256 × 256. Its weights are random ones, which cost the same. The clients are
one process of raw sockets, which took at most {clients:.2f} of a core; where the server has one core, they run on
another, otherwise they share its cores. "Its cores" are those that the server got, with all of its threads and
processes, and "ms of a core" is what a sound took of them.

Other work shared the machine meanwhile: the load average, these servers included, was {min(loads):.1f} to
{max(loads):.1f} on {machine["cores"]} cores. And its host gave {min(stolen):.2f} to {max(stolen):.2f} of a core
to others that was wanted here. Before all of it, a loop of arithmetic that usually takes {usual} ms took {rare} ms or
more in 1 of 100 cases, and {rarest} ms in 1 of 1,000: so uneven is this machine by itself. Rates and times suffer from
that, ratios less; processor time for a sound hardly at all.

"fast" is the quality of that name, which the client asks for; otherwise it is "balanced", the usual one. Both come
nearer to the magnitudes than 32 iterations of librosa do ([synthesis.md](synthesis.md))."""


def goals(sets: dict[str, Any]) -> str:
    """Those that were set, for sounds of a second."""
    rows = []
    for title, found in sets.items():
        rival = at(found, ORIGINAL, CROWD)
        for name, quality in OURS.items():
            ours, asked = at(found, name, CROWD), f"{title}, {quality}, {CROWD} clients"
            if ours and rival:
                times = rival["faster"][name]
                goal = f"{asked}: {FASTER:g} × as many sounds as {WAYS[ORIGINAL]}"
                rows.append([goal, f"{number(times)} ×", met(times >= FASTER)])
            if ours:
                goal = f"{asked}: 99 of 100 within {PATIENCE:g} ms"
                rows.append([goal, f"{number(ours['p99'])} ms", met(ours["p99"] < PATIENCE)])
    sounds = ", ".join(map(told, dict.fromkeys(found["model"] for found in sets.values())))
    return f"""## Goals

For sounds of about a second ({sounds}).

{table(["Goal", "Measured", ""], rows)}"""


def told(model: str) -> str:
    """What the sounds of a bundled model are."""
    representation = read_config(resolve_model(model)).representation
    return f"{model}: {representation.duration:.2f} s at {representation.sample_rate / 1000:g} kHz"


def one_set(title: str, found: dict[str, Any]) -> str:
    head = ["Server", "Clients", "Sounds/s", "p50, ms", "p99, ms", "Ours is faster by", "Its cores", "ms of a core"]
    cells = [
        [
            f"**{row['server']}**" if row["server"] in OURS else WAYS[row["server"]], str(row["clients"]),
            number(row["rate"]), number(row["p50"]), number(row["p99"]), faster(row), f"{row['cpu']:.2f}",
            number(cost(row)),
        ]
        for row in found["rows"]
    ]  # fmt: skip
    memory = ", ".join(f"{WAYS.get(name, name)} {amount:,.0f}" for name, amount in found["memory"].items())
    return f"## {title[0].upper()}{title[1:]}\n\n{table(head, cells)}\n\nMemory at the end, in MiB: {memory}."


def at(found: dict[str, Any], server: str, clients: int) -> dict[str, Any] | None:
    """The row of a server with so many clients, if it was measured."""
    return next((row for row in found["rows"] if (row["server"], row["clients"]) == (server, clients)), None)


def faster(row: dict[str, Any]) -> str:
    """How many times as many sounds ours makes, balanced and fast."""
    return "" if row["server"] in OURS else " and ".join(f"{number(row['faster'][name])} ×" for name in OURS)


def cost(row: dict[str, Any]) -> float:
    """Processor time of a sound, in ms: of the server with all of its threads and processes."""
    return 1000 * row["cpu"] / row["rate"]


def met(reached: bool) -> str:
    return "met" if reached else "**not met**"
