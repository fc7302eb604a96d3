"""`POST /infer`, the classic contract: a name goes in, and a path or an error comes out."""

from __future__ import annotations

import asyncio
import secrets
from typing import Annotated

from fastapi import APIRouter, Depends, Request

from soundgan.errors import SoundGANError, one_line
from soundgan.inference import save_at_size
from soundgan.model import SEEDS, GenerationRequest
from soundgan.server.batching import BatchQueue, Busy
from soundgan.server.output_path import inside
from soundgan.server.problems import BUSY, may
from soundgan.server.schemas import InferAnswer, InferRequest
from soundgan.server.security import AuthenticatedRoute
from soundgan.server.settings import ServerSettings
from soundgan.server.state import first_batcher, make, server_settings

router = APIRouter(tags=["classic"], route_class=AuthenticatedRoute)


@router.post("/infer", responses=may(422, 429))
async def infer(
    asked: InferRequest,
    request: Request,
    queue: Annotated[BatchQueue, Depends(first_batcher)],
    settings: Annotated[ServerSettings, Depends(server_settings)],
) -> InferAnswer:
    """Make a new sound and write it into the output folder under the name asked for."""
    try:
        path = inside(settings.output_folder, asked.output_file)
        (sound,) = await make(request, queue, [GenerationRequest(secrets.randbelow(SEEDS))])
        await asyncio.to_thread(save_at_size, sound, path, queue.model.representation, settings.image_size)
    except (SoundGANError, OSError) as error:
        return InferAnswer(output_path="", error=one_line(error))
    except Busy:
        return InferAnswer(output_path="", error=BUSY)
    return InferAnswer(output_path=asked.output_file, error="")
