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
from collections import defaultdict
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import NamedTuple

import numpy as np

from benchmarks import ROOT
from benchmarks.common import Figures, command_line, load, log, processor, save, timed, versions
from benchmarks.serving import page
from benchmarks.serving.clients import SERVE, TICK, Server, drive, request, serving

CLIENTS = (1, 8, 64)
MANY = 64  # clients of baselines in the first round only, and never of the slowest, which would take minutes
PACKAGES = ("numpy", "scipy", "onnxruntime", "fastapi", "uvicorn", "torch", "librosa")


class Endpoint(NamedTuple):
    """A server, and the fields of its requests beside the seed."""

    name: str
    server: Server
    path: str
    fields: dict[str, str]

    def drive(self, clients: int, seconds: float) -> list[float]:
        """Latencies in s of requests with a new seed each."""
        seeds = itertools.count(time.monotonic_ns() % 2**31)
        requests = (request(self.path, {"seed": seed, **self.fields}) for seed in seeds)
        return asyncio.run(drive(self.server.port, requests, clients, seconds))

    def counters(self) -> Figures:
        """Processor time of the server and of the clients, and that withheld by the host of a virtual machine, in s."""
        stolen = int(Path("/proc/stat").read_text().split()[8]) / TICK
        return {"cpu": self.server.cpu(), "client_cpu": time.process_time(), "stolen": stolen}


def start_all(model: str, cores: set[int], stack: ExitStack, options: argparse.Namespace) -> list[Endpoint]:
    """All servers, started and warm; they use no processor time while idle."""
    server = stack.enter_context(serving((*SERVE, model), cores=cores))
    path = f"/v1/models/{model}/sounds"
    endpoints = [Endpoint(name, server, path, {"quality": quality}) for name, quality in page.OURS.items()]
    for pipeline in itertools.islice(page.PIPELINES, 0 if options.alone else 1 if options.quick else None):
        command = ("-m", "benchmarks.serving.plain", "--model", model, "--pipeline", pipeline)
        baseline = stack.enter_context(serving(command, cores=cores, folder=ROOT))
        endpoints.append(Endpoint(pipeline, baseline, "/sounds", {}))
    for endpoint in endpoints:
        endpoint.drive(8, 0.1 if options.quick else 1.0)
    return endpoints


def measure_round(endpoint: Endpoint, clients: int, seconds: float) -> Figures:
    """Rate in sounds/s, latencies in ms, processor times per second and load of a round."""
    before = endpoint.counters()
    elapsed, latencies = timed(endpoint.drive, clients, seconds)
    after = endpoint.counters()
    used = {name: (after[name] - before[name]) / elapsed for name in after}
    milliseconds = [round(1000 * value, 1) for value in latencies]
    return {"rate": len(latencies) / elapsed, "latencies": milliseconds, "load": os.getloadavg()[0], **used}


def measure_set(model: str, cores: set[int], title: str, options: argparse.Namespace) -> Figures:
    """Measure all servers with one model on some cores; they take turns in every round."""
    allowed = os.sched_getaffinity(0)
    rounds: dict[tuple[str, int], list[Figures]] = defaultdict(list)
    with ExitStack() as stack:
        endpoints = start_all(model, cores, stack, options)
        os.sched_setaffinity(0, (allowed - cores) or allowed)
        stack.callback(os.sched_setaffinity, 0, allowed)
        turns = itertools.product(range(options.rounds), options.clients)
        for (turn, clients), endpoint in itertools.product(turns, endpoints):
            name = endpoint.name
            if name in page.OURS or clients < MANY or (turn == 0 and name != page.SLOWEST):
                log(f"{title}, round {turn + 1}, {clients} clients: {name}")
                rounds[name, clients].append(measure_round(endpoint, clients, options.seconds))
        servers = endpoints[:1] + endpoints[len(page.OURS) :]
        memory = {endpoint.name: endpoint.server.memory() for endpoint in servers}
    return {"model": model, "cores": len(cores), "memory": memory, "rows": summaries(rounds)}


def summaries(rounds: Mapping[tuple[str, int], Sequence[Figures]]) -> list[Figures]:
    """A row per server and number of clients: medians over rounds, and percentiles of the latencies of all rounds."""
    rows, servers = [], [*page.OURS, *page.PIPELINES]
    for name, clients in sorted(rounds, key=lambda case: (servers.index(case[0]), case[1])):
        turns = rounds[name, clients]
        latencies = sorted(itertools.chain.from_iterable(turn["latencies"] for turn in turns))
        speedup = {
            ours: statistics.median(a["rate"] / b["rate"] for a, b in zip(rounds[ours, clients], turns, strict=False))
            for ours in page.OURS
        }
        medians = {key: statistics.median(turn[key] for turn in turns) for key in turns[0] if key != "latencies"}
        p50, p99 = latencies[len(latencies) // 2], latencies[int(len(latencies) * 0.99)]
        rows.append({"server": name, "clients": clients, "speedup": speedup, "p50": p50, "p99": p99, **medians})
    return rows


def loop_times(seconds: float) -> list[float]:
    """Median, 99 % and 99.9 % percentile of the time of a fixed loop on the idle machine, in ms."""
    until, times = time.perf_counter() + seconds, list[float]()
    while time.perf_counter() < until:
        times.append(1000 * timed(lambda: sum(range(100_000)))[0])
    return [float(value) for value in np.percentile(times, (50, 99, 99.9))]


def measure(options: argparse.Namespace) -> Figures:
    allowed = os.sched_getaffinity(0)
    jitter = loop_times(0.1 if options.quick else 5.0)
    sets = {}
    for model, cores in itertools.product(options.models, ({min(allowed)}, allowed)):
        if not options.quick or len(cores) == 1:
            title = f"{model}, {len(cores)} {'core' if len(cores) == 1 else 'cores'}"
            sets[title] = measure_set(model, cores, title, options)
    machine = {"processor": processor(), "cores": len(allowed), "versions": versions(*PACKAGES), "loop_times": jitter}
    return {"machine": machine, "seconds": options.seconds, "rounds": options.rounds, "sets": sets}


def main() -> None:
    parser = command_line(__doc__, "serving.json")
    add = parser.add_argument
    add("--models", nargs="+", default=["digits", "drums"])
    add("--clients", nargs="+", type=int, default=CLIENTS)
    add("--seconds", type=float, default=2.5, help="length of a round (%(default)s)")
    add("--rounds", type=int, default=2)
    add("--quick", action="store_true", help="one model, one core, one baseline, one round of a moment")
    add("--alone", action="store_true", help="no baselines, and so without the extras `train` and `bench`")
    options = parser.parse_args()
    if options.quick:
        options.models, options.clients, options.seconds, options.rounds = options.models[:1], (1, 8), 0.3, 1
    record = options.out / "serving.json"
    if not options.render:
        save(measure(options), record)
    page.render(load(record), options.out)


if __name__ == "__main__":
    main()
