"""`/v1`: models, their sounds and spectrograms."""

from __future__ import annotations

import asyncio
import io
import secrets
import zipfile
from base64 import b64encode
from typing import Annotated, Any
from urllib.parse import quote

from fastapi import APIRouter, Body, Depends, Query, Request, Response

from soundgan.model import SEEDS, GenerationRequest, SoundGAN
from soundgan.server.batch_queue import BatchQueue
from soundgan.server.problems import Problem
from soundgan.server.schemas import ModelDetails, Models, ModelSummary, SoundResponse, SoundsRequest, SoundsResponse
from soundgan.server.security import AuthenticatedRoute, require_same_site
from soundgan.server.state import get_state, model_queue, submit
from soundgan.sound import Sound

MEDIA_TYPES = {"wav": "audio/wav", "flac": "audio/flac", "ogg": "audio/ogg"}
BINARY: dict[str, Any] = {"schema": {"type": "string", "format": "binary"}}
EXAMPLE_REQUESTS: dict[str, Any] = {
    "one": {"summary": "One sound, as a file", "value": {"label": "3", "seed": 7}},
    "many": {"summary": "Eight sounds as a zip", "value": {"n": 8, "quality": "fast", "format": "flac"}},
    "json": {"summary": "Two sounds in JSON", "value": {"n": 2, "seed": 7, "truncation": 0.6, "answer": "json"}},
}
EXAMPLE_RESPONSE: dict[str, Any] = {
    "model": "digits",
    "sounds": [
        {
            "name": "3_7.wav", "label": "3", "seed": 7, "sample_rate": 8000, "duration": 1.024,
            "format": "wav", "audio": "UklGRiRAAABXQVZF", "spectrogram": "iVBORw0KGgo=",
        }
    ],
}  # fmt: skip
_ZIP_DATE = (1980, 1, 1, 0, 0, 0)  # constant, so that the same sounds give the same bytes; zip has no earlier date

router = APIRouter(prefix="/v1/models", tags=["sounds"], route_class=AuthenticatedRoute)
ModelQueue = Annotated[BatchQueue, Depends(model_queue)]


@router.get("")
async def models(request: Request) -> Models:
    """All models of this server."""
    return Models(models=[ModelSummary(**_summary(queue.model)) for queue in get_state(request).queues.values()])


@router.get("/{model}", responses={404: {}})
async def model(queue: ModelQueue, request: Request) -> ModelDetails:
    """A model and its card."""
    return ModelDetails(**_summary(queue.model), card=get_state(request).cards[queue.model.config.name])


@router.post(
    "/{model}/sounds",
    response_model=None,
    responses={
        200: {
            "description": "A sound file, a zip of several, or JSON.",
            "model": SoundsResponse,
            "content": {
                "application/json": {"example": EXAMPLE_RESPONSE},
                **{media_type: BINARY for media_type in (*MEDIA_TYPES.values(), "application/zip")},
            },
            "headers": {
                "X-Seed": {"description": "Seed of the first sound in a file.", "schema": {"type": "integer"}},
                "Content-Disposition": {"description": "File name.", "schema": {"type": "string"}},
            },
        },
        404: {},
        422: {},
        429: {},
        503: {},
    },
)
async def sounds(
    body: Annotated[SoundsRequest, Body(openapi_examples=EXAMPLE_REQUESTS)],
    request: Request,
    queue: ModelQueue,
) -> Response | SoundsResponse:
    """Generate sounds. The same seed gives the same bytes, independently of other requests."""
    largest = get_state(request).settings.largest_request
    if body.n > largest:
        raise Problem(422, f"n: at most {largest} sounds in one request", "n")
    body.answer = body.answer or ("file" if body.n == 1 else "zip")
    if body.answer == "file" and body.n > 1:
        raise Problem(422, "answer: a file has a single sound; use zip or json", "answer")
    if body.spectrogram and body.answer != "json":
        raise Problem(422, "spectrogram: only in a JSON response; set answer to json", "spectrogram")
    first = secrets.randbelow(SEEDS) if body.seed is None else body.seed
    seeds = [(first + i) % SEEDS for i in range(body.n)]
    requests = [
        GenerationRequest(seed, body.label, body.truncation, body.quality, body.level, body.keep_length)
        for seed in seeds
    ]
    generated = await submit(request, queue, requests)
    return await asyncio.to_thread(_encode, generated, queue.model.config.name, body)


@router.get(
    "/{model}/spectrogram.png",
    response_class=Response,
    responses={
        200: {"description": "An image.", "content": {"image/png": BINARY}},
        403: {},
        404: {},
        422: {},
        429: {},
        503: {},
    },
)
async def spectrogram(
    request: Request,
    queue: ModelQueue,
    seed: Annotated[int, Query(ge=0, lt=SEEDS)],
    label: str | None = None,
    truncation: Annotated[float, Query(ge=0, le=2, allow_inf_nan=False)] = 1.0,
    zoom: Annotated[int, Query(ge=1, le=8)] = 2,
) -> Response:
    """Spectrogram of the sound of a seed, low frequencies at the bottom."""
    require_same_site(request)
    (sound,) = await submit(request, queue, [GenerationRequest(seed, label, truncation, "fast")])
    return Response(await asyncio.to_thread(_png, sound, zoom), media_type="image/png")


def _summary(model: SoundGAN) -> dict[str, Any]:
    config, representation = model.config, model.representation
    return {
        "name": config.name, "labels": list(config.labels), "sample_rate": representation.sample_rate,
        "duration": representation.duration, "bands": representation.bands, "frames": representation.frames,
        "license": config.license, "attribution": config.attribution,
    }  # fmt: skip


def _encode(generated: list[Sound], model: str, body: SoundsRequest) -> Response | SoundsResponse:
    files = [sound.encode(body.format) for sound in generated]
    names = [f"{model if sound.label is None else sound.label}_{sound.seed}.{body.format}" for sound in generated]
    if body.answer == "file":
        return _attachment(files[0], names[0], MEDIA_TYPES[body.format], generated[0].seed)
    if body.answer == "zip":
        name = f"{model}_{generated[0].seed}.zip"
        return _attachment(_zip(names, files), name, "application/zip", generated[0].seed)
    sounds = [
        SoundResponse(
            name=name, label=sound.label, seed=sound.seed, sample_rate=sound.sample_rate, duration=sound.duration,
            format=body.format, audio=b64encode(file).decode(),
            spectrogram=b64encode(_png(sound)).decode() if body.spectrogram else None,
        )
        for sound, name, file in zip(generated, names, files, strict=True)
    ]  # fmt: skip
    return SoundsResponse(model=model, sounds=sounds)


def _png(sound: Sound, zoom: int = 1) -> bytes:
    file = io.BytesIO()
    sound.picture(zoom=zoom).save(file, format="PNG")
    return file.getvalue()


def _attachment(content: bytes, name: str, media_type: str, seed: int) -> Response:
    """File download; the name is encoded, since labels may have characters that headers cannot hold."""
    headers = {"Content-Disposition": f"attachment; filename*=UTF-8''{quote(name)}", "X-Seed": str(seed)}
    return Response(content, media_type=media_type, headers=headers)


def _zip(names: list[str], files: list[bytes]) -> bytes:
    """Archive of some files; the same files give the same bytes."""
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w") as archive:
        for name, file in zip(names, files, strict=True):
            archive.writestr(zipfile.ZipInfo(name, _ZIP_DATE), file)
    return content.getvalue()
