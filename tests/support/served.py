"""A server in a separate process, for tests."""

from __future__ import annotations

import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

TIMEOUT = 60.0  # s, on a busy machine


@contextmanager
def served(command: list[str], folder: Path) -> Iterator[tuple[str, subprocess.Popen[bytes]]]:
    """Run a server, and return its address and process."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    with tempfile.TemporaryFile() as log:  # a pipe that nobody reads would fill up and block the server
        process = subprocess.Popen([sys.executable, *command, "--port", str(port)], cwd=folder, stderr=log)
        try:
            deadline = time.monotonic() + TIMEOUT
            while True:
                try:
                    with urllib.request.urlopen(f"http://127.0.0.1:{port}/readyz", timeout=10):
                        break
                except OSError:
                    if process.poll() is not None or time.monotonic() > deadline:
                        log.seek(0)
                        pytest.fail(f"the server did not start: {log.read().decode()}")
                    time.sleep(0.1)
            yield f"http://127.0.0.1:{port}", process
        finally:
            if process.poll() is None:
                process.kill()
            process.wait(TIMEOUT)
