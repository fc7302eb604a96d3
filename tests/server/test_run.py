"""Real servers on a port, started by `app.py` and `soundgan serve`, and stopped by a signal."""

from __future__ import annotations

import http.client
import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.parse
import urllib.request
from contextlib import ExitStack, closing
from pathlib import Path

import pytest
from served import TIMEOUT, served

pytest.importorskip("fastapi", reason="the server needs the extra `serve`")

from soundgan import audio
from soundgan.model import SoundGAN
from soundgan.server.run import page_url

ROOT = Path(__file__).parents[2]


def post(url: str, body: object) -> bytes:
    request = urllib.request.Request(url, json.dumps(body).encode(), {"Content-Type": "application/json"})
    with urllib.request.urlopen(request, timeout=TIMEOUT) as response:
        return response.read()


def status(url: str, **headers: str) -> int:
    names = {name.replace("_", "-"): value for name, value in headers.items()}
    try:
        with urllib.request.urlopen(urllib.request.Request(url, headers=names), timeout=TIMEOUT) as response:
            return response.status
    except urllib.error.HTTPError as error:
        with error:
            return error.code


def begin(address: str, path: str, length: int) -> socket.socket:
    """Send the headers of a request that the server has certainly accepted, since it requests the body."""
    connection = socket.create_connection(("127.0.0.1", int(address.rpartition(":")[2])), timeout=TIMEOUT)
    head = f"POST {path} HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nConnection: close\r\n"
    connection.sendall(f"{head}Expect: 100-continue\r\nContent-Length: {length}\r\n\r\n".encode())
    received = b""
    while not received.endswith(b"\r\n\r\n"):
        received += connection.recv(1)
    assert received.startswith(b"HTTP/1.1 100")
    return connection


def read_all(connection: socket.socket) -> bytes:
    received = b""
    while part := connection.recv(65536):
        received += part
    return received


def children(process: int) -> list[int]:
    return [int(pid) for task in Path(f"/proc/{process}/task").glob("*/children") for pid in task.read_text().split()]


def read_body(connection: socket.socket) -> bytes:
    head, _, body = read_all(connection).partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 200")
    return body


def test_app_py_serves_infer(tmp_path: Path) -> None:
    (tmp_path / "gan_config.json").write_bytes((ROOT / "gan_config.json").read_bytes())
    with served([str(ROOT / "app.py")], tmp_path) as (address, _):
        assert json.loads(post(f"{address}/infer", {"output_file": "x.wav"})) == {"output_path": "x.wav", "error": ""}
    assert (tmp_path / "x.wav").stat().st_size > 10_000


def test_loopback_is_recognized_in_any_notation(tmp_path: Path) -> None:
    with served(["-m", "soundgan", "serve", "digits", "--host", "127.1"], tmp_path) as (address, _):
        assert status(f"{address}/v1/models", Host="evil.example") == 421


def test_app_py_uses_its_settings_file(model_folder: Path, tmp_path: Path) -> None:
    values = {**json.loads((ROOT / "gan_config.json").read_bytes()), "saveroot": str(model_folder)}
    (tmp_path / "gan_config.json").write_text(json.dumps({**values, "original_image_size": [256, 64]}))
    with served([str(ROOT / "app.py")], tmp_path) as (address, _):
        assert json.loads(post(f"{address}/infer", {"output_file": "x.wav"}))["error"] == ""
    assert audio.probe(tmp_path / "x.wav").frames == 64 * 128, "original_image_size has four times as many frames"


def test_server_on_loopback_refuses_other_hosts_and_limits_each_client(model_folder: Path, tmp_path: Path) -> None:
    command = ["-c", "from soundgan.cli.app import main; main()", "serve", str(model_folder), "--rate-limit", "2"]
    with served([*command, "--allow-host", "sounds.example", "--output-folder", "new/sounds"], tmp_path) as (
        address,
        _,
    ):
        assert (tmp_path / "new" / "sounds").is_dir()
        for host, expected in (("evil.example", 421), ("sounds.example", 200)):
            assert status(f"{address}/v1/models", Host=host) == expected
        # A proxy on this machine names the client of each request; each client has its own limit.
        for client, statuses in (("10.0.0.1", [200, 200, 429]), ("10.0.0.2", [200])):
            spectrogram = f"{address}/v1/models/tiny/spectrogram.png?seed=1"
            assert [status(spectrogram, X_Forwarded_For=client) for _ in statuses] == statuses


