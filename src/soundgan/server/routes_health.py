"""`/healthz`, `/readyz` and `/metrics`: monitoring."""

from __future__ import annotations

import asyncio
import logging
import secrets

from fastapi import APIRouter, Request, Response
from prometheus_client import CONTENT_TYPE_LATEST

from soundgan.model import SEEDS, GenerationRequest
from soundgan.server.batch_queue import QueueUnavailable
from soundgan.server.problems import RETRY_AFTER, Problem
from soundgan.server.schemas import Health
from soundgan.server.state import State, get_state
from soundgan.sound import Sound

LOG = logging.getLogger("soundgan.server")
READY_WINDOW = 30.0  # s for which a generated sound proves readiness
PROBE_TIMEOUT = 10.0  # s that a sound may take on a server that is ready
TEXT = {"schema": {"type": "string"}}

router = APIRouter(tags=["health"])


@router.get("/healthz", responses={503: {}})
async def healthz(request: Request) -> Health:
    """Liveness: the process answers, and its queues accept requests."""
    if any(queue.closed for queue in get_state(request).queues.values()):
        raise Problem(503, "a queue is closed; restart the server")
    return Health(status="alive")


@router.get("/readyz", responses={503: {}})
async def readyz(request: Request) -> Health:
    """Readiness: a sound was generated recently, or one can be generated now."""
    state = get_state(request)
    last = state.last_sound_at
    recent = last is not None and asyncio.get_running_loop().time() - last <= READY_WINDOW
    if not recent and not _in_progress(state):
        try:
            await asyncio.wait_for(asyncio.shield(_probe(state)), PROBE_TIMEOUT)
        except QueueUnavailable:
            raise
        except Exception as error:  # of any kind: there is no sound
            if not (isinstance(error, TimeoutError) and _in_progress(state)):
                LOG.exception("not ready: no sound could be generated")
                detail = "no sound could be generated; see the server's log"
                raise Problem(503, detail, retry_after=str(RETRY_AFTER)) from error
    return Health(status="ready")


def _in_progress(state: State) -> bool:
    """Return True if a batch of several sounds is being generated within its time."""
    return any(
        size > 1 and seconds <= PROBE_TIMEOUT * size
        for queue in state.queues.values()
        for size, seconds in queue.running
    )


def _probe(state: State) -> asyncio.Task[list[Sound]]:
    """Task that generates a sound, shared by concurrent requests."""
    if state.readiness_probe is None or state.readiness_probe.done():
        probe = asyncio.create_task(state.first_queue.run([GenerationRequest(secrets.randbelow(SEEDS))]))
        probe.add_done_callback(lambda task: task.cancelled() or task.exception())  # mark an error as retrieved
        state.readiness_probe = probe
    return state.readiness_probe


@router.get(
    "/metrics",
    response_class=Response,
    responses={200: {"description": "Metrics.", "content": {CONTENT_TYPE_LATEST.partition(";")[0]: TEXT}}},
)
async def metrics(request: Request) -> Response:
    """Metrics in the Prometheus text format."""
    state = get_state(request)
    for name, queue in state.queues.items():
        state.metrics.queued.labels(name).set(queue.waiting)
    return Response(state.metrics.text(), media_type=CONTENT_TYPE_LATEST)
