"""Requests of hard use: valid ones, whose sounds are known in advance, and invalid ones."""

from __future__ import annotations

import base64
import hashlib
import io
import json
import random
import subprocess
import sys
import zipfile
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from benchmarks import ROOT
from benchmarks.serving.clients import Response, request
from soundgan import SoundGAN
from soundgan.audio import FORMATS, Format
from soundgan.spectral.phase_retrieval import QUALITIES, Quality


class SoundRequest(NamedTuple):
    """Model and fields of a valid request; `response` is the kind of response."""

    model: str
    n: int
    seed: int
    label: str | None
    truncation: float
    quality: Quality
    format: Format
    response: str | None

    def encode(self) -> bytes:
        fields = {key: value for key, value in self._asdict().items() if key != "model" and value is not None}
        if "response" in fields:
            fields["answer"] = fields.pop("response")
        if self.quality == "balanced":
            del fields["quality"]
        return request(sounds_path(self.model), fields)

    def sound_keys(self) -> list[str]:
        """Everything that each of its sounds depends on, as text."""
        parts = self.model, self.label, self.truncation, self.quality, self.format
        return [json.dumps([*parts, self.seed + i]) for i in range(self.n)]


def sounds_path(model: str) -> str:
    return f"/v1/models/{model}/sounds"


def sound_requests(models: Mapping[str, Sequence[str]], rng: random.Random, size: int) -> list[SoundRequest]:
    """Requests of all kinds; `models` has the labels of each model, of which the first is the most frequent."""
    requests = []
    for _ in range(size):
        model = rng.choices(list(models), [12] + [1] * (len(models) - 1))[0]
        n = rng.choice((1, 1, 1, 1, 1, 2, 3, 5))
        requests.append(
            SoundRequest(
                model=model,
                n=n,
                seed=rng.randrange(2**32 - 8),
                label=rng.choice((None, *models[model])),
                truncation=rng.choice((1.0, 1.0, 0.5, 0.0, 1.7)),
                quality=rng.choices(list(QUALITIES), (1, 8, 1))[0],
                format=rng.choice(list(FORMATS.values())),
                response=rng.choice((None, "json", "zip")) if n > 1 else rng.choice((None, None, "file", "json")),
            )
        )
    return requests


def invalid_requests(model: str) -> list[tuple[str, bytes, set[int]]]:
    """Requests that are refused: the error, the bytes, and the status codes that report it."""
    path = sounds_path(model)
    valid = request(path, {"seed": 1})
    return [
        ("not JSON", request(path, b'{"seed": '), {400}),
        ("not UTF-8", request(path, b"\xff\xfe\x00"), {400}),
        ("a list", request(path, [1, 2]), {422}),
        ("wrong types", request(path, {"n": "two", "truncation": []}), {422}),
        ("too many", request(path, {"n": 10**9}), {422}),
        ("another field", request(path, {"seeds": 1}), {422}),
        ("unknown label", request(path, {"label": "no such label"}), {422}),
        ("unknown model", request(sounds_path("none"), {}), {404}),
        ("no such page", request("/v2", {}), {404}),
        ("another method", request(path, b"", method="DELETE"), {405}),
        ("not HTTP", b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n", {400}),
        ("a bad length", valid.replace(b"content-length: 11", b"content-length: eleven"), {400}),
        ("100 MB", request(path, b"").replace(b"content-length: 0", b"content-length: 100000000"), {413}),
        ("128 KB", request(path, b" " * 2**17), {413}),
    ]


def reference_digests(paths: Mapping[str, str], requests: Sequence[SoundRequest]) -> dict[str, str]:
    """Digest of every sound by its key, each generated alone, in a separate process."""
    command = [sys.executable, "-m", "benchmarks.serving.workload"]
    done = subprocess.run(command, cwd=ROOT, input=json.dumps([paths, requests]), capture_output=True, text=True)
    if done.returncode:
        raise RuntimeError(done.stderr)
    return json.loads(done.stdout)


def generate_references() -> None:
    """The process of `reference_digests`."""
    paths, requests = json.load(sys.stdin)
    models = {name: SoundGAN.load(path) for name, path in paths.items()}
    digests = {}
    for sound_request in (SoundRequest(*fields) for fields in requests):
        for i, key in enumerate(sound_request.sound_keys()):
            (sound,) = models[sound_request.model].generate(
                1, seed=sound_request.seed + i, label=sound_request.label, truncation=sound_request.truncation,
                quality=sound_request.quality,
            )  # fmt: skip
            digests[key] = digest(sound.encode(sound_request.format))
    json.dump(digests, sys.stdout)


def digest(file: bytes) -> str:
    return hashlib.sha256(file).hexdigest()


def response_digests(response: Response) -> list[str]:
    """Digests of the sound files of a response."""
    kind = response.headers["content-type"]
    if kind == "application/json":
        return [digest(base64.b64decode(sound["audio"])) for sound in json.loads(response.body)["sounds"]]
    if kind == "application/zip":
        with zipfile.ZipFile(io.BytesIO(response.body)) as archive:
            return [digest(archive.read(name)) for name in archive.namelist()]
    return [digest(response.body)]


def content_kind(response: Response) -> str:
    return response.headers["content-type"].partition("/")[2]


if __name__ == "__main__":
    generate_references()
