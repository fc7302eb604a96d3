"""What every request passes first: an id, a limit on its body, an entry in the log and in the counters."""

from __future__ import annotations

import asyncio
import logging
import re
import time
import uuid

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from soundgan.server.metrics import Metrics
from soundgan.server.problems import Problem
from soundgan.server.settings import ServerSettings

LOG = logging.getLogger("soundgan.server")
_ID = re.compile(r"[\w.-]{1,64}", re.ASCII)


class Gate:
    """An ASGI middleware.

    The body of a request is read here, whole, and within limits of size and time: so no slow or huge one reaches a
    route. The id is the client's own `X-Request-ID`, if it is a short word, and goes back with the answer.
    """

    def __init__(self, app: ASGIApp, settings: ServerSettings, metrics: Metrics) -> None:
        self._app, self._settings, self._metrics = app, settings, metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        started, status = time.perf_counter(), 499  # as nginx has it: the client went away
        headers = {name.lower(): value.decode("latin-1") for name, value in scope["headers"]}
        given = headers.get(b"x-request-id", "")
        request_id = given if _ID.fullmatch(given) else uuid.uuid4().hex

        async def send_with_id(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                message["headers"] = [*message.get("headers", []), (b"x-request-id", request_id.encode())]
            await send(message)

        try:
            try:
                body = await self._body(headers, receive)
            except Problem as problem:
                await problem.response()(scope, receive, send_with_id)
            else:
                if body is not None:
                    await self._app(scope, _replayed(body, receive), send_with_id)
        except Exception:
            status = 500
            raise
        finally:
            seconds = time.perf_counter() - started
            route = getattr(scope.get("route"), "path", "none")
            self._metrics.requests.labels(scope["method"], route, str(status)).inc()
            self._metrics.seconds.labels(route).observe(seconds)
            LOG.info("%s %s %s %d %.1f ms", request_id, scope["method"], scope["path"], status, 1000 * seconds)

    async def _body(self, headers: dict[bytes, str], receive: Receive) -> bytes | None:
        """The body; None if the client went away before it was there. Raises `Problem`."""
        most = self._settings.most_bytes
        too_large = Problem(413, "Too large", f"the body may have {most} bytes", connection="close")
        if headers.get(b"content-length", "0").isdigit() and int(headers.get(b"content-length", "0")) > most:
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
            raise Problem(408, "Too slow", told, connection="close") from None


def _replayed(body: bytes, receive: Receive) -> Receive:
    """A body that is here already, then what else comes."""
    messages: list[Message] = [{"type": "http.request", "body": body, "more_body": False}]

    async def replay() -> Message:
        return messages.pop() if messages else await receive()

    return replay
