"""What belongs to one app, and how its routes get at it."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import partial

from fastapi import Request

from soundgan.model import GenerationRequest
from soundgan.server.batching import BatchQueue
from soundgan.server.metrics import Metrics
from soundgan.server.problems import Problem
from soundgan.server.rate_limit import RateLimiter
from soundgan.server.settings import ServerSettings
from soundgan.sound import Sound


@dataclass
class State:
    """The models of an app by name, each with what makes its sounds and its card.

    `worked` is when a sound was made last, on the clock of the event loop, in s; None before the first. `probe` makes
    the sound that shows whether one can be made, and `rate` says who may have how many; None: everybody, any.
    """

    settings: ServerSettings
    batchers: dict[str, BatchQueue] = field(default_factory=dict)
    cards: dict[str, str] = field(default_factory=dict)
    metrics: Metrics = field(default_factory=Metrics)
    worked: float | None = None
    probe: asyncio.Task[list[Sound]] | None = None
    rate: RateLimiter | None = None


def state(request: Request) -> State:
    return request.app.state.soundgan


async def server_settings(request: Request) -> ServerSettings:
    return state(request).settings


async def first_batcher(request: Request) -> BatchQueue:
    return next(iter(state(request).batchers.values()))


async def named_batcher(name: str, request: Request) -> BatchQueue:
    """That of the model in the path."""
    batchers = state(request).batchers
    if name not in batchers:
        raise Problem(404, "No such model", f"{name}: not a model of this server; it has {', '.join(batchers)}", "name")
    return batchers[name]


async def make(request: Request, queue: BatchQueue, orders: Sequence[GenerationRequest]) -> list[Sound]:
    """The sounds of some orders for the client of a request.

    Raises:
        Problem: it had as many as it may have for now.
        ModelError, Busy: as `BatchQueue.make`.
    """
    rate, address = state(request).rate, request.client.host if request.client else ""
    if rate is None:
        return await queue.make(orders)
    for order in orders:
        queue.model.check(order)
    rate.take(address, len(orders))
    return await queue.make(orders, unmade=partial(rate.give_back, address))
