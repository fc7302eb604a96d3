"""HTTP connections with timeouts for slow clients.

Uvicorn waits without limit for request headers, and for a client that does not read its response. (`middleware` has
the timeout of the body.)
"""

from __future__ import annotations

import asyncio
import logging
from typing import Any

import h11
from uvicorn.protocols.http.h11_impl import H11Protocol

from soundgan.server.problems import RETRY_AFTER, Problem
from soundgan.server.settings import ServerSettings

LOG = logging.getLogger("soundgan.server")
CLOSE_DELAY = 1.0  # s for which a connection stays open after its last response, which a reset would lose
CLOSE_HEADER = (b"connection", b"close")
MIN_READ = 65_536  # bytes of a response that must be read in `response_timeout`, unless fewer are left


class Connection(H11Protocol):
    """Uvicorn's connection, with limits.

    A connection beyond `max_connections` evicts the one that has waited longest for a request; if none waits, it is
    refused. So slow clients do not lock others out.
    """

    def __init__(self, *args: Any, limits: ServerSettings, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._limits = limits
        self._header_timer: asyncio.TimerHandle | None = None  # while the headers of a request are incomplete
        self._response_timer: asyncio.TimerHandle | None = None  # while a response is not read
        self._close_timer: asyncio.TimerHandle | None = None  # once nothing more is read
        self._unread = 0  # bytes of the response at the last check

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        if len(self.connections) > self._limits.max_connections:
            self._evict()
        self._update_header_timer()

    def data_received(self, data: bytes) -> None:
        if self._close_timer is None:
            super().data_received(data)
            self._update_header_timer()

    def on_response_complete(self) -> None:
        self._start_response_timer()
        super().on_response_complete()
        self._update_header_timer()

    def connection_lost(self, exc: Exception | None) -> None:
        super().connection_lost(exc)
        self._stop_header_timer()
        for timer in (self._response_timer, self._close_timer):
            if timer is not None:
                timer.cancel()

    def shutdown(self) -> None:
        """Answer the current request with `Connection: close`: Uvicorn closes the connection without it."""
        if self.cycle is not None and not self.cycle.response_started:
            self.cycle.scope["headers"] = [*self.cycle.scope["headers"], CLOSE_HEADER]  # as if the client had sent it
        super().shutdown()

    def send_400_response(self, msg: str) -> None:
        self._refuse(Problem(400, f"{msg[:1].lower()}{msg[1:].rstrip('.')}", connection="close"))

    def _update_header_timer(self) -> None:
        """Run the timer while there is no request; the remaining body of an answered request counts as none."""
        answered = self.conn.their_state is h11.SEND_BODY and self.conn.our_state is h11.DONE
        waiting = answered or self.conn.their_state is h11.IDLE
        waiting = waiting and self._close_timer is None and not self.transport.is_closing()
        if waiting and self._header_timer is None:
            self._header_timer = self.loop.call_later(self._limits.header_timeout, self._header_timed_out)
        elif not waiting:
            self._stop_header_timer()

    def _stop_header_timer(self) -> None:
        if self._header_timer is not None:
            self._header_timer.cancel()
            self._header_timer = None

    def _header_timed_out(self) -> None:
        """Close a connection without a request, or with incomplete headers."""
        self._stop_header_timer()
        if self.conn.trailing_data[0]:
            detail = f"the headers of the request did not arrive within {self._limits.header_timeout:g} s"
            self._refuse(Problem(408, detail, connection="close"))
        elif not self.transport.is_closing():
            self.conn.send(h11.ConnectionClosed())
            self.transport.close()

    def _evict(self) -> None:
        """Close the connection that has waited longest for a request, or refuse this one."""
        connections = [connection for connection in self.connections if isinstance(connection, Connection)]
        deadlines = [(timer.when(), connection) for connection in connections if (timer := connection._header_timer)]
        if deadlines:
            min(deadlines, key=lambda pair: pair[0])[1]._header_timed_out()
        else:
            detail = f"all {self._limits.max_connections} connections are in use; retry a little later"
            self._refuse(Problem(503, detail, connection="close", retry_after=str(RETRY_AFTER)))

    def _refuse(self, problem: Problem) -> None:
        """Send a problem, and close the connection."""
        if self.cycle is not None and not self.cycle.response_complete:
            self.cycle.disconnected = True
            self.cycle.message_event.set()
        if self.conn.our_state not in (h11.IDLE, h11.SEND_RESPONSE):  # a response has started
            self.transport.close()
            return
        LOG.info("%s %d %s", self._address, problem.status, problem.title)
        response = problem.response()
        head = h11.Response(status_code=response.status_code, headers=response.raw_headers)
        for event in (head, h11.Data(data=bytes(response.body)), h11.EndOfMessage()):
            self.transport.write(self.conn.send(event) or b"")
        if self.transport.can_write_eof():
            self.transport.write_eof()
        self._close_timer = self.loop.call_later(CLOSE_DELAY, self.transport.abort)

    def _start_response_timer(self) -> None:
        self._unread = self.transport.get_write_buffer_size()
        if self._unread and self._response_timer is None:
            self._response_timer = self.loop.call_later(self._limits.response_timeout, self._check_progress)

    def _check_progress(self) -> None:
        self._response_timer = None
        if self.transport.get_write_buffer_size() > max(self._unread - MIN_READ, 0):
            LOG.info("%s does not read its response", self._address)
            self.transport.abort()
        else:
            self._start_response_timer()

    @property
    def _address(self) -> str:
        return self.client[0] if self.client else "-"
