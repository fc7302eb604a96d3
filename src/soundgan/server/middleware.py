"""ASGI middleware of every request: id, log and metrics; host name; size and time of the body; leaving clients."""

from __future__ import annotations

import asyncio
import logging
import random
import re
import time
from collections.abc import Sequence
from contextlib import suppress
from urllib.parse import quote

from fastapi import FastAPI
from starlette.datastructures import Headers
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from soundgan.server.metrics import Metrics
from soundgan.server.problems import Problem
from soundgan.server.security import HEADERS, check_host
from soundgan.server.settings import ServerSettings

LOG = logging.getLogger("soundgan.server")
DRAIN_TIMEOUT, MAX_DRAIN = 1.0, 2**20  # s and bytes of a refused body that are still read
EXPOSED_HEADERS = ("Content-Disposition", "Retry-After", "X-Request-ID", "X-Seed")  # readable by allowed origins
CLIENT_LEFT = 499  # nginx's status for a client that disconnects before the response
_ID = re.compile(r"[\w.-]{1,64}", re.ASCII)


def install(app: FastAPI, settings: ServerSettings, metrics: Metrics) -> None:
    """Add the middleware; the last one added is the first that a request meets."""
    app.add_middleware(DisconnectMiddleware)
    app.add_middleware(
        LimitMiddleware,
        hosts=settings.allowed_hosts,
        max_body_bytes=settings.max_body_bytes,
        body_timeout=settings.body_timeout,
    )
    app.add_middleware(RequestMiddleware, origins=settings.allowed_origins, metrics=metrics)


class RequestMiddleware:
    """Give every request an id, a line in the log and a count in the metrics, and answer its errors.

    The id is the client's own `X-Request-ID`, if it is a short word. HEAD is handled as GET; ASGI servers leave out the
    body of the response.
    """

    def __init__(self, app: ASGIApp, origins: Sequence[str], metrics: Metrics) -> None:
        self._app, self._origins, self._metrics = app, origins, metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        start, method = time.perf_counter(), scope["method"]
        scope = {**scope, "method": "GET" if method == "HEAD" else method}
        exchange = _Exchange(scope, receive, send, self._origins)
        try:
            await self._app(scope, exchange.receive, exchange.send)
        except Problem as problem:
            await exchange.respond(problem)
        except asyncio.CancelledError:  # by the server's own shutdown
            detail = "the server is stopping; retry when it has been restarted"
            await exchange.fail(Problem(503, "Stopping", detail, connection="close"))
            raise
        except Exception:
            LOG.exception("%s failed", exchange.id)
            await exchange.fail(Problem(500, "Failed", f"internal error; see the server's log for {exchange.id}"))
        finally:
            seconds = time.perf_counter() - start
            route = getattr(scope.get("route"), "path", "none")
            self._metrics.count_request(method, route, exchange.status, seconds)
            LOG.info("%s %s %s %d %.1f ms", exchange.id, method, quote(scope["path"]), exchange.status, 1000 * seconds)


class LimitMiddleware:
    """Refuse other host names, and read the whole body within limits of size and time, before a route runs."""

    def __init__(self, app: ASGIApp, hosts: Sequence[str] | None, max_body_bytes: int, body_timeout: float) -> None:
        self._app, self._hosts, self._max_bytes, self._timeout = app, hosts, max_body_bytes, body_timeout

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            headers = Headers(scope=scope)
            host = headers.get("host")
            if self._hosts is not None and host is not None:
                check_host(host, self._hosts)
            body = await self._read(headers.get("content-length", ""), receive)
            if body is None:
                return
            receive = _replay({"type": "http.request", "body": body, "more_body": False}, then=receive)
        await self._app(scope, receive, send)

    async def _read(self, length: str, receive: Receive) -> bytes | None:
        """Read the body; None if the client disconnects. Raises `Problem`."""
        too_large = Problem(413, "Too large", f"the body is larger than {self._max_bytes} bytes")
        if length.isdigit() and int(length) > self._max_bytes:
            raise too_large
        body = bytearray()
        try:
            async with asyncio.timeout(self._timeout):
                while True:
                    message = await receive()
                    if message["type"] != "http.request":
                        return None
                    body += message.get("body", b"")
                    if len(body) > self._max_bytes:
                        raise too_large
                    if not message.get("more_body", False):
                        return bytes(body)
        except TimeoutError:
            raise Problem(408, "Too slow", f"the body did not arrive within {self._timeout:g} s") from None


class DisconnectMiddleware:
    """Cancel a request when its client disconnects. Expects `LimitMiddleware` outside."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        request = await receive()
        response = asyncio.ensure_future(self._app(scope, _replay(request), send))
        disconnect = asyncio.ensure_future(receive())
        try:
            await asyncio.wait({response, disconnect}, return_when=asyncio.FIRST_COMPLETED)
            if response.done():
                await response
        finally:
            response.cancel()
            disconnect.cancel()


class _Exchange:
    """A request and its response.

    Attributes:
        id: of the request.
        status: of the response; `CLIENT_LEFT` before it starts.
    """

    def __init__(self, scope: Scope, receive: Receive, send: Send, origins: Sequence[str]) -> None:
        self._scope, self._receive, self._send = scope, receive, send
        headers = Headers(scope=scope)
        given, origin = headers.get("x-request-id", ""), headers.get("origin", "")
        self.id = given if _ID.fullmatch(given) else f"{random.getrandbits(128):032x}"  # not a secret
        self._origin = origin if origin in origins else None
        self.status, self._more_body = CLIENT_LEFT, True

    async def receive(self) -> Message:
        message = await self._receive()
        self._more_body = message.get("more_body", False)
        return message

    async def send(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.status = message["status"]
            message["headers"] = [*message.get("headers", []), *HEADERS, (b"x-request-id", self.id.encode())]
        await self._send(message)

    async def fail(self, problem: Problem) -> None:
        """Send a problem, unless a response has started, and read no more of the request."""
        self._more_body = False
        if self.status == CLIENT_LEFT:
            await self.respond(problem)

    async def respond(self, problem: Problem) -> None:
        """Send a problem that no route sent, readable by pages of allowed origins.

        If the body is still arriving, some more of it is read before the connection is closed: a client that is still
        sending would see a broken connection, and never the response.
        """
        if self._more_body:
            problem.headers["connection"] = "close"
        response = problem.response()
        if self._origin is not None:
            response.headers["access-control-allow-origin"] = self._origin
            response.headers["access-control-expose-headers"] = ", ".join(EXPOSED_HEADERS)
            response.headers.add_vary_header("Origin")
        await self.send({"type": "http.response.start", "status": problem.status, "headers": response.raw_headers})
        await self.send({"type": "http.response.body", "body": response.body, "more_body": self._more_body})
        if self._more_body:
            size = 0
            with suppress(TimeoutError):
                async with asyncio.timeout(DRAIN_TIMEOUT):
                    while self._more_body and size < MAX_DRAIN:
                        size += len((await self.receive()).get("body", b""))
            await self.send({"type": "http.response.body", "body": b"", "more_body": False})


def _replay(request: Message, then: Receive | None = None) -> Receive:
    """Return a `receive` of a body that was read already, and then of `then`, by default of nothing."""
    messages = [request]

    async def receive() -> Message:
        if messages:
            return messages.pop()
        return await (then() if then else asyncio.get_running_loop().create_future())

    return receive
