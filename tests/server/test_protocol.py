"""Slow, silent and greedy clients: a real server on a port, and raw sockets."""

from __future__ import annotations

import asyncio
import json
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("fastapi", reason="the server needs the extra `serve`")

import uvicorn

from soundgan.server.app import create_app
from soundgan.server.run import uvicorn_config
from soundgan.server.settings import ServerSettings

TIMEOUT = 20.0  # s; long enough on a busy machine
REQUEST = b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n"
LAST = b"GET /healthz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"


class Server:
    """Connects to a server, and stops it."""

    def __init__(self, server: uvicorn.Server) -> None:
        self._server, self._address = server, server.servers[0].sockets[0].getsockname()

    def __call__(self) -> socket.socket:
        return socket.create_connection(self._address, timeout=TIMEOUT)

    def stop(self) -> None:
        """Return once it accepts no more connections."""
        self._server.should_exit = True
        until = time.monotonic() + TIMEOUT
        with pytest.raises(OSError):
            while time.monotonic() < until:
                self().close()
                time.sleep(0.01)


@contextmanager
def serve(app: Any, settings: ServerSettings) -> Iterator[Server]:
    """Serve an app on a free port."""
    server = uvicorn.Server(uvicorn_config(app, settings, host="127.0.0.1", port=0))
    thread = threading.Thread(target=server.run)
    thread.start()
    try:
        while not server.started:
            assert thread.is_alive()
            time.sleep(0.01)
        yield Server(server)
    finally:
        server.should_exit = True
        thread.join(TIMEOUT)
        assert not thread.is_alive(), "an open connection prevents shutdown"


@pytest.fixture
def api(model_folder: Path) -> Iterator[Callable[..., Any]]:
    """Function that serves the app with some limits."""
    with ExitStack() as stack:

        def start(**limits: Any) -> Server:
            settings = ServerSettings(allowed_hosts=(), **limits)
            return stack.enter_context(serve(create_app([model_folder], settings), settings))

        yield start


def read_all(connection: socket.socket) -> bytes:
    """Read until the server closes."""
    received = b""
    while part := connection.recv(65536):
        received += part
    return received


def parse_problem(response: bytes) -> dict[str, Any]:
    """Check that a response is a problem and the last of its connection, and return its body."""
    head, _, body = response.partition(b"\r\n\r\n")
    lines = head.lower().split(b"\r\n")
    assert b"content-type: application/problem+json" in lines and b"connection: close" in lines
    problem = json.loads(body)
    assert int(head.split()[1]) == problem["status"]
    return problem


def is_open(connection: socket.socket) -> bool:
    """Return True if the server neither sends anything nor has closed."""
    connection.settimeout(0.05)
    try:
        connection.recv(1)
    except TimeoutError:
        return True
    except OSError:
        pass
    return False


def exchange(connect: Callable[[], socket.socket], request: bytes = LAST) -> tuple[bytes, float]:
    """Return the response to a request on a connection of its own, and its time in s."""
    start = time.monotonic()
    with closing(connect()) as connection:
        connection.sendall(request)
        return read_all(connection), time.monotonic() - start


# Slow headers


def test_header_timeout_closes_incomplete_and_silent_connections(api: Any) -> None:
    connect = api(header_timeout=0.5)
    with closing(connect()) as silent, closing(connect()) as slow:
        slow.sendall(b"GET /healthz HTTP/1.1\r\nHost: loc")
        assert parse_problem(read_all(slow))["status"] == 408
        assert read_all(silent) == b"", "a silent client gets no response"


def test_header_timeout_counts_from_the_first_byte(api: Any) -> None:
    connect, start = api(header_timeout=0.5), time.monotonic()
    with closing(connect()) as slow:
        slow.sendall(b"GET /healthz HTTP/1.1\r\n")
        with pytest.raises(OSError):  # closed at last
            while time.monotonic() - start < TIMEOUT:
                slow.sendall(b"X-A: b\r\n")
                time.sleep(0.05)
    assert time.monotonic() - start < TIMEOUT


def test_header_timeout_restarts_with_every_request_of_a_connection(api: Any) -> None:
    connect = api(header_timeout=4)
    with closing(connect()) as connection:
        for _ in range(2):
            time.sleep(2.1)  # within the timeout of one request, beyond that of both together
            connection.sendall(REQUEST)
            response = b""
            while b"alive" not in response:
                response += connection.recv(65536)
        connection.sendall(REQUEST[:-2])
        assert parse_problem(read_all(connection))["status"] == 408


