"""`POST /infer`, the classic contract: a name goes in, and a path or an error comes out."""

from __future__ import annotations

import asyncio
import secrets
from typing import Annotated

from fastapi import APIRouter, Depends

from soundgan.errors import SoundGANError, one_line
from soundgan.model import SEEDS, Order
from soundgan.server.batching import Batcher, Busy
from soundgan.server.places import inside
from soundgan.server.problems import BUSY
from soundgan.server.schemas import InferAnswer, InferRequest
from soundgan.server.settings import ServerSettings
from soundgan.server.state import first_batcher, server_settings

router = APIRouter(tags=["classic"])


@router.post("/infer")
async def infer(
    request: InferRequest,
    batcher: Annotated[Batcher, Depends(first_batcher)],
    settings: Annotated[ServerSettings, Depends(server_settings)],
) -> InferAnswer:
    """Make a new sound and write it into the output folder under the name asked for."""
    try:
        path = inside(settings.output_folder, request.output_file)
        (sound,) = await batcher.make([Order(secrets.randbelow(SEEDS))])
        await asyncio.to_thread(sound.save, path)
    except (SoundGANError, OSError) as error:
        return InferAnswer(output_path="", error=one_line(error))
    except Busy:
        return InferAnswer(output_path="", error=BUSY)
    return InferAnswer(output_path=request.output_file, error="")
