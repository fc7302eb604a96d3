"""How many sounds a second the server makes, beside a plain FastAPI endpoint that goes the original's way.

    python -m benchmarks.serving

Needs the extras `serve`, `train` and `bench`. Writes `serving.json`, and from it `serving.md`; `--render` makes that
again without measuring, `--quick` measures for a moment only, which says nothing but that all of it works.
"""

from __future__ import annotations

import argparse
import asyncio
import itertools
import json
import os
import platform
import statistics
import sys
import time
from contextlib import ExitStack, suppress
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from benchmarks import ROOT
from benchmarks.serving import page as serving_page
from benchmarks.serving.clients import TICK, Server, drive, request, serving
from soundgan.files import write_text

SERVE = ("-c", "from soundgan.cli.app import main; main()", "serve")
CLIENTS = (1, 8, 64)
MANY = 64  # clients that rivals meet in the first round only, and the slowest not at all: it would need minutes


class Party(NamedTuple):
    """A server that is compared, and what it is asked for beside the seed."""

    name: str
    server: Server
    path: str
    asked: dict[str, str]


def parties(model: str, cores: set[int], ending: ExitStack, *, quick: bool, alone: bool) -> list[Party]:
    """All servers, started and warm; they take nothing while they are not asked."""
    path = f"/v1/models/{model}/sounds"
    server = ending.enter_context(serving((*SERVE, model), "/readyz", cores=cores))
    found = [Party(name, server, path, {"quality": quality}) for name, quality in serving_page.OURS.items()]
    for way in itertools.islice(serving_page.WAYS, 0 if alone else 1 if quick else None):
        command = ("-m", "benchmarks.serving.plain", "--model", model, "--way", way)
        found.append(
            Party(way, ending.enter_context(serving(command, "/readyz", cores=cores, folder=ROOT)), "/sounds", {})
        )
    for party in found:
        asyncio.run(drive(party.server.port, requests(party), 8, 0.1 if quick else 1.0))
    return found


def requests(party: Party) -> Any:
    """Every request for another sound."""
    first = time.monotonic_ns() % 2**31
    return (request(party.path, {"seed": seed, **party.asked}) for seed in itertools.count(first))


def measure_one(party: Party, clients: int, seconds: float) -> dict[str, Any]:
    """One round of one server."""
    used, own, stolen, start = party.server.cpu(), time.process_time(), steal(), time.perf_counter()
    taken = asyncio.run(drive(party.server.port, requests(party), clients, seconds))
    elapsed = time.perf_counter() - start
    return {
        "sounds": len(taken), "seconds": elapsed, "taken": [round(1000 * one, 1) for one in sorted(taken)],
        "cpu": party.server.cpu() - used, "client_cpu": time.process_time() - own, "load": os.getloadavg()[0],
        "stolen": steal() - stolen,
    }  # fmt: skip


def measure(options: argparse.Namespace) -> dict[str, Any]:
    allowed = os.sched_getaffinity(0)
    first, *others = sorted(allowed)
    sets: dict[str, Any] = {}
    even = evenness(0.1 if options.quick else 5.0)
    for model, cores in itertools.product(options.models, ({first}, allowed)):
        if options.quick and len(cores) > 1:
            continue
        title = f"{model}, {len(cores)} {'core' if len(cores) == 1 else 'cores'}"
        rounds: dict[str, dict[str, list[Any]]] = {}
        with ExitStack() as ending:
            found = parties(model, cores, ending, quick=options.quick, alone=options.alone)
            if len(cores) == 1 and others:
                os.sched_setaffinity(0, others)
            turns = [(turn, clients) for turn in range(options.rounds) for clients in options.clients]
            for (turn, clients), party in itertools.product(turns, found):
                slow = party.name not in serving_page.OURS and (turn or party.name == serving_page.SLOWEST)
                if slow and clients >= MANY:
                    continue
                say(f"{title}, round {turn + 1}, {clients} clients: {party.name}")
                one = measure_one(party, clients, options.seconds)
                rounds.setdefault(party.name, {}).setdefault(str(clients), []).append(one)
            memory = {party.name: party.server.memory() for party in found[:1] + found[len(serving_page.OURS) :]}
        os.sched_setaffinity(0, allowed)
        sets[title] = {"model": model, "cores": len(cores), "memory": memory, "rows": summaries(rounds)}
    return {"machine": {**machine(), "even": even}, "seconds": options.seconds, "rounds": options.rounds, "sets": sets}


