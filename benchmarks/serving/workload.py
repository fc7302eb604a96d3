"""Requests of the stress test: valid ones, whose sounds are known in advance, and invalid ones."""

from __future__ import annotations

import base64
import hashlib
import io
import json
import random
import zipfile
from collections.abc import Mapping
from typing import NamedTuple

from benchmarks.serving.clients import Response, request
from soundgan import SoundGAN
from soundgan.audio import FORMATS, Format
from soundgan.spectral.phase_retrieval import QUALITIES, Quality


class SoundRequest(NamedTuple):
    """Model and fields of a valid request; `answer` is the kind of response."""

    model: str
    n: int
    seed: int
    label: str | None
    truncation: float
    quality: Quality
    format: Format
    answer: str | None

    def encode(self) -> bytes:
        """Bytes of the request; defaults are left out."""
        fields = {key: value for key, value in self._asdict().items() if value not in (None, "balanced")}
        return request(sounds_path(fields.pop("model")), fields)


Workload = Mapping[SoundRequest, list[str]]  # the digests of the sound files of each request


def sounds_path(model: str) -> str:
    return f"/v1/models/{model}/sounds"


def random_request(models: Mapping[str, SoundGAN], rng: random.Random) -> SoundRequest:
    """A request for one of the models, of which the first is the most frequent."""
    model = rng.choices(list(models), [12] + [1] * (len(models) - 1))[0]
    n = rng.choice((1, 1, 1, 1, 1, 2, 3, 5))
    return SoundRequest(
        model=model,
        n=n,
        seed=rng.randrange(2**32 - 8),
        label=rng.choice((None, *models[model].labels)),
        truncation=rng.choice((1.0, 1.0, 0.5, 0.0, 1.7)),
        quality=rng.choices(list(QUALITIES), (1, 8, 1))[0],
        format=rng.choice(list(FORMATS.values())),
        answer=rng.choice((None, "json", "zip")) if n > 1 else rng.choice((None, None, "file", "json")),
    )


def random_workload(models: Mapping[str, SoundGAN], size: int) -> Workload:
    """Requests of all kinds, and the digests of their sounds, each generated alone, in this process."""
    rng = random.Random(0)
    requests = [random_request(models, rng) for _ in range(size)]
    return {sound_request: reference_digests(models[sound_request.model], sound_request) for sound_request in requests}


def reference_digests(model: SoundGAN, sound_request: SoundRequest) -> list[str]:
    _, n, seed, label, truncation, quality, audio_format, _ = sound_request
    sounds = [
        model.generate(1, seed=seed + i, label=label, truncation=truncation, quality=quality)[0] for i in range(n)
    ]
    return [digest(sound.encode(audio_format)) for sound in sounds]


def invalid_requests(model: str) -> list[tuple[str, bytes, int]]:
    """Requests that are refused: the error, the bytes, and the status code that reports it."""
    path = sounds_path(model)
    valid = request(path, {"seed": 1})
    return [
        ("not JSON", request(path, b'{"seed": '), 400),
        ("not UTF-8", request(path, b"\xff\xfe\x00"), 400),
        ("a list", request(path, [1, 2]), 422),
        ("wrong types", request(path, {"n": "two", "truncation": []}), 422),
        ("too many", request(path, {"n": 10**9}), 422),
        ("another field", request(path, {"seeds": 1}), 422),
        ("unknown label", request(path, {"label": "no such label"}), 422),
        ("unknown model", request(sounds_path("none"), {}), 404),
        ("no such page", request("/v2", {}), 404),
        ("another method", request(path, b"", method="DELETE"), 405),
        ("not HTTP", b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n", 400),
        ("a bad length", valid.replace(b"content-length: 11", b"content-length: eleven"), 400),
        ("100 MB", request(path, b"").replace(b"content-length: 0", b"content-length: 100000000"), 413),
        ("128 KB", request(path, b" " * 2**17), 413),
    ]


def digest(file: bytes) -> str:
    return hashlib.sha256(file).hexdigest()


def response_digests(response: Response) -> list[str]:
    """Digests of the sound files of a response."""
    if response.content_type == "application/json":
        return [digest(base64.b64decode(sound["audio"])) for sound in json.loads(response.body)["sounds"]]
    if response.content_type == "application/zip":
        with zipfile.ZipFile(io.BytesIO(response.body)) as archive:
            return [digest(archive.read(name)) for name in archive.namelist()]
    return [digest(response.body)]
