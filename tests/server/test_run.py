"""A real server on a port: the classic front door and the command, asked over loopback, and ended by a signal."""

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
from served import PATIENCE, served

pytest.importorskip("fastapi", reason="the server needs the extra `serve`")

from soundgan import audio
from soundgan.model import SoundGAN
from soundgan.server.run import page_of

ROOT = Path(__file__).parents[2]


def post(url: str, body: object) -> bytes:
    request = urllib.request.Request(url, json.dumps(body).encode(), {"Content-Type": "application/json"})
    with urllib.request.urlopen(request, timeout=PATIENCE) as answer:
        return answer.read()


def status(url: str, **headers: str) -> int:
    told = {name.replace("_", "-"): value for name, value in headers.items()}
    try:
        with urllib.request.urlopen(urllib.request.Request(url, headers=told), timeout=PATIENCE) as answer:
            return answer.status
    except urllib.error.HTTPError as error:
        with error:
            return error.code


def begin(address: str, path: str, length: int) -> socket.socket:
    """A request that a server has taken for certain, as it asked for the body."""
    connection = socket.create_connection(("127.0.0.1", int(address.rpartition(":")[2])), timeout=PATIENCE)
    head = f"POST {path} HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nConnection: close\r\n"
    connection.sendall(f"{head}Expect: 100-continue\r\nContent-Length: {length}\r\n\r\n".encode())
    told = b""
    while not told.endswith(b"\r\n\r\n"):
        told += connection.recv(1)
    assert told.startswith(b"HTTP/1.1 100")
    return connection


def everything(connection: socket.socket) -> bytes:
    told = b""
    while part := connection.recv(65536):
        told += part
    return told


def children(process: int) -> list[int]:
    return [int(one) for task in Path(f"/proc/{process}/task").glob("*/children") for one in task.read_text().split()]


def end(connection: socket.socket) -> bytes:
    """The body of its answer."""
    head, _, body = everything(connection).partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 200")
    return body


def test_the_classic_front_door(tmp_path: Path) -> None:
    (tmp_path / "gan_config.json").write_bytes((ROOT / "gan_config.json").read_bytes())
    with served([str(ROOT / "app.py")], tmp_path) as (address, _):
        assert json.loads(post(f"{address}/infer", {"output_file": "x.wav"})) == {"output_path": "x.wav", "error": ""}
    assert (tmp_path / "x.wav").stat().st_size > 10_000


def test_loopback_is_told_by_the_address_not_by_its_spelling(tmp_path: Path) -> None:
    with served(["-m", "soundgan", "serve", "digits", "--host", "127.1"], tmp_path) as (address, _):
        assert status(f"{address}/v1/models", Host="evil.example") == 421


def test_the_classic_front_door_heeds_its_settings(model_folder: Path, tmp_path: Path) -> None:
    values = {**json.loads((ROOT / "gan_config.json").read_bytes()), "saveroot": str(model_folder)}
    (tmp_path / "gan_config.json").write_text(json.dumps({**values, "original_image_size": [256, 64]}))
    with served([str(ROOT / "app.py")], tmp_path) as (address, _):
        assert json.loads(post(f"{address}/infer", {"output_file": "x.wav"}))["error"] == ""
    assert audio.probe(tmp_path / "x.wav").frames == 64 * 128, "four times as many frames"


def test_a_server_on_loopback_is_not_had_by_another_name(model_folder: Path, tmp_path: Path) -> None:
    command = ["-c", "from soundgan.cli.app import main; main()", "serve", str(model_folder), "--most-per-minute", "2"]
    with served([*command, "--allow-host", "sounds.example"], tmp_path) as (address, _):
        for host, expected in (("evil.example", 421), ("sounds.example", 200)):
            assert status(f"{address}/v1/models", Host=host) == expected
        # A proxy on this machine tells whose request it passes on; each client has its own two sounds.
        for client, statuses in (("10.0.0.1", [200, 200, 429]), ("10.0.0.2", [200])):
            spectrogram = f"{address}/v1/models/tiny/spectrogram.png?seed=1"
            assert [status(spectrogram, X_Forwarded_For=client) for _ in statuses] == statuses


