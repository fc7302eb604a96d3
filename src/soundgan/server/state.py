"""Application state, and dependencies of the routes (FastAPI)."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import partial

from fastapi import Request

from soundgan.model import GenerationRequest
from soundgan.server.batch_queue import BatchQueue
from soundgan.server.metrics import Metrics
from soundgan.server.problems import Problem
from soundgan.server.rate_limit import RateLimiter
from soundgan.server.settings import ServerSettings
from soundgan.sound import Sound


@dataclass
class State:
    """State of an app.

    Attributes:
        queues: by the name of their model.
        cards: model cards, by the name of their model.
        last_sound_at: time of the last generated sound, in s of the event loop; None before the first.
        readiness_probe: generates the sound that `/readyz` waits for.
        rate_limiter: None if there is no limit.
    """

    settings: ServerSettings
    queues: dict[str, BatchQueue] = field(default_factory=dict)
    cards: dict[str, str] = field(default_factory=dict)
    metrics: Metrics = field(default_factory=Metrics)
    last_sound_at: float | None = None
    readiness_probe: asyncio.Task[list[Sound]] | None = None
    rate_limiter: RateLimiter | None = None

    @property
    def first_queue(self) -> BatchQueue:
        return next(iter(self.queues.values()))

    def on_batch(self, model: str, size: int) -> None:
        """Record a generated batch."""
        self.last_sound_at = asyncio.get_running_loop().time()
        self.metrics.count_batch(model, size)


def get_state(request: Request) -> State:
    return request.app.state.soundgan


async def model_queue(model: str, request: Request) -> BatchQueue:
    """Queue of the model in the path."""
    queues = get_state(request).queues
    if model not in queues:
        raise Problem(404, f"{model}: not a model of this server, which has {', '.join(queues)}", "model")
    return queues[model]


async def submit(request: Request, queue: BatchQueue, requests: Sequence[GenerationRequest]) -> list[Sound]:
    """Generate sounds for the client of a request, within its rate limit.

    Raises:
        Problem: the client is over its rate limit.
        ModelError, QueueUnavailable: as `BatchQueue.run`.
    """
    limiter, address = get_state(request).rate_limiter, request.client.host if request.client else ""
    if limiter is None:
        return await queue.run(requests)
    for generation_request in requests:
        queue.model.check(generation_request)
    limiter.acquire(address, len(requests))
    return await queue.run(requests, on_dropped=partial(limiter.refund, address))
