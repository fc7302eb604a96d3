"""`/healthz`, `/readyz` and `/metrics`: for those who look after a server."""

from __future__ import annotations

import asyncio
import secrets

from fastapi import APIRouter, Request, Response
from prometheus_client import CONTENT_TYPE_LATEST

from soundgan.model import SEEDS, Order
from soundgan.server.batching import Busy
from soundgan.server.problems import RETRY_AFTER, Problem
from soundgan.server.schemas import Health
from soundgan.server.state import state

LATELY = 30.0  # s for which a sound that was made says that the next one can be made
PATIENCE = 10.0  # s that a sound may take until a server is not ready

router = APIRouter(tags=["health"])


@router.get("/healthz")
async def healthz(request: Request) -> Health:
    """Is the process alive, and takes orders?"""
    if any(batcher.closed for batcher in state(request).batchers.values()):
        raise Problem(503, "Not alive", "a model takes no more orders; start the server again")
    return Health(status="alive")


@router.get("/readyz")
async def readyz(request: Request) -> Health:
    """Can sounds be made? One was lately, or is made now."""
    house, now = state(request), asyncio.get_running_loop().time
    if house.worked is None or now() - house.worked > LATELY:
        try:
            batcher = next(iter(house.batchers.values()))
            await asyncio.wait_for(batcher.make([Order(secrets.randbelow(SEEDS))]), PATIENCE)
        except Busy:
            raise
        except Exception as error:  # whatever it is: no sound came
            told = f"no sound could be made ({type(error).__name__}: {error})"
            raise Problem(503, "Not ready", told, retry_after=str(RETRY_AFTER)) from error
    return Health(status="ready")


@router.get("/metrics", response_class=Response)
async def metrics(request: Request) -> Response:
    """Counters in the text format of Prometheus."""
    house = state(request)
    for name, batcher in house.batchers.items():
        house.metrics.waiting.labels(name).set(batcher.waiting)
    return Response(house.metrics.text(), media_type=CONTENT_TYPE_LATEST)
