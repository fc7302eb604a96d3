"""HTTP clients over loopback, and the server process that they send to.

HTTP/1.1 on raw sockets: a client library would take processor time from the server on the same cores.
"""

from __future__ import annotations

import asyncio
import json
import os
import resource
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from typing import NamedTuple

HOST = "127.0.0.1"
START_TIMEOUT = 120.0  # s
TICK = os.sysconf("SC_CLK_TCK")
SERVE = ("-c", "from soundgan.cli.app import main; main()", "serve")


class Response(NamedTuple):
    """Status, headers with names in lower case, and the whole body."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def content_type(self) -> str:
        return self.headers["content-type"]


def request(path: str, body: object = None, *, method: str = "POST") -> bytes:
    """Bytes of a request; a body that is not bytes is sent as JSON."""
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    head = f"{method} {path} HTTP/1.1\r\nhost: {HOST}\r\ncontent-type: application/json\r\n"
    return f"{head}content-length: {len(content)}\r\n\r\n".encode() + content


class Connection:
    """A client with a connection that is kept open."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._reader: asyncio.StreamReader | None = None
        self._writer: asyncio.StreamWriter | None = None

    async def send(self, content: bytes) -> None:
        """Send a request, or a part of one. Raises `OSError` if no server listens."""
        if self._writer is None:
            self._reader, self._writer = await asyncio.open_connection(HOST, self._port)
        self._writer.write(content)
        await self._writer.drain()

    async def receive(self) -> Response:
        """Response to the last request.

        Raises:
            OSError: the connection broke.
            asyncio.IncompleteReadError: it ended within a response, or, if `partial` is empty, before one.
        """
        assert self._reader is not None
        lines = (await self._reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
        headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines[1:])}
        body = await self._reader.readexactly(int(headers.get("content-length", 0)))
        if headers.get("connection") == "close":
            self.close()
        return Response(int(lines[0].split()[1]), headers, body)

    async def exchange(self, content: bytes) -> Response:
        await self.send(content)
        return await self.receive()

    async def read(self, count: int) -> bytes:
        """Up to `count` bytes of a response."""
        assert self._reader is not None
        return await self._reader.read(count)

    def close(self) -> None:
        """Disconnect at once."""
        if self._writer is not None:
            self._writer.transport.abort()
            self._writer.close()
        self._reader = self._writer = None


async def drive(port: int, requests: Iterator[bytes], clients: int, seconds: float) -> list[float]:
    """Latency of every response, in s; each client sends its next request as soon as it has a response.

    Raises:
        RuntimeError: a response was not a sound.
    """
    latencies: list[float] = []
    until = time.perf_counter() + seconds

    async def client() -> None:
        with closing(Connection(port)) as connection:
            while (start := time.perf_counter()) < until:
                response = await connection.exchange(next(requests))
                if response.status != 200:
                    raise RuntimeError(f"status {response.status}: {response.body[:200]!r}")
                latencies.append(time.perf_counter() - start)

    await asyncio.gather(*(client() for _ in range(clients)))
    return latencies


class Server:
    """A server and its child processes."""

    def __init__(self, process: subprocess.Popen[bytes], port: int) -> None:
        self.process, self.port = process, port

    def processes(self) -> list[int]:
        """Process IDs, that of the server first."""
        tasks = Path(f"/proc/{self.process.pid}/task").glob("*/children")
        return [self.process.pid, *(int(child) for task in tasks for child in task.read_text().split())]

    def cpu(self) -> float:
        """Processor time that all processes have used, in s."""
        fields = [Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split() for pid in self.processes()]
        return sum(int(times[11]) + int(times[12]) for times in fields) / TICK

    def memory(self) -> float:
        """Resident memory of all processes, in MiB."""
        pages = [int(Path(f"/proc/{pid}/statm").read_text().split()[1]) for pid in self.processes()]
        return sum(pages) * resource.getpagesize() / 2**20

    def is_ready(self) -> bool:
        try:
            with urllib.request.urlopen(f"http://{HOST}:{self.port}/readyz", timeout=START_TIMEOUT):
                return True
        except OSError:
            return False


@contextmanager
def serving(command: Sequence[str], *, cores: set[int] | None = None, folder: Path | None = None) -> Iterator[Server]:
    """Run `python COMMAND --port PORT` until the block ends, which begins when the server is ready.

    Args:
        cores: the cores that it may use; all if left out.
    """
    with socket.socket() as free:
        free.bind((HOST, 0))
        port = free.getsockname()[1]
    allowed = os.sched_getaffinity(0)
    os.sched_setaffinity(0, cores or allowed)  # inherited by the process
    try:
        process = subprocess.Popen(
            [sys.executable, *command, "--port", str(port)], cwd=folder, stderr=subprocess.DEVNULL
        )
    finally:
        os.sched_setaffinity(0, allowed)
    server, until = Server(process, port), time.monotonic() + START_TIMEOUT
    try:
        while not server.is_ready():
            if process.poll() is not None or time.monotonic() > until:
                raise RuntimeError(f"{' '.join(command)}: does not respond; start it by hand to see its errors")
            time.sleep(0.1)
        yield server
    finally:
        process.kill()
        process.wait()
