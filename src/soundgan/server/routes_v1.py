"""`/v1`: the models of a server, and their sounds and spectrograms."""

from __future__ import annotations

import asyncio
import base64
import io
import secrets
import zipfile
from typing import Annotated, Any
from urllib.parse import quote

from fastapi import APIRouter, Body, Depends, Query, Request, Response

from soundgan.audio import Format
from soundgan.model import SEEDS, GenerationRequest, SoundGAN
from soundgan.server.batching import BatchQueue
from soundgan.server.problems import Problem, may
from soundgan.server.schemas import ModelDetails, Models, ModelSummary, SoundAnswer, SoundsAnswer, SoundsRequest
from soundgan.server.security import AuthenticatedRoute, require_same_site
from soundgan.server.settings import ServerSettings
from soundgan.server.state import make, named_batcher, server_settings, state
from soundgan.sound import Sound

MEDIA = {"wav": "audio/wav", "flac": "audio/flac", "ogg": "audio/ogg"}
BINARY: dict[str, Any] = {"schema": {"type": "string", "format": "binary"}}
ASKED: dict[str, Any] = {
    "one": {"summary": "One sound, as a file", "value": {"label": "3", "seed": 7}},
    "many": {"summary": "Eight sounds as a zip", "value": {"n": 8, "quality": "fast", "format": "flac"}},
    "json": {"summary": "Two sounds in JSON", "value": {"n": 2, "seed": 7, "truncation": 0.6, "answer": "json"}},
}
TOLD: dict[str, Any] = {
    "model": "digits",
    "sounds": [
        {
            "name": "3_7.wav",
            "label": "3",
            "seed": 7,
            "sample_rate": 8000,
            "duration": 1.024,
            "format": "wav",
            "audio": "UklGRiRAAABXQVZF",
            "spectrogram": "iVBORw0KGgo=",
        }
    ],
}
_DATE = (1980, 1, 1, 0, 0, 0)  # the first that a zip can hold: the same sounds, the same bytes

router = APIRouter(prefix="/v1/models", tags=["sounds"], route_class=AuthenticatedRoute)
Named = Annotated[BatchQueue, Depends(named_batcher)]


@router.get("")
async def models(request: Request) -> Models:
    """All models of this server."""
    return Models(models=[ModelSummary(**_about(one.model)) for one in state(request).batchers.values()])


@router.get("/{name}", responses=may(404))
async def model(name: str, queue: Named, request: Request) -> ModelDetails:
    """One model and its card."""
    return ModelDetails(**_about(queue.model), card=state(request).cards[name])


@router.post(
    "/{name}/sounds",
    response_model=None,
    responses={
        200: {
            "description": "One sound file, a zip of several, or JSON.",
            "model": SoundsAnswer,
            "content": {
                "application/json": {"example": TOLD},
                **{media: BINARY for media in (*MEDIA.values(), "application/zip")},
            },
            "headers": {
                "X-Seed": {"description": "Seed of the first sound in a file.", "schema": {"type": "integer"}},
                "Content-Disposition": {"description": "Name for the file.", "schema": {"type": "string"}},
            },
        },
        **may(404, 422, 429, 503),
    },
)
async def sounds(
    asked: Annotated[SoundsRequest, Body(openapi_examples=ASKED)],
    request: Request,
    queue: Named,
    settings: Annotated[ServerSettings, Depends(server_settings)],
) -> Response | SoundsAnswer:
    """Make sounds. The same seed gives the same bytes, whatever else is to do."""
    if asked.n > settings.max_sounds_per_request:
        raise Problem(422, "Too many", f"n: at most {settings.max_sounds_per_request} sounds in one request", "n")
    answer = asked.answer or ("file" if asked.n == 1 else "zip")
    if answer == "file" and asked.n > 1:
        raise Problem(422, "Not a valid request", "answer: a file holds one sound; use zip or json", "answer")
    if asked.spectrogram and answer != "json":
        raise Problem(
            422, "Not a valid request", "spectrogram: only a JSON answer holds it; set answer to json", "spectrogram"
        )
    first = secrets.randbelow(SEEDS) if asked.seed is None else asked.seed
    seeds = [(first + i) % SEEDS for i in range(asked.n)]
    orders = [GenerationRequest(seed, asked.label, asked.truncation, asked.quality) for seed in seeds]
    made = await make(request, queue, orders)
    return await asyncio.to_thread(_answered, made, queue.model.config.name, asked.format, answer, asked.spectrogram)


@router.get(
    "/{name}/spectrogram.png",
    response_class=Response,
    responses={200: {"description": "A picture.", "content": {"image/png": BINARY}}, **may(403, 404, 422, 429, 503)},
)
async def spectrogram(
    request: Request,
    queue: Named,
    seed: Annotated[int, Query(ge=0, lt=SEEDS)],
    label: str | None = None,
    truncation: Annotated[float, Query(ge=0, le=2, allow_inf_nan=False)] = 1.0,
    zoom: Annotated[int, Query(ge=1, le=8)] = 2,
) -> Response:
    """The spectrogram of the sound of a seed, low frequencies at the bottom."""
    require_same_site(request)
    (sound,) = await make(request, queue, [GenerationRequest(seed, label, truncation, "fast")])
    return Response(await asyncio.to_thread(_png, sound, zoom), media_type="image/png")


def _about(model: SoundGAN) -> dict[str, Any]:
    config, representation = model.config, model.representation
    return {
        "name": config.name, "labels": list(config.labels), "sample_rate": representation.sample_rate,
        "duration": representation.duration, "bands": representation.bands, "frames": representation.frames,
        "license": config.license, "attribution": config.attribution,
    }  # fmt: skip


def _answered(made: list[Sound], model: str, format: Format, answer: str, spectrogram: bool) -> Response | SoundsAnswer:
    files = [sound.encode(format) for sound in made]
    names = [f"{model if sound.label is None else sound.label}_{sound.seed}.{format}" for sound in made]
    if answer == "json":
        told = [_told(*one, format, spectrogram) for one in zip(made, names, files, strict=True)]
        return SoundsAnswer(model=model, sounds=told)
    if answer == "file":
        return _file(files[0], names[0], MEDIA[format], made[0].seed)
    return _file(_zip(names, files), f"{model}_{made[0].seed}.zip", "application/zip", made[0].seed)


def _told(sound: Sound, name: str, file: bytes, format: Format, spectrogram: bool) -> SoundAnswer:
    return SoundAnswer(
        name=name, label=sound.label, seed=sound.seed, sample_rate=sound.sample_rate, duration=sound.duration,
        format=format, audio=_base64(file), spectrogram=_base64(_png(sound)) if spectrogram else None,
    )  # fmt: skip


def _base64(content: bytes) -> str:
    return base64.b64encode(content).decode()


def _png(sound: Sound, zoom: int = 1) -> bytes:
    file = io.BytesIO()
    sound.picture(zoom=zoom).save(file, format="PNG")
    return file.getvalue()


def _file(content: bytes, name: str, media: str, seed: int) -> Response:
    """A file to save; labels may have letters that no header can hold."""
    told = {"Content-Disposition": f"attachment; filename*=UTF-8''{quote(name)}", "X-Seed": str(seed)}
    return Response(content, media_type=media, headers=told)


def _zip(names: list[str], files: list[bytes]) -> bytes:
    """The same names and files, the same bytes."""
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w") as archive:
        for name, file in zip(names, files, strict=True):
            archive.writestr(zipfile.ZipInfo(name, _DATE), file)
    return content.getvalue()
