"""What belongs to one app, and how its routes get at it."""

from __future__ import annotations

import secrets
from dataclasses import dataclass, field

from fastapi import Request

from soundgan.server.batching import Batcher
from soundgan.server.metrics import Metrics
from soundgan.server.problems import Problem
from soundgan.server.settings import ServerSettings


@dataclass
class State:
    """The models of an app by name, each with what makes its sounds and its card.

    `worked` is when a sound was made last, on the clock of the event loop, in s; None before the first.
    """

    settings: ServerSettings
    batchers: dict[str, Batcher] = field(default_factory=dict)
    cards: dict[str, str] = field(default_factory=dict)
    metrics: Metrics = field(default_factory=Metrics)
    worked: float | None = None


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


async def authorised(request: Request) -> None:
    """Let a request pass that brings the token, if there is one."""
    token = state(request).settings.token
    if token is None:
        return
    kind, _, given = request.headers.get("authorization", "").partition(" ")
    if kind.lower() != "bearer" or not secrets.compare_digest(
        given.encode("latin-1"), token.get_secret_value().encode()
    ):
        raise Problem(401, "Not authorised", "send the header `Authorization: Bearer TOKEN`", www_authenticate="Bearer")
