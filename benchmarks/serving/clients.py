"""Clients over loopback, and the server that they ask, for `serving.py` and `hard_use.py`.

HTTP/1.1 by hand on raw sockets: what a client library takes of the machine is taken from the server, who shares it.
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
import urllib.error
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from typing import NamedTuple

HOST = "127.0.0.1"
START = 120.0  # s that a server may take to start
TICK = os.sysconf("SC_CLK_TCK")


class Answer(NamedTuple):
    """What came back: the status, headers with names in lower case, and the whole body."""

    status: int
    headers: dict[str, str]
    body: bytes


def request(path: str, body: object = None, *, method: str = "POST") -> bytes:
    """The bytes of a request; a body that is not bytes is sent as JSON."""
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    head = f"{method} {path} HTTP/1.1\r\nhost: {HOST}\r\ncontent-type: application/json\r\n"
    return f"{head}content-length: {len(content)}\r\n\r\n".encode() + content


class Connection:
    """One client, on one connection that is kept open."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._reader: asyncio.StreamReader | None = None
        self._writer: asyncio.StreamWriter | None = None

    async def send(self, content: bytes) -> None:
        """Send a request, or a part of one. Raises `OSError` if nobody listens."""
        if self._writer is None:
            self._reader, self._writer = await asyncio.open_connection(HOST, self._port)
        self._writer.write(content)
        await self._writer.drain()

    async def answer(self) -> Answer:
        """The answer to what was sent last.

        Raises:
            OSError: the connection broke.
            asyncio.IncompleteReadError: it ended within an answer, or, where `partial` is empty, before one.
        """
        assert self._reader is not None
        lines = (await self._reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
        headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines[1:])}
        body = await self._reader.readexactly(int(headers.get("content-length", 0)))
        if headers.get("connection") == "close":
            self.close()
        return Answer(int(lines[0].split()[1]), headers, body)

    async def ask(self, content: bytes) -> Answer:
        await self.send(content)
        return await self.answer()

    async def read_some(self, count: int) -> bytes:
        """Up to so many bytes of an answer."""
        assert self._reader is not None
        return await self._reader.read(count)

    def close(self) -> None:
        """Leave, whatever is still to come."""
        if self._writer is not None:
            self._writer.transport.abort()
            self._writer.close()
        self._reader = self._writer = None


async def drive(port: int, requests: Iterator[bytes], clients: int, seconds: float) -> list[float]:
    """How long every answer took, in s, where each of some clients asks again as soon as it is answered.

    Raises:
        RuntimeError: an answer was not a sound.
    """
    taken: list[float] = []
    until = time.perf_counter() + seconds

    async def ask() -> None:
        with closing(Connection(port)) as connection:
            while (start := time.perf_counter()) < until:
                answer = await connection.ask(next(requests))
                if answer.status != 200:
                    raise RuntimeError(f"status {answer.status}: {answer.body[:200]!r}")
                taken.append(time.perf_counter() - start)

    await asyncio.gather(*(ask() for _ in range(clients)))
    return taken


class Server:
    """A process that serves."""

    def __init__(self, process: subprocess.Popen[bytes], port: int) -> None:
        self.process, self.port = process, port

    def processes(self) -> list[int]:
        """Its number and those of its children."""
        tasks = Path(f"/proc/{self.process.pid}/task").glob("*/children")
        return [self.process.pid, *(int(child) for task in tasks for child in task.read_text().split())]

    def cpu(self) -> float:
        """Processor time that all of them have used, in s."""
        fields = [Path(f"/proc/{one}/stat").read_text().rpartition(")")[2].split() for one in self.processes()]
        return sum(int(one[11]) + int(one[12]) for one in fields) / TICK

    def memory(self) -> float:
        """What all of them hold in memory, in MiB."""
        pages = [int(Path(f"/proc/{one}/statm").read_text().split()[1]) for one in self.processes()]
        return sum(pages) * resource.getpagesize() / 2**20

    def answers(self, path: str) -> bool:
        try:
            with urllib.request.urlopen(f"http://{HOST}:{self.port}{path}", timeout=START) as answer:
                return answer.status == 200
        except (OSError, urllib.error.HTTPError):
            return False


@contextmanager
def serving(
    command: Sequence[str], ready: str, *, cores: set[int] | None = None, folder: Path | None = None
) -> Iterator[Server]:
    """Run `python COMMAND --port PORT` until the block ends, from when on `ready` is answered.

    Args:
        cores: those that it may use; all if left out.
    """
    with socket.socket() as free:
        free.bind((HOST, 0))
        port = free.getsockname()[1]
    allowed = os.sched_getaffinity(0)
    if cores:
        os.sched_setaffinity(0, cores)  # what is started takes it over
    try:
        process = subprocess.Popen(
            [sys.executable, *command, "--port", str(port)], cwd=folder, stderr=subprocess.DEVNULL
        )
    finally:
        os.sched_setaffinity(0, allowed)
    server = Server(process, port)
    try:
        until = time.monotonic() + START
        while not server.answers(ready):
            if process.poll() is not None or time.monotonic() > until:
                raise RuntimeError(f"{' '.join(command)}: does not serve; start it by hand to see why")
            time.sleep(0.1)
        yield server
    finally:
        if process.poll() is None:
            process.kill()
        process.wait()
