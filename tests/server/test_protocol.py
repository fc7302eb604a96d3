"""Clients that open connections and say little, much, or nothing: a real server on a port, spoken to by hand."""

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
from soundgan.server.run import configured
from soundgan.server.settings import ServerSettings

SOON = 20.0  # s; on a busy machine, too
REQUEST = b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n"
LAST = b"GET /healthz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"


class Door:
    """Connects to a server, and has it stop."""

    def __init__(self, server: uvicorn.Server) -> None:
        self._server, self._address = server, server.servers[0].sockets[0].getsockname()

    def __call__(self) -> socket.socket:
        return socket.create_connection(self._address, timeout=SOON)

    def stop(self) -> None:
        """Returns when nobody is let in any more."""
        self._server.should_exit = True
        until = time.monotonic() + SOON
        with pytest.raises(OSError):
            while time.monotonic() < until:
                self().close()
                time.sleep(0.01)


@contextmanager
def serving(app: Any, settings: ServerSettings) -> Iterator[Door]:
    """A server of an app."""
    server = uvicorn.Server(configured(app, settings, host="127.0.0.1", port=0))
    thread = threading.Thread(target=server.run)
    thread.start()
    try:
        while not server.started:
            assert thread.is_alive()
            time.sleep(0.01)
        yield Door(server)
    finally:
        server.should_exit = True
        thread.join(SOON)
        assert not thread.is_alive(), "no connection keeps a server from ending"


@pytest.fixture
def api(model_folder: Path) -> Iterator[Callable[..., Any]]:
    """What serves the app with some limits."""
    with ExitStack() as stack:

        def make(**limits: Any) -> Door:
            settings = ServerSettings(hosts=(), **limits)
            return stack.enter_context(serving(create_app([model_folder], settings), settings))

        yield make


def heard(connection: socket.socket) -> bytes:
    """Everything until the server closes."""
    told = b""
    while part := connection.recv(65536):
        told += part
    return told


def problem(told: bytes) -> dict[str, Any]:
    """The one answer that was heard, a problem, and the last one of its connection."""
    head, _, body = told.partition(b"\r\n\r\n")
    lines = head.lower().split(b"\r\n")
    assert b"content-type: application/problem+json" in lines and b"connection: close" in lines
    answer = json.loads(body)
    assert int(head.split()[1]) == answer["status"]
    return answer


def open_still(connection: socket.socket) -> bool:
    """Whether the server neither says anything nor has closed."""
    connection.settimeout(0.05)
    try:
        connection.recv(1)
    except TimeoutError:
        return True
    except OSError:
        pass
    return False


def ask(connect: Callable[[], socket.socket], request: bytes = LAST) -> tuple[bytes, float]:
    """The answer to a request on a connection of its own, and after how many seconds it was there."""
    started = time.monotonic()
    with closing(connect()) as connection:
        connection.sendall(request)
        return heard(connection), time.monotonic() - started


# Slow heads


def test_a_head_that_does_not_come_is_not_waited_for(api: Any) -> None:
    connect = api(head_seconds=0.5)
    with closing(connect()) as silent, closing(connect()) as slow:
        slow.sendall(b"GET /healthz HTTP/1.1\r\nHost: loc")
        assert problem(heard(slow))["status"] == 408
        assert heard(silent) == b"", "who said nothing is told nothing"


def test_a_head_in_drops_is_not_waited_for_either(api: Any) -> None:
    connect, started = api(head_seconds=0.5), time.monotonic()
    with closing(connect()) as slow:
        slow.sendall(b"GET /healthz HTTP/1.1\r\n")
        with pytest.raises(OSError):  # it was closed at last
            while time.monotonic() - started < SOON:
                slow.sendall(b"X-A: b\r\n")
                time.sleep(0.05)
    assert time.monotonic() - started < SOON


def test_so_it_is_with_the_second_request_of_a_connection(api: Any) -> None:
    connect = api(head_seconds=4)
    with closing(connect()) as connection:
        for _ in range(2):
            time.sleep(2.1)  # in time every time, and too late if the time were for both
            connection.sendall(REQUEST)
            told = b""
            while b"alive" not in told:
                told += connection.recv(65536)
        connection.sendall(REQUEST[:-2])
        assert problem(heard(connection))["status"] == 408


