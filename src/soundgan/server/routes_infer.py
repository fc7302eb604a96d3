"""`POST /infer`, the classic API: a file name in, a path or an error out."""

from __future__ import annotations

import asyncio
import secrets
from pathlib import Path

from fastapi import APIRouter, Request

from soundgan.audio import FORMATS
from soundgan.errors import AudioError, SoundGANError, one_line
from soundgan.files import check_name
from soundgan.inference import save_at_size
from soundgan.model import SEEDS, GenerationRequest
from soundgan.server.batch_queue import QueueUnavailable
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
        wanted = GenerationRequest(secrets.randbelow(SEEDS), level=settings.output_level, keep_length=True)
        (sound,) = await submit(request, queue, [wanted])
        await asyncio.to_thread(save_at_size, sound, path, queue.model.representation, settings.image_size)
    except (SoundGANError, OSError) as error:
        return InferResponse(output_path="", error=one_line(error))
    except QueueUnavailable:
        return InferResponse(output_path="", error=BUSY)
    return InferResponse(output_path=body.output_file, error="")


def resolve_within(folder: Path, name: str) -> Path:
    """Return the path of a sound file in `folder`, of an untrusted name.

    Raises:
        AudioError: the name is not that of a sound file, is a folder or in a missing one, or leads out of `folder` by
            `..` or a link.
    """
    subject = f"output_file = {name!r}"
    path, root = Path(name), folder.resolve()
    try:
        for part in path.parts or ("",):
            check_name(part)
    except ValueError:
        raise AudioError(f"{subject}: must be the name of a file in the output folder, such as x.wav") from None
    if path.suffix.lower() not in FORMATS:
        raise AudioError(f"{subject}: must end in {', '.join(FORMATS)}")
    try:
        target = (root / path).resolve()
        leads_out = not target.is_relative_to(root) or (root / path).is_symlink()
        is_folder = target.is_dir()
    except (OSError, RuntimeError, ValueError) as error:  # RuntimeError: circular links
        reason = getattr(error, "strerror", None) or "circular links"
        raise AudioError(f"{subject}: cannot be a file in the output folder ({reason})") from error
    if leads_out:
        raise AudioError(f"{subject}: is a link; use another name")
    if is_folder:
        raise AudioError(f"{subject}: is a folder; use another name")
    if not target.parent.is_dir():
        raise AudioError(f"{subject}: its folder does not exist in the output folder; use another name")
    return root / path
