"""Stress test of a real server: thousands of requests, some invalid or disconnected, and its shutdown under load.

    python -m benchmarks.serving.stress

Prints the results, writes them to `stress.json` and `stress.md`, and fails if a check fails: complete responses, each
sound identical to the one that another process generates alone, no error but 503, constant memory, and a response to
every request that was read before SIGTERM.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import random
import signal
import statistics
import sys
import tempfile
import time
from collections import Counter
from contextlib import closing
from pathlib import Path

from benchmarks.common import Figures, command_line, load, save, timed, write_page
from benchmarks.serving.clients import SERVE, Connection, Response, Server, serving
from benchmarks.serving.workload import SoundRequest, Workload, invalid_requests, random_workload, response_digests
from soundgan import SoundGAN

MODELS = ("digits", "drums")
MAX_READ_DELAY = 0.25  # s after which the server has read a request
MAX_CHILD_LIFETIME = 10.0  # s that a child process may outlive the server
MEMORY_INTERVAL = 0.2  # s between two measurements of the memory
MAX_GROWTH = 0.05  # of the memory after the warm-up, for free lists and the like
WARM_UP, LAST = 0.25, 0.9  # of the requests: memory is compared between the first and after the second


class StressTest:
    """Valid, invalid and disconnected requests to a server, of many clients at a time.

    Attributes:
        done: counts of the responses by kind.
        sounds: count of the sounds that were received.
        failures: failed checks.
        memory: (requests done, MiB).
    """

    def __init__(self, server: Server, workload: Workload, clients: int) -> None:
        self.server, self.workload, self.clients = server, workload, clients
        self.requests, self.rng, self.done, self.sounds = list(workload), random.Random(1), Counter[str](), 0
        self.invalid = invalid_requests(self.requests[0].model)
        self.failures: list[str] = []
        self.memory: list[tuple[int, float]] = []

    async def run(self, count: int, share: float = 0.01) -> None:
        """Send `count` requests; a `share` of them disconnect early, and the same share is invalid."""
        remaining, kinds = iter(range(count)), (self.disconnect, self.send_invalid, self.send_valid)

        async def client() -> None:
            with closing(Connection(self.server.port)) as connection:
                for _ in remaining:
                    (send,) = self.rng.choices(kinds, (share, share, 1 - 2 * share))
                    try:
                        await send(connection)
                    except (OSError, EOFError) as error:
                        self.failures.append(f"a connection broke: {error!r}")
                        connection.close()

        async def watch() -> None:
            while True:
                self.measure_memory()
                await asyncio.sleep(MEMORY_INTERVAL)

        watching = asyncio.create_task(watch())
        await asyncio.gather(*(client() for _ in range(self.clients)))
        watching.cancel()
        self.measure_memory()

    async def send_valid(self, connection: Connection) -> None:
        """Send a request until the queue has room, and check the response."""
        sound_request = self.rng.choice(self.requests)
        while (response := await connection.exchange(sound_request.encode())).status == 503:
            self.done["busy, sent again"] += 1
            if "retry-after" not in response.headers:
                self.failures.append("503 without Retry-After")
            await asyncio.sleep(0.2)
        self.check(sound_request, response)
        if response.status == 200:
            self.done[f"{sound_request.format} as {response.content_type.partition('/')[2]}"] += 1
            self.sounds += sound_request.n

    async def send_invalid(self, connection: Connection) -> None:
        error, content, status = self.rng.choice(self.invalid)
        response = await connection.exchange(content)
        if response.status != status:
            self.failures.append(f"{error}: {response.status} {response.body[:300]!r}")
        self.done[f"refused: {error}"] += 1

    async def disconnect(self, connection: Connection) -> None:
        """Disconnect during the request, after it, while it is queued or generated, or during the response."""
        content = self.rng.choice(self.requests).encode()
        moment = self.rng.choice(("during the request", "after the request", "while it waits", "during the response"))
        await connection.send(content[: len(content) // 2] if moment == "during the request" else content)
        if moment == "while it waits":
            await asyncio.sleep(0.05)
        if moment == "during the response":
            await connection.read(100)
        connection.close()
        self.done[f"disconnected {moment}"] += 1

    def check(self, sound_request: SoundRequest, response: Response) -> None:
        if response.status != 200:
            self.failures.append(f"{response.status} for {sound_request}: {response.body[:300]!r}")
        elif response_digests(response) != self.workload[sound_request]:
            self.failures.append(f"sound differs from the reference: {sound_request}")

    def measure_memory(self) -> None:
        self.memory.append((self.done.total(), self.server.memory()))

    def growth(self) -> tuple[float, float]:
        """Memory after the warm-up and at the end, in MiB, medians over an interval each."""
        total = self.memory[-1][0]
        warm = [amount for done, amount in self.memory if WARM_UP * total <= done <= 2 * WARM_UP * total]
        last = [amount for done, amount in self.memory if done >= LAST * total]
        return statistics.median(warm or [0.0]), statistics.median(last)

    async def shut_down(self, after: float) -> Figures:
        """Send requests from all clients, SIGTERM after `after` seconds, and classify the result of every request.

        Returns:
            Counts of requests `answered` with a response after the signal and `unread`, without a single byte of a
            response, sent shortly before the signal or after it; count of `refused` connections; `seconds` from the
            signal to the end of the process; its exit status, `code`.
        """
        counts, children, signaled = Counter(answered=0, refused=0, unread=0), self.server.processes()[1:], None

        async def client() -> None:
            with closing(Connection(self.server.port)) as connection:
                while await exchange(connection):
                    pass

        async def exchange(connection: Connection) -> bool:
            """Send a request; return True if another may follow."""
            sound_request = self.rng.choice(self.requests)
            try:
                await connection.send(sound_request.encode())
            except OSError:
                counts["refused"] += 1
                return False
            sent = time.perf_counter()
            try:
                response = await connection.receive()
            except (OSError, EOFError) as error:
                was_read = signaled is None or sent < signaled - MAX_READ_DELAY
                if getattr(error, "partial", b"") or was_read:
                    self.failures.append(f"incomplete response, or none to a request that was read: {error!r}")
                counts["unread"] += 1
                return False
            if response.status != 503:
                self.check(sound_request, response)
            counts["answered"] += signaled is not None
            return True

        clients = [asyncio.create_task(client()) for _ in range(self.clients)]
        await asyncio.sleep(after)
        signaled = time.perf_counter()
        self.server.process.send_signal(signal.SIGTERM)
        code = await asyncio.to_thread(self.server.process.wait, 60)
        seconds = time.perf_counter() - signaled
        await asyncio.gather(*clients)
        if code not in (0, -signal.SIGTERM):
            self.failures.append(f"exit status {code}")
        until = time.monotonic() + MAX_CHILD_LIFETIME
        while (alive := [pid for pid in children if Path(f"/proc/{pid}").exists()]) and time.monotonic() < until:
            await asyncio.sleep(0.1)
        self.failures += [f"process {pid} is still running" for pid in alive]
        return {**counts, "seconds": seconds, "code": code}


def measure(options: argparse.Namespace) -> Figures:
    workload = random_workload({name: SoundGAN.load(name) for name in MODELS}, options.different)
    with tempfile.TemporaryDirectory() as folder, serving([*SERVE, *MODELS], folder=Path(folder)) as server:
        test = StressTest(server, workload, options.clients)
        seconds, _ = timed(asyncio.run, test.run(options.requests))
        shutdown = asyncio.run(test.shut_down(after=3.0))
    warm, last = test.growth()
    if last > warm * (1 + MAX_GROWTH):
        test.failures.append(f"memory grew from {warm:.0f} to {last:.0f} MiB")
    return {
        "requests": options.requests, "clients": options.clients, "seconds": seconds, "sounds": test.sounds,
        "done": dict(sorted(test.done.items())), "warm": warm, "last": last,
        "memory": test.memory[:: max(1, len(test.memory) // 40)], "load": os.getloadavg()[0],
        "cores": len(os.sched_getaffinity(0)), "failures": test.failures, "shutdown": shutdown,
    }  # fmt: skip


def main() -> None:
    parser = command_line(__doc__, "stress.json")
    parser.add_argument("--requests", type=int, default=10_000)
    parser.add_argument("--clients", type=int, default=64)
    parser.add_argument("--different", type=int, default=400, help="different requests (%(default)s)")
    options = parser.parse_args()
    record = options.out / "stress.json"
    if not options.render:
        save(measure(options), record)
    figures = load(record)
    write_page("serving/stress.md.j2", options.out, figures)
    print((options.out / "stress.md").read_text(encoding="utf-8"))
    sys.exit("\n".join(figures["failures"][:20]) or None)


if __name__ == "__main__":
    main()