def test_a_slow_request_that_is_in_time_is_answered(api: Any) -> None:
    connect = api(head_seconds=SOON)
    with closing(connect()) as connection:
        for byte in LAST:
            connection.sendall(bytes([byte]))
        assert heard(connection).endswith(b'{"status":"alive"}')


def test_what_is_no_http_is_told_so(api: Any) -> None:
    connect = api()
    for nonsense in (b"\x16\x03\x01\x02\x00" * 10 + b"\r\n\r\n", b"GET / HTTP/1.1\r\nA: " + b"x" * 100_000):
        with closing(connect()) as connection:
            connection.sendall(nonsense)
            assert problem(heard(connection))["title"] == "Not HTTP"


# Many connections


def test_two_hundred_slow_clients_hold_up_nobody(api: Any) -> None:
    connect = api(head_seconds=60, most_connections=100)
    with ExitStack() as stack:
        slow = [stack.enter_context(closing(connect())) for _ in range(200)]
        for connection in slow:
            try:
                connection.sendall(REQUEST[:-2])
            except OSError:
                continue  # it had to make room already
        for _ in range(10):
            told, seconds = ask(connect)
            assert b"200 OK" in told and seconds < SOON / 2
        body = json.dumps({"seed": 7}).encode()
        told, seconds = ask(
            connect,
            b"POST /v1/models/tiny/sounds HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
            b"Connection: close\r\nContent-Length: %d\r\n\r\n%s" % (len(body), body),
        )
        assert b"200 OK" in told and b"audio/wav" in told
        assert not open_still(slow[0]) and open_still(slow[-1]), "who waited longest had to go first"


