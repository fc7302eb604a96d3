"""Connections that cannot be held up: a request must come, and its answer be read, in reasonable time.

Uvicorn waits for ever for the head of a request, and for a client that does not read its answer. (For the body, see
`gate`.)
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
LINGERING = 1.0  # s for which a connection stays open so that a last answer arrives: closed earlier, it would be lost
CLOSE = (b"connection", b"close")
PROGRESS = 65_536  # bytes of an answer that must be read in `answer_seconds`, unless fewer are left


class Connection(H11Protocol):
    """Uvicorn's connection, with limits.

    One connection more than there may be takes the place of the one that has been waiting longest for a request; if
    all are at work, it is told to come again. So those who open connections and say little hold up nobody.
    """

    def __init__(self, *args: Any, limits: ServerSettings, **more: Any) -> None:
        super().__init__(*args, **more)
        self._limits = limits
        self._waiting: asyncio.TimerHandle | None = None  # while the head of a request is not there
        self._reading: asyncio.TimerHandle | None = None  # while an answer is not read
        self._unread = 0  # bytes, when that was looked at last
        self._ending: asyncio.TimerHandle | None = None  # once nothing that comes is heard any more

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        if len(self.connections) > self._limits.most_connections:
            self._make_room()
        self._expect_head()

    def data_received(self, data: bytes) -> None:
        if self._ending is None:
            super().data_received(data)
            self._expect_head()

    def on_response_complete(self) -> None:
        self._expect_reading()
        super().on_response_complete()
        self._expect_head()

    def connection_lost(self, exc: Exception | None) -> None:
        super().connection_lost(exc)
        for timer in (self._waiting, self._reading, self._ending):
            if timer is not None:
                timer.cancel()
        self._waiting = None

    def shutdown(self) -> None:
        """Answer what is at work, and say that no more requests are heard: Uvicorn closes, but does not say so."""
        if self.cycle is not None and not self.cycle.response_started:
            self.cycle.scope["headers"] = [*self.cycle.scope["headers"], CLOSE]  # as if the client had asked for it
        super().shutdown()

    def send_400_response(self, msg: str) -> None:
        self._tell(Problem(400, "Not HTTP", f"{msg[:1].lower()}{msg[1:].rstrip('.')}", connection="close"))

    def _expect_head(self) -> None:
        """Have a limit while no request is at work; the rest of a body whose request was answered counts as none."""
        answered = self.conn.their_state is h11.SEND_BODY and self.conn.our_state is h11.DONE
        at_rest = answered or self.conn.their_state is h11.IDLE
        idle = at_rest and self._ending is None and not self.transport.is_closing()
        if idle and self._waiting is None:
            self._waiting = self.loop.call_later(self._limits.head_seconds, self._end_waiting)
        elif not idle and self._waiting is not None:
            self._waiting.cancel()
            self._waiting = None

    def _end_waiting(self) -> None:
        """Close a connection on which no request has come, or only a part of its head."""
        if self._waiting is not None:
            self._waiting.cancel()
            self._waiting = None
        if self.conn.trailing_data[0]:
            told = f"the head of the request did not come within {self._limits.head_seconds:g} s"
            self._tell(Problem(408, "Too slow", told, connection="close"))
        elif not self.transport.is_closing():
            self.conn.send(h11.ConnectionClosed())
            self.transport.close()

    def _make_room(self) -> None:
        waiting = [one for one in self.connections if isinstance(one, Connection) and one._waiting is not None]
        if waiting:
            min(waiting, key=_until)._end_waiting()
        else:
            told = f"{self._limits.most_connections} clients are being served already; try again a little later"
            self._tell(Problem(503, "Busy", told, connection="close", retry_after=str(RETRY_AFTER)))

    def _tell(self, problem: Problem) -> None:
        """Say why, and no more on this connection."""
        if self.cycle is not None and not self.cycle.response_complete:
            self.cycle.disconnected = True
            self.cycle.message_event.set()
        if self.conn.our_state not in (h11.IDLE, h11.SEND_RESPONSE):  # an answer is on its way
            self.transport.close()
            return
        LOG.info("%s %d %s", self.client[0] if self.client else "-", problem.status, problem.title)
        answer = problem.response()
        for event in (
            h11.Response(status_code=answer.status_code, headers=answer.raw_headers),
            h11.Data(data=bytes(answer.body)),
            h11.EndOfMessage(),
        ):
            self.transport.write(self.conn.send(event) or b"")
        if self.transport.can_write_eof():
            self.transport.write_eof()
        self._ending = self.loop.call_later(LINGERING, self.transport.abort)

    def _expect_reading(self) -> None:
        self._unread = self.transport.get_write_buffer_size()
        if self._unread and self._reading is None:
            self._reading = self.loop.call_later(self._limits.answer_seconds, self._check_reading)

    def _check_reading(self) -> None:
        self._reading, before = None, self._unread
        if self.transport.get_write_buffer_size() > max(before - PROGRESS, 0):
            LOG.info("%s does not read its answer", self.client[0] if self.client else "-")
            self.transport.abort()
        else:
            self._expect_reading()


def _until(connection: Connection) -> float:
    assert connection._waiting is not None
    return connection._waiting.when()