def test_shutdown_answers_accepted_requests(model_folder: Path, model: SoundGAN, tmp_path: Path) -> None:
    command = ["-c", "from soundgan.cli.app import main; main()", "serve", str(model_folder)]
    with served(command, tmp_path) as (address, process), ExitStack() as stack:
        bodies = [json.dumps({"seed": seed, "quality": "best"}).encode() for seed in range(8)]
        accepted = [
            stack.enter_context(closing(begin(address, "/v1/models/tiny/sounds", len(body)))) for body in bodies
        ]
        for connection, body in zip(accepted, bodies, strict=True):
            connection.sendall(body)
        process.send_signal(signal.SIGTERM)
        bodies_received = [read_body(connection) for connection in accepted]
        assert process.wait(TIMEOUT) in (0, -signal.SIGTERM)
    assert bodies_received == [model.generate(seed=seed, quality="best")[0].encode() for seed in range(8)]


@pytest.mark.skipif(sys.platform != "linux", reason="processes are looked up in /proc")
def test_shutdown_kills_workers_that_hang(model_folder: Path, tmp_path: Path) -> None:
    code = "import soundgan.server.run as run; run.SHUTDOWN_TIMEOUT = 1; from soundgan.cli.app import main; main()"
    command = ["-c", code, "serve", str(model_folder), "--processes", "2"]
    with served(command, tmp_path) as (address, process), ExitStack() as stack:
        workers = [pid for pid in children(process.pid) if b"spawn_main" in Path(f"/proc/{pid}/cmdline").read_bytes()]
        assert len(workers) == 2
        for worker in workers:
            os.kill(worker, signal.SIGSTOP)
        accepted = [stack.enter_context(closing(begin(address, "/v1/models/tiny/sounds", 2))) for _ in range(3)]
        for connection in accepted:
            connection.sendall(b"{}")
        process.send_signal(signal.SIGTERM)
        start = time.monotonic()
        for connection in accepted:
            head, _, body = read_all(connection).partition(b"\r\n\r\n")
            assert head.startswith(b"HTTP/1.1 503") and b"content-type: application/problem+json" in head.lower()
            assert b"connection: close" in head.lower() and "the server is stopping" in json.loads(body)["detail"]
        assert process.wait(TIMEOUT) in (0, -signal.SIGTERM)
        assert time.monotonic() - start < TIMEOUT / 2
        assert not any(Path(f"/proc/{pid}").exists() for pid in workers)


def test_server_never_imports_torch() -> None:
    code = "import sys, soundgan.server.run; print('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=dict(os.environ))
    assert done.stdout == "False\n", done.stderr


def test_worker_processes_import_no_web_framework() -> None:
    """They import the main module, whichever it is, and `workers`."""
    code = "import sys, app, soundgan.server.workers; print('fastapi' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert done.stdout == "False\n", done.stderr


def test_response_is_sent_without_delay(model_folder: Path, tmp_path: Path) -> None:
    """With Nagle's algorithm, every response but the first would wait 40 ms for an acknowledgement."""
    command = ["-c", "from soundgan.cli.app import main; main()", "serve", str(model_folder)]
    with served(command, tmp_path) as (address, _):
        url = urllib.parse.urlsplit(address)
        connection = http.client.HTTPConnection(url.hostname or "", url.port, timeout=TIMEOUT)
        seconds = []
        for _ in range(20):
            start = time.perf_counter()
            connection.request("GET", "/healthz")
            assert connection.getresponse().read()
            seconds.append(time.perf_counter() - start)
        connection.close()
    assert min(seconds[1:]) < 0.03


def test_server_logs_the_url_of_its_page(model_folder: Path, tmp_path: Path) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "soundgan", "serve", str(model_folder), "--processes", "1", "--port", str(port)]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True, cwd=tmp_path) as process:
        try:
            assert process.stderr is not None
            (url,) = next(urls for line in process.stderr if (urls := re.findall(r"Ready: open (http://\S+) ", line)))
            assert url == f"http://127.0.0.1:{port}/" and status(url) == 200
        finally:
            process.kill()


@pytest.mark.parametrize(
    "family, host, page",
    [
        (socket.AF_INET, "127.0.0.1", "127.0.0.1"), (socket.AF_INET, "0.0.0.0", "localhost"),
        (socket.AF_INET, "127.0.0.2", "127.0.0.2"), (socket.AF_INET6, "::1", "[::1]"),
        (socket.AF_INET6, "::", "localhost"),
    ],
)  # fmt: skip
def test_page_url_can_be_opened_in_a_browser(family: socket.AddressFamily, host: str, page: str) -> None:
    with socket.socket(family) as sock:
        try:
            sock.bind((host, 0))
        except OSError:
            pytest.skip(f"no address {host} on this machine")
        assert page_url(sock) == f"http://{page}:{sock.getsockname()[1]}/"


def test_port_in_use_is_reported_at_once(model_folder: Path, tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        code = "from soundgan.cli.app import main; main()"
        command = [sys.executable, "-c", code, "serve", str(model_folder), "--port", str(port)]
        done = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, timeout=TIMEOUT)
    assert done.returncode == 2
    (message,) = done.stderr.splitlines()
    assert f"port {port}" in message and "in use" in message and "--port" in message