def test_what_was_taken_is_answered_before_the_end(model_folder: Path, model: SoundGAN, tmp_path: Path) -> None:
    command = ["-c", "from soundgan.cli.app import main; main()", "serve", str(model_folder)]
    with served(command, tmp_path) as (address, process), ExitStack() as stack:
        bodies = [json.dumps({"seed": seed, "quality": "best"}).encode() for seed in range(8)]
        taken = [stack.enter_context(closing(begin(address, "/v1/models/tiny/sounds", len(body)))) for body in bodies]
        for connection, body in zip(taken, bodies, strict=True):
            connection.sendall(body)
        process.send_signal(signal.SIGTERM)
        answers = [end(connection) for connection in taken]
        assert process.wait(PATIENCE) in (0, -signal.SIGTERM)
    assert answers == [model.generate(seed=seed, quality="best")[0].encode() for seed in range(8)]


@pytest.mark.skipif(sys.platform != "linux", reason="processes are looked up in /proc")
def test_processes_that_hang_do_not_keep_it_from_ending(model_folder: Path, tmp_path: Path) -> None:
    code = "import soundgan.server.run as run; run.STOPPING = 1; from soundgan.cli.app import main; main()"
    command = ["-c", code, "serve", str(model_folder), "--processes", "2"]
    with served(command, tmp_path) as (address, process), ExitStack() as stack:
        makers = [one for one in children(process.pid) if b"spawn_main" in Path(f"/proc/{one}/cmdline").read_bytes()]
        assert len(makers) == 2
        for maker in makers:
            os.kill(maker, signal.SIGSTOP)
        taken = [stack.enter_context(closing(begin(address, "/v1/models/tiny/sounds", 2))) for _ in range(3)]
        for connection in taken:
            connection.sendall(b"{}")
        process.send_signal(signal.SIGTERM)
        started = time.monotonic()
        for connection in taken:
            told = everything(connection)
            head, _, body = told.partition(b"\r\n\r\n")
            assert head.startswith(b"HTTP/1.1 503") and b"content-type: application/problem+json" in head.lower()
            assert b"connection: close" in head.lower() and json.loads(body)["title"] == "Stopping"
        assert process.wait(PATIENCE) in (0, -signal.SIGTERM)
        assert time.monotonic() - started < PATIENCE / 2
        assert not any(Path(f"/proc/{one}").exists() for one in makers)


def test_the_server_never_imports_pytorch() -> None:
    code = "import sys, soundgan.server.run; print('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=dict(os.environ))
    assert done.stdout == "False\n", done.stderr


def test_processes_that_make_sounds_import_nothing_of_the_web() -> None:
    """They import the main module, whichever it is, and `makers`."""
    code = "import sys, app, soundgan.server.workers; print('fastapi' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert done.stdout == "False\n", done.stderr


def test_an_answer_is_sent_at_once(model_folder: Path, tmp_path: Path) -> None:
    """Held back until its first part is acknowledged (Nagle), every answer but the first would take 40 ms more."""
    command = ["-c", "from soundgan.cli.app import main; main()", "serve", str(model_folder)]
    with served(command, tmp_path) as (address, _):
        where = urllib.parse.urlsplit(address)
        connection = http.client.HTTPConnection(where.hostname or "", where.port, timeout=PATIENCE)
        taken = []
        for _ in range(20):
            begun = time.perf_counter()
            connection.request("GET", "/healthz")
            assert connection.getresponse().read()
            taken.append(time.perf_counter() - begun)
        connection.close()
    assert min(taken[1:]) < 0.03


def test_it_says_where_its_page_is(model_folder: Path, tmp_path: Path) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "soundgan", "serve", str(model_folder), "--processes", "1", "--port", str(port)]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True, cwd=tmp_path) as process:
        try:
            assert process.stderr is not None
            (url,) = next(found for line in process.stderr if (found := re.findall(r"Ready: open (http://\S+) ", line)))
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
def test_pages_are_named_so_that_a_browser_finds_them(family: socket.AddressFamily, host: str, page: str) -> None:
    with socket.socket(family) as door:
        try:
            door.bind((host, 0))
        except OSError:
            pytest.skip(f"this machine has no address {host}")
        assert page_of(door) == f"http://{page}:{door.getsockname()[1]}/"


def test_a_port_in_use_is_told_at_once(model_folder: Path, tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        code = "from soundgan.cli.app import main; main()"
        command = [sys.executable, "-c", code, "serve", str(model_folder), "--port", str(port)]
        done = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, timeout=PATIENCE)
    assert done.returncode == 2
    (line,) = done.stderr.splitlines()
    assert f"port {port}" in line and "in use" in line and "--port" in line