def test_slow_request_within_the_header_timeout_is_answered(api: Any) -> None:
    connect = api(header_timeout=TIMEOUT)
    with closing(connect()) as connection:
        for byte in LAST:
            connection.sendall(bytes([byte]))
        assert read_all(connection).endswith(b'{"status":"alive"}')


def test_bytes_that_are_not_http_get_a_problem(api: Any) -> None:
    connect = api()
    for garbage in (b"\x16\x03\x01\x02\x00" * 10 + b"\r\n\r\n", b"GET / HTTP/1.1\r\nA: " + b"x" * 100_000):
        with closing(connect()) as connection:
            connection.sendall(garbage)
            assert parse_problem(read_all(connection))["title"] == "Bad Request"


# Many connections


def test_full_server_evicts_the_connection_that_waits_longest(api: Any) -> None:
    connect = api(header_timeout=60, max_connections=100)
    with ExitStack() as stack:
        slow = [stack.enter_context(closing(connect())) for _ in range(200)]
        for connection in slow:
            try:
                connection.sendall(REQUEST[:-2])
            except OSError:
                continue  # evicted already
        for _ in range(10):
            response, seconds = exchange(connect)
            assert b"200 OK" in response and seconds < TIMEOUT / 2
        body = json.dumps({"seed": 7}).encode()
        response, seconds = exchange(
            connect,
            b"POST /v1/models/tiny/sounds HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
            b"Connection: close\r\nContent-Length: %d\r\n\r\n%s" % (len(body), body),
        )
        assert b"200 OK" in response and b"audio/wav" in response
        assert not is_open(slow[0]) and is_open(slow[-1]), "the oldest waiting connection is evicted first"


