"""Sounds a second of the server, beside a plain FastAPI endpoint with the original's pipeline.

    python -m benchmarks.serving

Needs the extras `serve`, `train` and `bench`. Writes `serving.json`, and from it `serving.md`; `--render` renders the
page without measuring, `--quick` measures for a moment only, which shows nothing but that all of it works.
"""

from __future__ import annotations

import argparse
import asyncio
import itertools
import os
import statistics
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from benchmarks import ROOT
from benchmarks.common import command_line, load, log, processor, save, timed, versions
from benchmarks.serving import page
from benchmarks.serving.clients import SERVE, TICK, Server, drive, request, serving

CLIENTS = (1, 8, 64)
MANY = 64  # clients that rivals serve in the first round only, and the slowest not at all, which would take minutes
PACKAGES = ("numpy", "scipy", "onnxruntime", "fastapi", "uvicorn", "torch", "librosa")


class Contestant(NamedTuple):
    """A server, and the fields of its requests beside the seed."""

    name: str
    server: Server
    path: str
    fields: dict[str, str]

    def requests(self) -> Iterator[bytes]:
        """Requests with a new seed each."""
        first = time.monotonic_ns() % 2**31
        return (request(self.path, {"seed": seed, **self.fields}) for seed in itertools.count(first))

    def drive(self, clients: int, seconds: float) -> list[float]:
        return asyncio.run(drive(self.server.port, self.requests(), clients, seconds))


def start_all(model: str, cores: set[int], stack: ExitStack, options: argparse.Namespace) -> list[Contestant]:
    """All servers, started and warm; they use no processor time while idle."""
    server = stack.enter_context(serving((*SERVE, model), "/readyz", cores=cores))
    path = f"/v1/models/{model}/sounds"
    contestants = [Contestant(name, server, path, {"quality": quality}) for name, quality in page.OURS.items()]
    for pipeline in itertools.islice(page.PIPELINES, 0 if options.alone else 1 if options.quick else None):
        command = ("-m", "benchmarks.serving.plain", "--model", model, "--pipeline", pipeline)
        rival = stack.enter_context(serving(command, "/readyz", cores=cores, folder=ROOT))
        contestants.append(Contestant(pipeline, rival, "/sounds", {}))
    for contestant in contestants:
        contestant.drive(8, 0.1 if options.quick else 1.0)
    return contestants


def measure_round(contestant: Contestant, clients: int, seconds: float) -> dict[str, Any]:
    """One round of one server."""
    cpu, own, stolen = contestant.server.cpu(), time.process_time(), steal()
    elapsed, latencies = timed(contestant.drive, clients, seconds)
    return {
        "sounds": len(latencies), "seconds": elapsed, "latencies": [round(1000 * value, 1) for value in latencies],
        "cpu": contestant.server.cpu() - cpu, "client_cpu": time.process_time() - own, "load": os.getloadavg()[0],
        "stolen": steal() - stolen,
    }  # fmt: skip


def measure(options: argparse.Namespace) -> dict[str, Any]:
    allowed = os.sched_getaffinity(0)
    first, *others = sorted(allowed)
    sets: dict[str, Any] = {}
    jitter = loop_times(0.1 if options.quick else 5.0)
    for model, cores in itertools.product(options.models, ({first}, allowed)):
        if options.quick and len(cores) > 1:
            continue
        title = f"{model}, {len(cores)} {'core' if len(cores) == 1 else 'cores'}"
        rounds: dict[str, dict[int, list[Any]]] = {}
        with ExitStack() as stack:
            contestants = start_all(model, cores, stack, options)
            if len(cores) == 1 and others:
                os.sched_setaffinity(0, others)
            turns = itertools.product(range(options.rounds), options.clients)
            for (turn, clients), contestant in itertools.product(turns, contestants):
                slow = contestant.name not in page.OURS and (turn or contestant.name == page.SLOWEST)
                if slow and clients >= MANY:
                    continue
                log(f"{title}, round {turn + 1}, {clients} clients: {contestant.name}")
                measured = measure_round(contestant, clients, options.seconds)
                rounds.setdefault(contestant.name, {}).setdefault(clients, []).append(measured)
            servers = contestants[:1] + contestants[len(page.OURS) :]
            memory = {contestant.name: contestant.server.memory() for contestant in servers}
        os.sched_setaffinity(0, allowed)
        sets[title] = {"model": model, "cores": len(cores), "memory": memory, "rows": summaries(rounds)}
    machine = {"processor": processor(), "cores": len(allowed), "versions": versions(*PACKAGES), "loop_times": jitter}
    return {"machine": machine, "seconds": options.seconds, "rounds": options.rounds, "sets": sets}


def summaries(rounds: dict[str, dict[int, list[Any]]]) -> list[dict[str, Any]]:
    """A row per server and number of clients: medians over rounds, and percentiles of the latencies of all rounds."""
    rows = []
    for name, clients, turns in ((name, *item) for name, measured in rounds.items() for item in measured.items()):
        latencies = sorted(itertools.chain.from_iterable(turn["latencies"] for turn in turns))
        speedup = {
            ours: statistics.median(rate(a) / rate(b) for a, b in zip(rounds[ours][clients], turns, strict=False))
            for ours in page.OURS
        }
        rows.append({
            "server": name, "clients": clients, "sounds": sum(turn["sounds"] for turn in turns),
            "rate": statistics.median(map(rate, turns)), "speedup": speedup,
            "p50": latencies[len(latencies) // 2], "p99": latencies[int(len(latencies) * 0.99)],
            "cpu": statistics.median(turn["cpu"] / turn["seconds"] for turn in turns),
            "client_cpu": statistics.median(turn["client_cpu"] / turn["seconds"] for turn in turns),
            "load": statistics.median(turn["load"] for turn in turns),
            "stolen": sum(turn["stolen"] for turn in turns) / sum(turn["seconds"] for turn in turns),
        })  # fmt: skip
    return rows


def rate(turn: dict[str, Any]) -> float:
    """Sounds a second."""
    return turn["sounds"] / turn["seconds"]


def loop_times(seconds: float) -> list[float]:
    """Median, 99 % and 99.9 % percentile of the time of a fixed loop on the idle machine, in ms."""
    until, times = time.perf_counter() + seconds, list[float]()
    while time.perf_counter() < until:
        times.append(1000 * timed(lambda: sum(range(100_000)))[0])
    return [float(value) for value in np.percentile(times, (50, 99, 99.9))]


def steal() -> float:
    """Processor time that the host of this virtual machine withheld, in s."""
    return int(Path("/proc/stat").read_text().split()[8]) / TICK


def main() -> None:
    parser = command_line(__doc__, "serving")
    add = parser.add_argument
    add("--models", nargs="+", default=["digits", "drums"])
    add("--clients", nargs="+", type=int, default=CLIENTS)
    add("--seconds", type=float, default=2.5, help="length of a round (%(default)s)")
    add("--rounds", type=int, default=2)
    add("--quick", action="store_true", help="one model, one core, one rival, one round of a moment")
    add("--alone", action="store_true", help="no rivals, and so without the extras `train` and `bench`")
    options = parser.parse_args()
    if options.quick:
        options.models, options.clients, options.seconds, options.rounds = options.models[:1], (1, 8), 0.3, 1
    record = options.out / "serving.json"
    if not options.render:
        save(measure(options), record)
    page.render(load(record), options.out)


if __name__ == "__main__":
    main()
