"""What every request passes first: an id, limits on its body, an entry in the log and in the counters."""

from __future__ import annotations

import asyncio
import logging
import random
import re
import time
from contextlib import suppress
from urllib.parse import quote

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from soundgan.server.metrics import METHODS, Metrics
from soundgan.server.problems import Problem
from soundgan.server.security import HEADERS, check_host
from soundgan.server.settings import ServerSettings

LOG = logging.getLogger("soundgan.server")
LINGERING, LEFTOVER = 1.0, 2**20  # s and bytes in which a body that was refused is still read and thrown away
EXPOSED = ("Content-Disposition", "Retry-After", "X-Request-ID", "X-Seed")  # that pages of allowed sites may read
_ID = re.compile(r"[\w.-]{1,64}", re.ASCII)


class RequestMiddleware:
    """An ASGI middleware.

    The body of a request is read here, whole, and within limits of size and time: so no slow or huge one reaches a
    route. A client that goes away takes its request with it. The id is the client's own `X-Request-ID`, if it is a
    short word, and goes back with the answer. HEAD is GET without the body of the answer.
    """

    def __init__(self, app: ASGIApp, settings: ServerSettings, metrics: Metrics) -> None:
        self._app, self._settings, self._metrics = app, settings, metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        started, status, ended = time.perf_counter(), 499, False  # as nginx has it: the client went away
        headers = {name.lower(): value.decode("latin-1") for name, value in scope["headers"]}
        method = scope["method"]
        if method == "HEAD":
            scope = {**scope, "method": "GET"}
        given = headers.get(b"x-request-id", "")
        request_id = given if _ID.fullmatch(given) else f"{random.getrandbits(128):032x}"  # no secret

        more = True  # of the body is to come

        async def hear() -> Message:
            nonlocal more
            message = await receive()
            more = message.get("more_body", False)
            return message

        async def send_with_id(message: Message) -> None:
            nonlocal status, ended
            if message["type"] == "http.response.start":
                status = message["status"]
                own = (b"x-request-id", request_id.encode())
                message["headers"] = [*message.get("headers", []), *HEADERS, own]
            elif method == "HEAD":
                message = {**message, "body": b""}
            ended = message["type"] == "http.response.body" and not message.get("more_body", False)
            await send(message)

        async def send_own(message: Message) -> None:
            """Send what no route has answered, so that the page of an allowed site can read it as well."""
            origin = headers.get(b"origin")
            if message["type"] == "http.response.start" and origin in self._settings.origins:
                readable = (b"access-control-allow-origin", origin.encode())
                exposed = (b"access-control-expose-headers", ", ".join(EXPOSED).encode())
                message["headers"] = [*message["headers"], readable, exposed, (b"vary", b"Origin")]
            await send_with_id(message)

        try:
            if self._settings.hosts is not None and b"host" in headers:
                check_host(headers[b"host"], self._settings.hosts)
            body = await self._body(headers, hear)
            if body is None:
                return
            working = asyncio.ensure_future(self._app(scope, _replayed(body), send_with_id))
            leaving = asyncio.ensure_future(receive())  # what comes after the body: the client goes away
            try:
                await asyncio.wait({working, leaving}, return_when=asyncio.FIRST_COMPLETED)
                if working.done() or ended:
                    await working
            finally:
                working.cancel()
                leaving.cancel()
        except Problem as problem:
            if more:
                await _answer_and_close(problem, receive, send_own)
            else:
                await problem.response()(scope, receive, send_own)
        except asyncio.CancelledError:  # the server ends, and waits no longer
            if status == 499:
                told = "the server is stopping; ask again when it has been started anew"
                await Problem(503, "Stopping", told, connection="close").response()(scope, receive, send_own)
            raise
        except Exception:
            LOG.exception("%s failed", request_id)
            if status == 499:
                told = f"something went wrong here; the server's log has more about {request_id}"
                await Problem(500, "Failed", told).response()(scope, receive, send_own)
        finally:
            seconds = time.perf_counter() - started
            route = getattr(scope.get("route"), "path", "none")
            self._metrics.requests.labels(method if method in METHODS else "other", route, str(status)).inc()
            self._metrics.seconds.labels(route).observe(seconds)
            LOG.info("%s %s %s %d %.1f ms", request_id, method, quote(scope["path"]), status, 1000 * seconds)

    async def _body(self, headers: dict[bytes, str], receive: Receive) -> bytes | None:
        """The body; None if the client went away before it was there. Raises `Problem`."""
        most = self._settings.most_bytes
        too_large = Problem(413, "Too large", f"the body may have {most} bytes")
        announced = headers.get(b"content-length", "")
        if announced.isdigit() and int(announced) > most:
            raise too_large
        body = bytearray()
        try:
            async with asyncio.timeout(self._settings.body_seconds):
                while True:
                    message = await receive()
                    if message["type"] != "http.request":
                        return None
                    body += message.get("body", b"")
                    if len(body) > most:
                        raise too_large
                    if not message.get("more_body", False):
                        return bytes(body)
        except TimeoutError:
            told = f"the body did not come within {self._settings.body_seconds:g} s"
            raise Problem(408, "Too slow", told) from None


def _replayed(body: bytes) -> Receive:
    """A body that is here already; nothing comes after it, as the gate itself looks out for clients that leave."""
    messages: list[Message] = [{"type": "http.request", "body": body, "more_body": False}]

    async def replay() -> Message:
        return messages.pop() if messages else await asyncio.get_running_loop().create_future()

    return replay


async def _answer_and_close(problem: Problem, receive: Receive, send: Send) -> None:
    """Answer before the body is there, and hear some more of it before the connection is closed.

    A client that is still sending would find the connection broken, and never see the answer.
    """
    problem.headers["connection"] = "close"
    answer = problem.response()
    await send({"type": "http.response.start", "status": answer.status_code, "headers": answer.raw_headers})
    await send({"type": "http.response.body", "body": answer.body, "more_body": True})
    heard, more = 0, True
    with suppress(TimeoutError):
        async with asyncio.timeout(LINGERING):
            while more and heard < LEFTOVER:
                message = await receive()
                heard, more = heard + len(message.get("body", b"")), message.get("more_body", False)
    await send({"type": "http.response.body", "body": b"", "more_body": False})