def test_full_server_never_evicts_a_request_in_progress(api: Any) -> None:
    started = threading.Semaphore(0)

    async def app(scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "http":
            started.release()
            while (await receive())["type"] != "http.disconnect":  # a sound that takes very long
                pass

    settings = ServerSettings(max_connections=3)
    with serve(app, settings) as connect, ExitStack() as stack:
        busy = [stack.enter_context(closing(connect())) for _ in range(3)]
        for connection in busy:
            connection.sendall(REQUEST)
            assert started.acquire(timeout=TIMEOUT)
        for _ in range(5):
            with closing(connect()) as connection:
                start = time.monotonic()
                connection.sendall(REQUEST)
                response = read_all(connection)
                assert "3 connections are in use" in parse_problem(response)["detail"]
                assert b"retry-after: 1" in response.lower()
                assert time.monotonic() - start < TIMEOUT / 2
        assert all(is_open(connection) for connection in busy)


# Large and slow bodies


def post_headers(length: bytes) -> bytes:
    return b"POST /infer HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n" + length + b"\r\n\r\n"


@pytest.mark.parametrize("chunked", [False, True])
def test_body_limit_refuses_large_bodies_before_they_arrive(api: Any, chunked: bool) -> None:
    connect = api()
    block = b" " * 2**20
    head = post_headers(b"Transfer-Encoding: chunked" if chunked else b"Content-Length: %d" % (100 * len(block)))
    sent = 0
    with closing(connect()) as connection:
        connection.sendall(head)
        try:
            for _ in range(100):
                connection.sendall(b"%x\r\n%s\r\n" % (len(block), block) if chunked else block)
                sent += len(block)
        except OSError:
            pass  # the server has closed
    assert sent < 20 * len(block)
    with closing(connect()) as connection:  # a client that reads meanwhile gets the response
        connection.sendall(head + (b"%x\r\n%s\r\n" % (100_000, b" " * 100_000) if chunked else b" " * 100_000))
        assert parse_problem(read_all(connection))["status"] == 413


def test_body_limit_answers_expect_100_continue(api: Any) -> None:
    with closing(api()()) as connection:
        connection.sendall(post_headers(b"Expect: 100-continue\r\nContent-Length: 100000000"))
        assert parse_problem(read_all(connection))["status"] == 413


def test_body_timeout_closes_a_slow_upload(api: Any) -> None:
    connect, start = api(body_timeout=0.5), time.monotonic()
    with closing(connect()) as connection:
        connection.sendall(post_headers(b"Content-Length: 1000"))
        connection.settimeout(0.05)
        response = b""
        while b"408" not in response:
            connection.sendall(b" ")
            try:
                response += connection.recv(65536)
            except TimeoutError:
                assert time.monotonic() - start < TIMEOUT
        connection.settimeout(TIMEOUT)
        assert parse_problem(response + read_all(connection))["detail"] == "the body did not arrive within 0.5 s"


def test_header_timeout_covers_the_remaining_body_of_an_answered_request() -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "http":
            await send({"type": "http.response.start", "status": 204, "headers": []})
            await send({"type": "http.response.body"})

    with serve(app, ServerSettings(header_timeout=0.5)) as connect, closing(connect()) as connection:
        connection.sendall(post_headers(b"Content-Length: 1000000"))
        assert connection.recv(65536).startswith(b"HTTP/1.1 204")
        start = time.monotonic()
        with pytest.raises(OSError):  # closed at last
            while time.monotonic() - start < TIMEOUT:
                connection.sendall(b" ")
                time.sleep(0.05)


PREFLIGHT = (
    b"OPTIONS /infer HTTP/1.1\r\nHost: %s\r\nOrigin: https://app.example\r\nAccess-Control-Request-Method: POST\r\n"
)


def test_preflight_requests_have_the_same_limits(api: Any) -> None:
    connect = api(body_timeout=0.5, allowed_origins=("https://app.example",))
    response, _ = exchange(connect, PREFLIGHT % b"localhost" + b"Connection: close\r\n\r\n")
    assert (
        response.startswith(b"HTTP/1.1 200") and b"access-control-allow-origin: https://app.example" in response.lower()
    )
    response, _ = exchange(connect, PREFLIGHT % b"localhost" + b"Content-Length: 1000\r\n\r\n")
    assert parse_problem(response)["status"] == 408
    response, _ = exchange(connect, PREFLIGHT % b"evil.example" + b"Content-Length: 0\r\nConnection: close\r\n\r\n")
    assert parse_problem(response)["status"] == 421
    assert b"access-control-allow-origin: https://app.example" in response.lower(), "the page can read the reason"


# Shutdown


def test_response_during_shutdown_closes_the_connection() -> None:
    started, release = threading.Event(), threading.Event()

    async def app(scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "http":
            started.set()
            await asyncio.to_thread(release.wait, TIMEOUT)
            await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"0")]})
            await send({"type": "http.response.body"})

    with serve(app, ServerSettings()) as connect, closing(connect()) as connection:
        connection.sendall(REQUEST)
        assert started.wait(TIMEOUT)
        connect.stop()
        release.set()
        response = read_all(connection)
        assert response.startswith(b"HTTP/1.1 200") and b"connection: close" in response.lower()


# Slow readers


LENGTH = 20_000_000


class LargeResponses:
    """App whose responses exceed the network buffers; `served` counts those being sent."""

    def __init__(self) -> None:
        self.served = threading.Semaphore(0)

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "http":
            length = str(LENGTH).encode()
            await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", length)]})
            await send({"type": "http.response.body", "body": bytes(LENGTH)})
            self.served.release()


def test_response_timeout_closes_connections_that_do_not_read() -> None:
    app = LargeResponses()
    with ExitStack() as stack:
        connect = stack.enter_context(serve(app, ServerSettings(response_timeout=5)))
        never, slow = (stack.enter_context(closing(connect())) for _ in range(2))
        for connection in (never, slow):
            connection.sendall(REQUEST)
            assert app.served.acquire(timeout=TIMEOUT)
        read = 0
        while read < LENGTH:  # slowly, but steadily
            part = slow.recv(2_000_000)
            assert part
            read += len(part)
            time.sleep(0.6)
        assert 0 < len(read_all(never)) < LENGTH, "no more than the network buffers held"


def test_idle_clients_do_not_delay_shutdown() -> None:
    app = LargeResponses()
    with ExitStack() as stack:
        with serve(app, ServerSettings(response_timeout=1)) as connect:
            silent, slow, unread = (stack.enter_context(closing(connect())) for _ in range(3))
            slow.sendall(REQUEST[:-2])
            unread.sendall(REQUEST)
            assert app.served.acquire(timeout=TIMEOUT)
        assert read_all(silent) == b""
