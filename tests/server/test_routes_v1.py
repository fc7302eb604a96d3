"""`/v1`: models, sounds and spectrograms, requested in process."""

from __future__ import annotations

import base64
import io
import time
import zipfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
import soundfile
from server_clients import SOUNDS, assert_problem

pytest.importorskip("fastapi", reason="the server needs the extra `serve`")

from fastapi.testclient import TestClient
from PIL import Image

from soundgan.model import SoundGAN
from soundgan.server.app import create_app
from soundgan.server.settings import ServerSettings


class SlowModel:
    """A model that takes half a second per batch."""

    def __init__(self, model: SoundGAN) -> None:
        self.config, self.check, self._generate_batch = model.config, model.check, model.generate_batch

    def generate_batch(self, requests: Any) -> Any:
        time.sleep(0.5)
        return self._generate_batch(requests)


def test_sound_has_the_bytes_that_python_saves(client: TestClient, model: SoundGAN) -> None:
    body = {"seed": 7, "label": "tone", "truncation": 0.5, "quality": "fast"}
    expected = model.generate(label="tone", seed=7, truncation=0.5, quality="fast")[0]
    for format in ("wav", "flac", "ogg"):
        response = client.post(SOUNDS, json={**body, "format": format})
        assert response.headers["content-type"] == f"audio/{format}"
        assert response.headers["x-seed"] == "7" and f"tone_7.{format}" in response.headers["content-disposition"]
        assert soundfile.info(io.BytesIO(response.content)).samplerate == 8000
        assert response.content == expected.encode(format)


def test_level_and_length_are_those_of_the_request(client: TestClient, model: SoundGAN) -> None:
    expected = model.generate(label="tone", seed=7, level="peak", keep_length=True)[0]
    response = client.post(SOUNDS, json={"seed": 7, "label": "tone", "level": "peak", "keep_length": True})
    assert response.content == expected.encode()
    body = client.post(SOUNDS, json={"seed": 7, "label": "tone", "answer": "json"}).json()
    assert body["sounds"][0]["duration"] == pytest.approx(model.generate(label="tone", seed=7)[0].duration)


def test_several_sounds_are_sent_as_zip_or_json(client: TestClient) -> None:
    alone = [client.post(SOUNDS, json={"seed": seed}).content for seed in (2**32 - 1, 0, 1)]
    zipped = client.post(SOUNDS, json={"n": 3, "seed": 2**32 - 1})
    assert zipped.headers["content-type"] == "application/zip"
    assert zipped.content == client.post(SOUNDS, json={"n": 3, "seed": 2**32 - 1}).content
    with zipfile.ZipFile(io.BytesIO(zipped.content)) as archive:
        assert [archive.read(name) for name in archive.namelist()] == alone
    body = client.post(SOUNDS, json={"n": 3, "seed": 2**32 - 1, "answer": "json"}).json()
    assert body["model"] == "tiny"
    assert [base64.b64decode(sound["audio"]) for sound in body["sounds"]] == alone
    assert [sound["seed"] for sound in body["sounds"]] == [2**32 - 1, 0, 1]
    assert [sound["name"] for sound in body["sounds"]] == archive.namelist()
    assert {sound["spectrogram"] for sound in body["sounds"]} == {None}


def test_json_response_has_spectrograms_on_request(client: TestClient, model: SoundGAN) -> None:
    body = client.post(SOUNDS, json={"seed": 5, "answer": "json", "spectrogram": True}).json()
    with Image.open(io.BytesIO(base64.b64decode(body["sounds"][0]["spectrogram"]))) as spectrogram:
        assert spectrogram.tobytes() == model.generate(seed=5)[0].picture().tobytes()


def test_sound_without_seed_is_new_and_reproducible(client: TestClient) -> None:
    first, second = (client.post(SOUNDS, json={}) for _ in range(2))
    assert first.content != second.content
    assert client.post(SOUNDS, json={"seed": int(first.headers["x-seed"])}).content == first.content


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"n": 0}, "n"), ({"n": 9}, "n"), ({"n": 1.5}, "n"), ({"n": True}, "n"), ({"seed": -1}, "seed"),
        ({"seed": 2**32}, "seed"), ({"label": "bell"}, "label"), ({"truncation": 3}, "truncation"),
        ({"quality": "good"}, "quality"), ({"format": "mp3"}, "format"), ({"n": 2, "answer": "file"}, "answer"),
        ({"sed": 1}, "sed"), ({"spectrogram": True}, "spectrogram"), ({"level": "loud"}, "level"),
        ({"keep_length": 1}, "keep_length"),
    ],
)  # fmt: skip
def test_invalid_request_names_its_field(client: TestClient, body: dict[str, Any], field: str) -> None:
    assert assert_problem(client.post(SOUNDS, json=body), 422)["field"] == field


def test_label_may_be_a_number() -> None:
    with TestClient(create_app(["digits"])) as client:
        path = "/v1/models/digits/sounds"
        for label in (3, 3.0, "3"):
            response = client.post(path, json={"label": label, "seed": 7, "quality": "fast"})
            assert response.status_code == 200 and "''3_7.wav" in response.headers["content-disposition"]
        for label in (True, 3.5, [3], -3, 10**30):
            refused = client.post(path, json={"label": label})
            assert refused.status_code == 422 and refused.json()["field"] == "label"


def test_full_queue_is_busy_and_names_the_time_to_retry(model_folder: Path) -> None:
    settings = ServerSettings(max_sounds_per_request=2, max_queue=2)
    with TestClient(create_app([model_folder], settings)) as client:
        queue = client.app.state.soundgan.queues["tiny"]  # type: ignore[attr-defined]
        model, queue.model = queue.model, SlowModel(queue.model)
        try:
            with ThreadPoolExecutor(8) as pool:
                responses = list(pool.map(lambda seed: client.post(SOUNDS, json={"n": 2, "seed": seed}), range(8)))
        finally:
            queue.model = model
    refused = [response for response in responses if response.status_code == 503]
    assert 0 < len(refused) < 8 and all(response.status_code in (200, 503) for response in responses)
    for response in refused:
        assert assert_problem(response, 503)["detail"].startswith("the queue is full")
        assert response.headers["retry-after"] == "1"


def test_models_are_described(client: TestClient, model_folder: Path) -> None:
    tiny, flat = client.get("/v1/models").json()["models"]
    assert (tiny["name"], tiny["labels"], tiny["sample_rate"]) == ("tiny", ["kick", "noise", "tone"], 8000)
    assert (flat["name"], flat["labels"]) == ("flat", [])
    details = client.get("/v1/models/tiny").json()
    assert details["card"] == (model_folder / "README.md").read_text(encoding="utf-8")
    assert {key: details[key] for key in tiny} == tiny


def test_spectrogram_is_a_png_of_the_sound(client: TestClient, model: SoundGAN) -> None:
    response = client.get("/v1/models/tiny/spectrogram.png", params={"seed": 5, "label": "kick", "zoom": 3})
    assert response.headers["content-type"] == "image/png"
    expected = io.BytesIO()
    model.generate(label="kick", seed=5)[0].picture(zoom=3).save(expected, format="PNG")
    assert response.content == expected.getvalue()
    assert assert_problem(client.get("/v1/models/tiny/spectrogram.png"), 422)["field"] == "seed"
