"""Hard use of a real server: thousands of requests, some invalid or disconnected, and its shutdown under load.

    python -m benchmarks.serving.hard_use

Prints the results, writes them to `hard_use.json` and `hard_use.md`, and fails if a promise is broken: complete
responses, each sound identical to the one that another process generates alone, no error but 503, constant memory, and
a response to every request that was read before SIGTERM.
"""

from __future__ import annotations

import asyncio
import os
import random
import signal
import statistics
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from benchmarks.common import command_line, load, save
from benchmarks.serving import hard_use_page
from benchmarks.serving.clients import SERVE, Connection, Response, Server, serving
from benchmarks.serving.workload import (
    SoundRequest,
    content_kind,
    invalid_requests,
    reference_digests,
    response_digests,
    sound_requests,
)
from soundgan import SoundGAN

MAX_READ_DELAY = 0.25  # s after which the server has read a request
MAX_CHILD_LIFETIME = 10.0  # s that a child process may outlive the server
MEMORY_INTERVAL = 0.2  # s between two measurements of the memory
MAX_GROWTH = 0.05  # of the memory after the warm-up, for free lists and the like
WARM_UP, LAST = 0.25, 0.9  # of the requests: memory is compared between the first and after the second


class Workload(NamedTuple):
    """A choice of requests, and the digests of their sounds."""

    requests: Sequence[SoundRequest]
    digests: Mapping[str, str]

    def error(self, sound_request: SoundRequest, response: Response) -> list[str]:
        """Description of an error in a response, if there is one."""
        if response.status != 200:
            return [f"{response.status} for {sound_request}: {response.body[:300]!r}"]
        if response_digests(response) != [self.digests[key] for key in sound_request.sound_keys()]:
            return [f"sound differs from the reference: {sound_request}"]
        return []


@dataclass
class LoadResult:
    """Counts of the responses by kind, broken promises, and (requests done, MiB) of the memory."""

    done: Counter[str] = field(default_factory=Counter)
    violations: list[str] = field(default_factory=list)
    memory: list[tuple[int, float]] = field(default_factory=list)
    seconds: float = 0.0
    sounds: int = 0

    def growth(self) -> tuple[float, float]:
        """Memory after the warm-up and at the end, in MiB, medians over an interval each."""
        total = self.memory[-1][0]
        warm = [amount for done, amount in self.memory if WARM_UP * total <= done <= 2 * WARM_UP * total]
        last = [amount for done, amount in self.memory if done >= LAST * total]
        return statistics.median(warm or [0.0]), statistics.median(last)


async def run_load(server: Server, workload: Workload, *, count: int, clients: int, share: float = 0.01) -> LoadResult:
    """Send `count` requests; a `share` of them disconnect early, and the same share is invalid."""
    result, remaining, rng = LoadResult(), iter(range(count)), random.Random(1)
    invalid = invalid_requests(workload.requests[0].model)
    started = time.perf_counter()

    async def client() -> None:
        with closing(Connection(server.port)) as connection:
            for _ in remaining:
                kind = rng.random()
                try:
                    if kind < share:
                        await disconnect(connection, rng.choice(workload.requests), result, rng)
                    elif kind < 2 * share:
                        await send_invalid(connection, *rng.choice(invalid), result)
                    else:
                        await send_valid(connection, rng.choice(workload.requests), workload, result)
                except (OSError, EOFError) as error:
                    result.violations.append(f"a connection broke: {error!r}")
                    connection.close()

    async def watch() -> None:
        while True:
            result.memory.append((result.done.total(), server.memory()))
            await asyncio.sleep(MEMORY_INTERVAL)

    watching = asyncio.create_task(watch())
    await asyncio.gather(*(client() for _ in range(clients)))
    watching.cancel()
    result.memory.append((result.done.total(), server.memory()))
    result.seconds = time.perf_counter() - started
    return result


async def send_valid(
    connection: Connection, sound_request: SoundRequest, workload: Workload, result: LoadResult
) -> None:
    """Send a request until the queue has room, and check the response."""
    while (response := await connection.exchange(sound_request.encode())).status == 503:
        result.done["busy, sent again"] += 1
        if "retry-after" not in response.headers:
            result.violations.append("503 without Retry-After")
        await asyncio.sleep(0.2)
    errors = workload.error(sound_request, response)
    result.violations += errors
    if response.status == 200:
        result.done[f"{sound_request.format} as {content_kind(response)}"] += 1
        result.sounds += sound_request.n


async def send_invalid(
    connection: Connection, error: str, content: bytes, statuses: set[int], result: LoadResult
) -> None:
    response = await connection.exchange(content)
    if response.status not in statuses:
        result.violations.append(f"{error}: {response.status} {response.body[:300]!r}")
    result.done[f"refused: {error}"] += 1