def test_who_waits_for_an_answer_does_not_have_to_make_room(api: Any) -> None:
    begun = threading.Semaphore(0)

    async def app(scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "http":
            begun.release()
            while (await receive())["type"] != "http.disconnect":  # as if a sound took very long
                pass

    settings = ServerSettings(most_connections=3)
    with serving(app, settings) as connect, ExitStack() as stack:
        at_work = [stack.enter_context(closing(connect())) for _ in range(3)]
        for connection in at_work:
            connection.sendall(REQUEST)
            assert begun.acquire(timeout=SOON)
        for _ in range(5):
            with closing(connect()) as connection:
                started = time.monotonic()
                connection.sendall(REQUEST)
                told = heard(connection)
                assert problem(told)["title"] == "Busy" and b"retry-after: 1" in told.lower()
                assert time.monotonic() - started < SOON / 2
        assert all(open_still(connection) for connection in at_work)


# Large and slow bodies


def posted(length: bytes) -> bytes:
    return b"POST /infer HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n" + length + b"\r\n\r\n"


@pytest.mark.parametrize("chunked", [False, True])
def test_a_hundred_megabytes_are_refused_before_they_came(api: Any, chunked: bool) -> None:
    connect = api()
    block = b" " * 2**20
    head = posted(b"Transfer-Encoding: chunked" if chunked else b"Content-Length: %d" % (100 * len(block)))
    sent = 0
    with closing(connect()) as connection:
        connection.sendall(head)
        try:
            for _ in range(100):
                connection.sendall(b"%x\r\n%s\r\n" % (len(block), block) if chunked else block)
                sent += len(block)
        except OSError:
            pass  # the server had heard enough
    assert sent < 20 * len(block)
    with closing(connect()) as connection:  # who looks for an answer in between finds it
        connection.sendall(head + (b"%x\r\n%s\r\n" % (100_000, b" " * 100_000) if chunked else b" " * 100_000))
        assert problem(heard(connection))["status"] == 413


def test_who_asks_first_sends_nothing_in_vain(api: Any) -> None:
    with closing(api()()) as connection:
        connection.sendall(posted(b"Expect: 100-continue\r\nContent-Length: 100000000"))
        assert problem(heard(connection))["status"] == 413


def test_a_body_in_drops_is_not_waited_for(api: Any) -> None:
    connect, started = api(body_seconds=0.5), time.monotonic()
    with closing(connect()) as connection:
        connection.sendall(posted(b"Content-Length: 1000"))
        connection.settimeout(0.05)
        told = b""
        while b"408" not in told:
            connection.sendall(b" ")
            try:
                told += connection.recv(65536)
            except TimeoutError:
                assert time.monotonic() - started < SOON
        connection.settimeout(SOON)
        assert problem(told + heard(connection))["detail"] == "the body did not come within 0.5 s"


def test_the_body_of_a_request_that_is_answered_already_is_not_waited_for() -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "http":
            await send({"type": "http.response.start", "status": 204, "headers": []})
            await send({"type": "http.response.body"})

    with serving(app, ServerSettings(head_seconds=0.5)) as connect, closing(connect()) as connection:
        connection.sendall(posted(b"Content-Length: 1000000"))
        assert connection.recv(65536).startswith(b"HTTP/1.1 204")
        started = time.monotonic()
        with pytest.raises(OSError):  # it was closed at last
            while time.monotonic() - started < SOON:
                connection.sendall(b" ")
                time.sleep(0.05)


PREFLIGHT = (
    b"OPTIONS /infer HTTP/1.1\r\nHost: %s\r\nOrigin: https://app.example\r\nAccess-Control-Request-Method: POST\r\n"
)


def test_a_preflight_is_held_to_the_limits_of_every_request(api: Any) -> None:
    connect = api(body_seconds=0.5, origins=("https://app.example",))
    told, _ = ask(connect, PREFLIGHT % b"localhost" + b"Connection: close\r\n\r\n")
    assert told.startswith(b"HTTP/1.1 200") and b"access-control-allow-origin: https://app.example" in told.lower()
    told, _ = ask(connect, PREFLIGHT % b"localhost" + b"Content-Length: 1000\r\n\r\n")
    assert problem(told)["status"] == 408
    told, _ = ask(connect, PREFLIGHT % b"evil.example" + b"Content-Length: 0\r\nConnection: close\r\n\r\n")
    assert problem(told)["status"] == 421
    assert b"access-control-allow-origin: https://app.example" in told.lower(), "the page can read why"


# The end


def test_an_answer_while_the_server_stops_says_that_it_is_the_last() -> None:
    begun, let_go = threading.Event(), threading.Event()

    async def app(scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "http":
            begun.set()
            await asyncio.to_thread(let_go.wait, SOON)
            await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"0")]})
            await send({"type": "http.response.body"})

    with serving(app, ServerSettings()) as connect, closing(connect()) as connection:
        connection.sendall(REQUEST)
        assert begun.wait(SOON)
        connect.stop()
        let_go.set()
        told = heard(connection)
        assert told.startswith(b"HTTP/1.1 200") and b"connection: close" in told.lower()


# Slow readers


LENGTH = 20_000_000


class Talker:
    """An app whose answers do not fit into the buffers of the network; `served` counts those that are on their way."""

    def __init__(self) -> None:
        self.served = threading.Semaphore(0)

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "http":
            length = str(LENGTH).encode()
            await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", length)]})
            await send({"type": "http.response.body", "body": bytes(LENGTH)})
            self.served.release()


def test_an_answer_that_nobody_reads_is_given_up() -> None:
    app = Talker()
    with ExitStack() as stack:
        connect = stack.enter_context(serving(app, ServerSettings(answer_seconds=5)))
        never, slow = (stack.enter_context(closing(connect())) for _ in range(2))
        for connection in (never, slow):
            connection.sendall(REQUEST)
            assert app.served.acquire(timeout=SOON)
        read = 0
        while read < LENGTH:  # slow, but it reads
            part = slow.recv(2_000_000)
            assert part
            read += len(part)
            time.sleep(0.6)
        assert 0 < len(heard(never)) < LENGTH, "what the network held already, and no more"


def test_clients_that_sleep_do_not_keep_a_server_from_ending() -> None:
    app = Talker()
    with ExitStack() as stack:
        with serving(app, ServerSettings(answer_seconds=1)) as connect:
            silent, slow, deaf = (stack.enter_context(closing(connect())) for _ in range(3))
            slow.sendall(REQUEST[:-2])
            deaf.sendall(REQUEST)
            assert app.served.acquire(timeout=SOON)
        assert heard(silent) == b""
