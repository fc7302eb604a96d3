"""A real server on a port: the classic front door and the command, asked over loopback, and ended by a signal."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import pytest

pytest.importorskip("fastapi", reason="the server needs the extra `serve`")

from soundgan.model import SoundGAN

ROOT = Path(__file__).parents[1]
PATIENCE = 60.0  # s for a server to start on a busy machine


@contextmanager
def served(command: list[str], folder: Path) -> Iterator[tuple[str, subprocess.Popen[str]]]:
    """Its address and process."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    process = subprocess.Popen(
        [sys.executable, *command, "--port", str(port)], cwd=folder, stderr=subprocess.PIPE, text=True
    )
    try:
        until = time.monotonic() + PATIENCE
        while True:
            try:
                with urllib.request.urlopen(f"http://127.0.0.1:{port}/readyz", timeout=10):
                    break
            except OSError:
                assert process.poll() is None and time.monotonic() < until, "it did not start"
                time.sleep(0.1)
        yield f"http://127.0.0.1:{port}", process
    finally:
        if process.poll() is None:
            process.kill()
        process.communicate()


def post(url: str, body: object) -> bytes:
    request = urllib.request.Request(url, json.dumps(body).encode(), {"Content-Type": "application/json"})
    with urllib.request.urlopen(request, timeout=PATIENCE) as answer:
        return answer.read()


def test_the_classic_front_door(tmp_path: Path) -> None:
    (tmp_path / "gan_config.json").write_bytes((ROOT / "gan_config.json").read_bytes())
    with served([str(ROOT / "app.py")], tmp_path) as (address, _):
        assert json.loads(post(f"{address}/infer", {"output_file": "x.wav"})) == {"output_path": "x.wav", "error": ""}
    assert (tmp_path / "x.wav").stat().st_size > 10_000


def test_what_was_taken_is_answered_before_the_end(model_folder: Path, model: SoundGAN, tmp_path: Path) -> None:
    command = ["-c", "from soundgan.cli import main; main()", "serve", str(model_folder)]
    with served(command, tmp_path) as (address, process), ThreadPoolExecutor(8) as pool:
        url = f"{address}/v1/models/tiny/sounds"
        asked = [pool.submit(post, url, {"seed": seed, "quality": "best"}) for seed in range(8)]
        while process.poll() is None and not any(one.done() for one in asked):
            time.sleep(0.01)
        process.send_signal(signal.SIGTERM)
        answers = [one.result() for one in asked]
        assert process.wait(PATIENCE) in (0, -signal.SIGTERM)
    assert answers == [model.generate(seed=seed, quality="best")[0].encode() for seed in range(8)]


def test_the_server_never_imports_pytorch() -> None:
    code = "import sys, soundgan.server.run; print('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=dict(os.environ))
    assert done.stdout == "False\n", done.stderr
