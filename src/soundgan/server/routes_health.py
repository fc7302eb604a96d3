"""`/healthz`, `/readyz` and `/metrics`: for those who look after a server."""

from __future__ import annotations

import asyncio
import logging
import secrets

from fastapi import APIRouter, Request, Response
from prometheus_client import CONTENT_TYPE_LATEST

from soundgan.model import SEEDS, GenerationRequest
from soundgan.server.batching import Busy
from soundgan.server.problems import RETRY_AFTER, Problem, may
from soundgan.server.schemas import Health
from soundgan.server.state import State, state
from soundgan.sound import Sound

LOG = logging.getLogger("soundgan.server")
LATELY = 30.0  # s for which a sound that was made says that the next one can be made
PATIENCE = 10.0  # s that a sound may take until a server is not ready
TEXT = {"schema": {"type": "string"}}

router = APIRouter(tags=["health"])


@router.get("/healthz", responses=may(503))
async def healthz(request: Request) -> Health:
    """Is the process alive, and takes orders?"""
    if any(queue.closed for queue in state(request).batchers.values()):
        raise Problem(503, "Not alive", "a model takes no more orders; start the server again")
    return Health(status="alive")


@router.get("/readyz", responses=may(503))
async def readyz(request: Request) -> Health:
    """Can sounds be made? One was lately, or is made now."""
    house = state(request)
    lately = house.worked is not None and asyncio.get_running_loop().time() - house.worked <= LATELY
    if not lately and not _at_work(house):
        try:
            await asyncio.wait_for(asyncio.shield(_probe(house)), PATIENCE)
        except Busy:
            raise
        except Exception as error:  # whatever it is: no sound came
            if not (isinstance(error, TimeoutError) and _at_work(house)):
                LOG.exception("not ready: no sound could be made")
                told = "no sound could be made; the server's log says why"
                raise Problem(503, "Not ready", told, retry_after=str(RETRY_AFTER)) from error
    return Health(status="ready")


def _at_work(house: State) -> bool:
    """Whether several sounds are being made together, and for no longer than so many may take."""
    return any(
        count > 1 and seconds <= PATIENCE * count
        for queue in house.batchers.values()
        for count, seconds in queue.making
    )


def _probe(house: State) -> asyncio.Task[list[Sound]]:
    """The making of a sound to see whether it works; however many ask, one at a time."""
    if house.probe is None or house.probe.done():
        queue = next(iter(house.batchers.values()))
        house.probe = asyncio.create_task(queue.make([GenerationRequest(secrets.randbelow(SEEDS))]))
        house.probe.add_done_callback(lambda probe: probe.cancelled() or probe.exception())  # nobody may wait any more
    return house.probe


@router.get(
    "/metrics",
    response_class=Response,
    responses={200: {"description": "Counters.", "content": {CONTENT_TYPE_LATEST.partition(";")[0]: TEXT}}},
)
async def metrics(request: Request) -> Response:
    """Counters in the text format of Prometheus."""
    house = state(request)
    for name, queue in house.batchers.items():
        house.metrics.waiting.labels(name).set(queue.waiting)
    return Response(house.metrics.text(), media_type=CONTENT_TYPE_LATEST)
