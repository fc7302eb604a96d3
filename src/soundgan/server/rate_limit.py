"""Rate limit: sounds per minute and client."""

from __future__ import annotations

import ipaddress
import math
import time
from collections.abc import Callable

from soundgan.server.problems import Problem

MAX_CLIENTS = 10_000  # whose buckets are stored


class RateLimiter:
    """A token bucket per client: a sound takes a token, and tokens return at a constant rate.

    Only the time at which a bucket is full again is stored; full buckets are dropped. Beyond `max_clients`, the bucket
    used least recently is dropped too, so a client with thousands of addresses is not limited.

    Args:
        per_minute: tokens of a full bucket, and those that return in a minute.
        clock: in s.
    """

    def __init__(
        self, per_minute: int, *, clock: Callable[[], float] = time.monotonic, max_clients: int = MAX_CLIENTS
    ) -> None:
        self._per_minute, self._clock, self._max_clients = per_minute, clock, max_clients
        self._full_at: dict[str, float] = {}  # by client, least recently used first

    def acquire(self, address: str, count: int) -> None:
        """Take `count` tokens of a client. Raises `Problem` if it has fewer; none is taken then."""
        now, client = self._clock(), _client(address)
        full_at = max(self._full_at.get(client, now), now) + self._seconds(count)
        missing = full_at - now - self._seconds(self._per_minute)
        if missing > 1e-6:
            seconds = math.ceil(missing)
            message = f"the limit is {self._per_minute} sounds a minute for one client; retry in {seconds} s"
            raise Problem(429, message, retry_after=str(seconds))
        self._put(client, full_at, now)

    def refund(self, address: str, count: int) -> None:
        """Return the tokens of sounds that were never generated."""
        now, client = self._clock(), _client(address)
        self._put(client, self._full_at.get(client, now) - self._seconds(count), now)

    def _seconds(self, count: int) -> float:
        return 60 * count / self._per_minute

    def _put(self, client: str, full_at: float, now: float) -> None:
        self._full_at.pop(client, None)
        if full_at > now:
            self._full_at[client] = full_at
        while self._full_at and (len(self._full_at) > self._max_clients or next(iter(self._full_at.values())) <= now):
            del self._full_at[next(iter(self._full_at))]


def _client(address: str) -> str:
    """Client of an address: one IPv6 customer has at least a whole /64 network."""
    try:
        ip = ipaddress.ip_address(address)
    except ValueError:
        return address
    if ip.version == 4:
        return str(ip)
    return str(ip.ipv4_mapped or ipaddress.ip_network((ip.packed[:8] + bytes(8), 64)))
