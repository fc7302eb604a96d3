"""What belongs to one app, and how its routes get at it."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import partial

from fastapi import Request

from soundgan.model import Order
from soundgan.server.batching import Batcher
from soundgan.server.metrics import Metrics
from soundgan.server.problems import Problem
from soundgan.server.rate_limit import Rate
from soundgan.server.settings import ServerSettings
from soundgan.sound import Sound


@dataclass
class State:
    """The models of an app by name, each with what makes its sounds and its card.

    `worked` is when a sound was made last, on the clock of the event loop, in s; None before the first. `probe` makes
    the sound that shows whether one can be made, and `rate` says who may have how many; None: everybody, any.
    """

    settings: ServerSettings
    batchers: dict[str, Batcher] = field(default_factory=dict)
    cards: dict[str, str] = field(default_factory=dict)
    metrics: Metrics = field(default_factory=Metrics)
    worked: float | None = None
    probe: asyncio.Task[list[Sound]] | None = None
    rate: Rate | None = None


def state(request: Request) -> State:
    return request.app.state.soundgan


async def server_settings(request: Request) -> ServerSettings:
    return state(request).settings


async def first_batcher(request: Request) -> Batcher:
    return next(iter(state(request).batchers.values()))


async def named_batcher(name: str, request: Request) -> Batcher:
    """That of the model in the path."""
    batchers = state(request).batchers
    if name not in batchers:
        raise Problem(404, "No such model", f"{name}: not a model of this server; it has {', '.join(batchers)}", "name")
    return batchers[name]


async def make(request: Request, batcher: Batcher, orders: Sequence[Order]) -> list[Sound]:
    """The sounds of some orders for the client of a request.

    Raises:
        Problem: it had as many as it may have for now.
        ModelError, Busy: as `Batcher.make`.
    """
    rate, address = state(request).rate, request.client.host if request.client else ""
    if rate is None:
        return await batcher.make(orders)
    for order in orders:
        batcher.model.check(order)
    rate.take(address, len(orders))
    return await batcher.make(orders, unmade=partial(rate.give_back, address))