def summaries(rounds: dict[str, dict[str, list[Any]]]) -> list[dict[str, Any]]:
    """A row for each server and number of clients; medians over rounds, and latencies of all of them together."""
    rows = []
    for name, found in rounds.items():
        for clients, turns in found.items():
            taken = sorted(itertools.chain.from_iterable(turn["taken"] for turn in turns))
            faster = {
                ours: statistics.median(rate(a) / rate(b) for a, b in zip(rounds[ours][clients], turns, strict=False))
                for ours in serving_page.OURS
            }
            rows.append({
                "server": name, "clients": int(clients), "sounds": sum(turn["sounds"] for turn in turns),
                "rate": statistics.median(map(rate, turns)), "faster": faster,
                "p50": taken[len(taken) // 2], "p99": taken[min(int(len(taken) * 0.99), len(taken) - 1)],
                "cpu": statistics.median(turn["cpu"] / turn["seconds"] for turn in turns),
                "client_cpu": statistics.median(turn["client_cpu"] / turn["seconds"] for turn in turns),
                "load": statistics.median(turn["load"] for turn in turns),
                "stolen": sum(turn["stolen"] for turn in turns) / sum(turn["seconds"] for turn in turns),
            })  # fmt: skip
    return rows


def rate(turn: dict[str, Any]) -> float:
    """Sounds a second."""
    return turn["sounds"] / turn["seconds"]


def evenness(seconds: float) -> list[float]:
    """How long the same arithmetic takes, again and again, in ms, while nothing else is asked of the machine."""
    until, taken = time.perf_counter() + seconds, list[float]()
    while (start := time.perf_counter()) < until:
        sum(range(100_000))
        taken.append(1000 * (time.perf_counter() - start))
    return [float(one) for one in np.percentile(taken, (50, 99, 99.9))]


def steal() -> float:
    """Processor time that the host of this virtual machine gave to others while it was wanted here, in s."""
    return int(Path("/proc/stat").read_text().split()[8]) / TICK


def machine() -> dict[str, Any]:
    lines = Path("/proc/cpuinfo").read_text().splitlines()
    names = [line.split(":")[1].strip() for line in lines if "model name" in line]
    packages = ("numpy", "scipy", "onnxruntime", "fastapi", "uvicorn", "torch", "librosa")
    versions = {"Python": platform.python_version()}
    for name in packages:
        with suppress(PackageNotFoundError):  # of the rivals
            versions[name] = version(name)
    return {"processor": (names or ["?"])[0], "cores": len(os.sched_getaffinity(0)), "versions": versions}


def say(text: str) -> None:
    print(f"{time.strftime('%H:%M:%S')} {text}", file=sys.stderr, flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add = parser.add_argument
    add("--out", type=Path, default=Path("docs/benchmarks"), help="folder of the page (%(default)s)")
    add("--models", nargs="+", default=["digits", "drums"])
    add("--clients", nargs="+", type=int, default=CLIENTS)
    add("--seconds", type=float, default=2.5, help="for which clients go on asking, in a round (%(default)s)")
    add("--rounds", type=int, default=2)
    add("--quick", action="store_true", help="one model, one core, one rival, one round of a moment")
    add("--alone", action="store_true", help="no rivals, and so without the extras `train` and `bench`")
    add("--render", action="store_true", help="do not measure, make the page of serving.json again")
    options = parser.parse_args()
    if options.quick:
        options.models, options.clients, options.seconds, options.rounds = options.models[:1], (1, 8), 0.3, 1
    record = options.out / "serving.json"
    if not options.render:
        options.out.mkdir(parents=True, exist_ok=True)
        write_text(record, json.dumps(measure(options), indent=1) + "\n")
    serving_page.render(json.loads(record.read_text(encoding="utf-8")), options.out)


if __name__ == "__main__":
    main()