async def disconnect(
    connection: Connection, sound_request: SoundRequest, result: LoadResult, rng: random.Random
) -> None:
    """Disconnect during the request, after it, while it is queued or generated, or during the response."""
    content = sound_request.encode()
    moment = rng.choice(("during the request", "after the request", "while it waits", "during the response"))
    await connection.send(content[: len(content) // 2] if moment == "during the request" else content)
    if moment == "while it waits":
        await asyncio.sleep(0.05)
    if moment == "during the response":
        await connection.read(100)
    connection.close()
    result.done[f"disconnected {moment}"] += 1


@dataclass
class ShutdownResult:
    """Counts of the requests of a server that is stopped under load.

    Args:
        answered: with a response after the signal.
        refused: connections.
        unread: without a single byte of a response, sent shortly before the signal or after it.
        violations: broken promises.
        seconds: from the signal to the end of the process.
        code: exit status.
    """

    answered: int = 0
    refused: int = 0
    unread: int = 0
    violations: list[str] = field(default_factory=list)
    seconds: float = 0.0
    code: int | None = None


async def shut_down(server: Server, workload: Workload, *, clients: int, after: float) -> ShutdownResult:
    """Send requests from many clients, SIGTERM after `after` seconds, and classify the result of every request."""
    result, rng = ShutdownResult(), random.Random(2)
    signaled: float | None = None

    async def client() -> None:
        with closing(Connection(server.port)) as connection:
            while await exchange(connection):
                pass

    async def exchange(connection: Connection) -> bool:
        """Send a request; return True if another may follow."""
        sound_request = rng.choice(workload.requests)
        try:
            await connection.send(sound_request.encode())
        except OSError:
            result.refused += 1
            return False
        sent = time.perf_counter()
        try:
            response = await connection.receive()
        except (OSError, EOFError) as error:
            was_read = signaled is None or sent < signaled - MAX_READ_DELAY
            if getattr(error, "partial", b"") or was_read:
                result.violations.append(f"incomplete response, or none to a request that was read: {error!r}")
            result.unread += 1
            return False
        if response.status != 503:
            result.violations += workload.error(sound_request, response)
        result.answered += signaled is not None
        return True

    async def stop() -> None:
        nonlocal signaled
        await asyncio.sleep(after)
        signaled = time.perf_counter()
        server.process.send_signal(signal.SIGTERM)
        result.code = await asyncio.to_thread(server.process.wait, 60)
        result.seconds = time.perf_counter() - signaled

    children = server.processes()[1:]
    await asyncio.gather(stop(), *(client() for _ in range(clients)))
    until = time.monotonic() + MAX_CHILD_LIFETIME
    while (alive := [pid for pid in children if Path(f"/proc/{pid}").exists()]) and time.monotonic() < until:
        await asyncio.sleep(0.1)
    result.violations += [f"process {pid} is still running" for pid in alive]
    return result


def violations(load_result: LoadResult, shutdown: ShutdownResult) -> list[str]:
    """All broken promises."""
    warm, last = load_result.growth()
    growth = [f"memory grew from {warm:.0f} to {last:.0f} MiB"] if last > warm * (1 + MAX_GROWTH) else []
    code = [] if shutdown.code in (0, -signal.SIGTERM) else [f"exit status {shutdown.code}"]
    return load_result.violations + growth + shutdown.violations + code


def main() -> None:
    parser = command_line(__doc__, "hard_use")
    parser.add_argument("--requests", type=int, default=10_000)
    parser.add_argument("--clients", type=int, default=64)
    parser.add_argument("--different", type=int, default=400, help="different requests (%(default)s)")
    options = parser.parse_args()
    record = options.out / "hard_use.json"
    if not options.render:
        models = {name: SoundGAN.load(name).labels for name in ("digits", "drums")}
        requests = sound_requests(models, random.Random(0), options.different)
        workload = Workload(requests, reference_digests({name: name for name in models}, requests))
        with (
            tempfile.TemporaryDirectory() as folder,
            serving([*SERVE, *models], "/readyz", folder=Path(folder)) as server,
        ):
            result = asyncio.run(run_load(server, workload, count=options.requests, clients=options.clients))
            shutdown = asyncio.run(shut_down(server, workload, clients=options.clients, after=3.0))
        warm, last = result.growth()
        save({
            "requests": options.requests, "clients": options.clients, "seconds": result.seconds,
            "sounds": result.sounds, "done": dict(sorted(result.done.items())), "warm": warm, "last": last,
            "memory": result.memory[:: max(1, len(result.memory) // 40)], "load": os.getloadavg()[0],
            "cores": len(os.sched_getaffinity(0)), "violations": violations(result, shutdown),
            "shutdown": {key: value for key, value in vars(shutdown).items() if key != "violations"},
        }, record)  # fmt: skip
    figures = load(record)
    hard_use_page.render(figures, options.out)
    print((options.out / "hard_use.md").read_text(encoding="utf-8"))
    sys.exit("\n".join(figures["violations"][:20]) or None)


if __name__ == "__main__":
    main()
