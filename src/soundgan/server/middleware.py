"""ASGI middleware of every request: id, log, metrics; host name; size and time of the body; client disconnects."""

from __future__ import annotations

import asyncio
import logging
import random
import re
import time
from contextlib import suppress
from urllib.parse import quote

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from soundgan.server.metrics import Metrics
from soundgan.server.problems import Problem
from soundgan.server.security import HEADERS, check_host
from soundgan.server.settings import ServerSettings

LOG = logging.getLogger("soundgan.server")
DRAIN_TIMEOUT, MAX_DRAIN = 1.0, 2**20  # s and bytes of a refused body that are still read
EXPOSED_HEADERS = ("Content-Disposition", "Retry-After", "X-Request-ID", "X-Seed")  # readable by allowed origins
CLIENT_CLOSED_REQUEST = 499  # nginx's status for a client that disconnects before the response
_ID = re.compile(r"[\w.-]{1,64}", re.ASCII)


class RequestMiddleware:
    """Give every request an id, a line in the log and a count in the metrics, and answer its errors.

    The id is the client's own `X-Request-ID`, if it is a short word. HEAD is handled as GET; ASGI servers leave out the
    body of the response.
    """

    def __init__(self, app: ASGIApp, settings: ServerSettings, metrics: Metrics) -> None:
        self._app, self._settings, self._metrics = app, settings, metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        start, method = time.perf_counter(), scope["method"]
        scope = {**scope, "method": "GET" if method == "HEAD" else method}
        exchange = _Exchange(scope, receive, send, self._settings)
        try:
            await exchange.run(self._app)
        except Problem as problem:
            await exchange.respond(problem)
        except asyncio.CancelledError:  # by the server's own shutdown
            detail = "the server is stopping; retry when it has been restarted"
            await exchange.fail(Problem(503, detail, connection="close"))
            raise
        except Exception:
            LOG.exception("%s failed", exchange.id)
            await exchange.fail(Problem(500, f"internal error; see the server's log for {exchange.id}"))
        finally:
            seconds = time.perf_counter() - start
            route = getattr(scope.get("route"), "path", "none")
            self._metrics.count_request(method, route, exchange.status, seconds)
            LOG.info("%s %s %s %d %.1f ms", exchange.id, method, quote(scope["path"]), exchange.status, 1000 * seconds)


class _Exchange:
    """A request and its response.

    Attributes:
        id: of the request.
        status: of the response; `CLIENT_CLOSED_REQUEST` before it starts.
    """

    def __init__(self, scope: Scope, receive: Receive, send: Send, settings: ServerSettings) -> None:
        self._scope, self._receive, self._send, self._settings = scope, receive, send, settings
        self._headers = Headers(scope=scope)
        given = self._headers.get("x-request-id", "")
        self.id = given if _ID.fullmatch(given) else f"{random.getrandbits(128):032x}"  # not a secret
        self.status = CLIENT_CLOSED_REQUEST
        self._body, self._more_body, self._replayed = bytearray(), True, False
        self._task: asyncio.Task[object] | None = None  # while the app runs and the client has not disconnected

    async def run(self, app: ASGIApp) -> None:
        """Refuse other host names, read the body, and run the app; cancel it when the client disconnects."""
        hosts, host = self._settings.allowed_hosts, self._headers.get("host")
        if hosts is not None and host is not None:
            check_host(host, hosts)
        if not await self._read_body():
            return
        task = self._task = asyncio.current_task()
        disconnect = asyncio.ensure_future(self._receive())
        disconnect.add_done_callback(self._cancel)
        try:
            await app(self._scope, self._replay, self.send)
        except asyncio.CancelledError:
            if self._task is not None or task is None or task.uncancel():
                raise
        finally:
            self._task = None
            disconnect.cancel()

    def _cancel(self, disconnect: asyncio.Future[Message]) -> None:
        task, self._task = self._task, None
        if task is not None:
            task.cancel()

    async def _read_body(self) -> bool:
        """Read the body within limits of size and time; return False if the client disconnects. Raises `Problem`."""
        limit, timeout = self._settings.max_body_bytes, self._settings.body_timeout
        length = self._headers.get("content-length", "")
        too_large = length.isdigit() and int(length) > limit
        try:
            async with asyncio.timeout(timeout):
                while self._more_body and not too_large:
                    message = await self._receive_body()
                    if message["type"] != "http.request":
                        return False
                    self._body += message.get("body", b"")
                    too_large = len(self._body) > limit
        except TimeoutError:
            raise Problem(408, f"the body did not arrive within {timeout:g} s") from None
        if too_large:
            raise Problem(413, f"the body is larger than {limit} bytes")
        return True

    async def _receive_body(self) -> Message:
        message = await self._receive()
        self._more_body = message.get("more_body", False)
        return message

    async def _replay(self) -> Message:
        """Return the body, which has been read; a further call waits forever, as a disconnect cancels the app."""
        if self._replayed:
            await asyncio.get_running_loop().create_future()
        self._replayed = True
        return {"type": "http.request", "body": bytes(self._body), "more_body": False}

    async def send(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.status = message["status"]
            message["headers"] = [*message.get("headers", []), *HEADERS, (b"x-request-id", self.id.encode())]
        await self._send(message)

    async def fail(self, problem: Problem) -> None:
        """Send a problem, unless a response has started, and read no more of the request."""
        self._more_body = False
        if self.status == CLIENT_CLOSED_REQUEST:
            await self.respond(problem)

    async def respond(self, problem: Problem) -> None:
        """Send a problem response from outside of the routes, readable by pages of allowed origins.

        If the body is still arriving, some more of it is read before the connection is closed: a client that is still
        sending would see a broken connection, and never the response.
        """
        if self._more_body:
            problem.headers["connection"] = "close"
        response, origin = problem.response(), self._headers.get("origin")
        if origin in self._settings.allowed_origins:
            response.headers["access-control-allow-origin"] = origin
            response.headers["access-control-expose-headers"] = ", ".join(EXPOSED_HEADERS)
            response.headers.add_vary_header("Origin")
        await self.send({"type": "http.response.start", "status": problem.status, "headers": response.raw_headers})
        await self.send({"type": "http.response.body", "body": response.body, "more_body": self._more_body})
        if self._more_body:
            size = 0
            with suppress(TimeoutError):
                async with asyncio.timeout(DRAIN_TIMEOUT):
                    while self._more_body and size < MAX_DRAIN:
                        size += len((await self._receive_body()).get("body", b""))
            await self.send({"type": "http.response.body", "body": b"", "more_body": False})
