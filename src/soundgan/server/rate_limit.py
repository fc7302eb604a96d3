"""How many sounds a minute one client may have."""

from __future__ import annotations

import ipaddress
import math
import time
from collections.abc import Callable

from soundgan.server.problems import Problem

MOST_CLIENTS = 10_000  # that are remembered


class RateLimiter:
    """A bucket of tokens for each client: a sound takes one, and they come back steadily.

    Of a bucket only the time is kept at which it will be full again; one that is full is forgotten. When there are too
    many, so is the one that was longest not touched: who comes from thousands of addresses is not held up by this.

    Args:
        most: tokens in a full bucket, which an empty one has again after a minute.
        clock: in s.
    """

    def __init__(self, most: int, *, clock: Callable[[], float] = time.monotonic, clients: int = MOST_CLIENTS) -> None:
        self._most, self._clock, self._clients = most, clock, clients
        self._full: dict[str, float] = {}  # by client, the one touched last at the end

    def take(self, address: str, count: int) -> None:
        """Take the tokens of some sounds. Raises `Problem` if there are not so many, and takes none then."""
        now, client = self._clock(), _client(address)
        full = max(self._full.get(client, now), now) + self._seconds(count)
        missing = full - now - self._seconds(self._most)
        if missing > 1e-6:
            seconds = math.ceil(missing)
            told = f"at most {self._most} sounds a minute for one client; come again in {seconds} s"
            raise Problem(429, "Too many sounds", told, retry_after=str(seconds))
        self._put(client, full, now)

    def give_back(self, address: str, count: int) -> None:
        """Put back the tokens of sounds that were not made after all."""
        now, client = self._clock(), _client(address)
        self._put(client, self._full.get(client, now) - self._seconds(count), now)

    def _seconds(self, count: int) -> float:
        return 60 * count / self._most

    def _put(self, client: str, full: float, now: float) -> None:
        self._full.pop(client, None)
        if full > now:
            self._full[client] = full
        while self._full and (len(self._full) > self._clients or next(iter(self._full.values())) <= now):
            del self._full[next(iter(self._full))]


def _client(address: str) -> str:
    """Whose address it is: of IPv6, one customer has at least a whole network of 64 bits."""
    try:
        ip = ipaddress.ip_address(address)
    except ValueError:
        return address
    if ip.version == 4:
        return str(ip)
    return str(ip.ipv4_mapped or ipaddress.ip_network((ip.packed[:8] + bytes(8), 64)))
