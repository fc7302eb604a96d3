"""`POST /infer`, the classic API: a file name in, a path or an error out."""

from __future__ import annotations

import asyncio
import secrets

from fastapi import APIRouter, Request

from soundgan.errors import SoundGANError, one_line
from soundgan.inference import save_at_size
from soundgan.model import SEEDS, GenerationRequest
from soundgan.server.batch_queue import QueueUnavailable
from soundgan.server.output_path import resolve_within
from soundgan.server.problems import BUSY
from soundgan.server.schemas import InferRequest, InferResponse
from soundgan.server.security import AuthenticatedRoute
from soundgan.server.state import get_state, submit

router = APIRouter(tags=["classic"], route_class=AuthenticatedRoute)


@router.post("/infer", responses={422: {}, 429: {}})
async def infer(body: InferRequest, request: Request) -> InferResponse:
    """Generate a sound and write it to the output folder under the given name."""
    queue, settings = get_state(request).first_queue, get_state(request).settings
    try:
        path = resolve_within(settings.output_folder, body.output_file)
        (sound,) = await submit(request, queue, [GenerationRequest(secrets.randbelow(SEEDS))])
        await asyncio.to_thread(save_at_size, sound, path, queue.model.representation, settings.image_size)
    except (SoundGANError, OSError) as error:
        return InferResponse(output_path="", error=one_line(error))
    except QueueUnavailable:
        return InferResponse(output_path="", error=BUSY)
    return InferResponse(output_path=body.output_file, error="")
