"""The web API, asked in process: sounds and their errors, as an application meets them."""

from __future__ import annotations

import base64
import io
import json
import threading
import time
import zipfile
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
import soundfile

pytest.importorskip("fastapi", reason="the server needs the extra `serve`")

from fastapi.testclient import TestClient
from PIL import Image

from soundgan.errors import ModelError, SettingsError
from soundgan.model import SoundGAN
from soundgan.server import routes_health as health
from soundgan.server.app import create_app
from soundgan.server.schemas import SoundsAnswer, SoundsRequest
from soundgan.server.settings import ServerSettings, check_server_settings

JSON = {"content-type": "application/json"}
SOUNDS = "/v1/models/tiny/sounds"


class Slow:
    """A model that takes its time."""

    def __init__(self, model: SoundGAN) -> None:
        self.config, self.check, self._make = model.config, model.check, model.generate_batch

    def generate_batch(self, orders: Any) -> Any:
        time.sleep(0.5)
        return self._make(orders)


class Held:
    """A model that makes nothing until it is let go, once for a batch."""

    def __init__(self, model: SoundGAN) -> None:
        self.config, self.check, self._make = model.config, model.check, model.generate_batch
        self._free = threading.Semaphore(0)
        self.let_go = self._free.release

    def generate_batch(self, orders: Any) -> Any:
        assert self._free.acquire(timeout=60)
        return self._make(orders)


@pytest.fixture
def out(tmp_path: Path) -> Path:
    folder = tmp_path / "out"
    folder.mkdir()
    return folder


@pytest.fixture
def client(model_folder: Path, flat_model_folder: Path, out: Path) -> Iterator[TestClient]:
    settings = ServerSettings(output_folder=out, most_sounds=8, max_queue=8, most_bytes=1000)
    with TestClient(create_app([model_folder, flat_model_folder], settings)) as client:
        yield client


def until(reached: Callable[[], bool]) -> None:
    """Wait for something that comes soon, even on a busy machine."""
    end = time.monotonic() + 60
    while not reached():
        assert time.monotonic() < end
        time.sleep(0.01)


def problem(answer: Any, status: int) -> dict[str, Any]:
    assert answer.status_code == status
    assert answer.headers["content-type"] == "application/problem+json"
    told = answer.json()
    assert told["status"] == status and told["title"] and told["detail"]
    return told


# The classic contract


def test_infer_writes_a_sound_and_says_where(client: TestClient, out: Path) -> None:
    answer = client.post("/infer", json={"output_file": "x.wav"})
    assert answer.json() == {"output_path": "x.wav", "error": ""}
    wave, rate = soundfile.read(out / "x.wav")
    assert rate == 8000 and len(wave) == 2048
    (out / "sub").mkdir()
    assert client.post("/infer", json={"output_file": "sub/y.flac"}).json()["error"] == ""
    assert sorted(path.name for path in out.rglob("*.*")) == ["x.wav", "y.flac"]


@pytest.mark.parametrize(
    "name",
    [
        "", "/etc/x.wav", "../x.wav", "a/../../x.wav", "a\0.wav", "sub", "x.mp3", "x", "none/x.wav", "link.wav",
        "linked/x.wav", "loop/x.wav", "..\\x.wav", "x" * 300 + ".wav", "\ud800.wav", "\udc80.wav", "a\nb.wav",
    ],
)  # fmt: skip
def test_infer_writes_nowhere_else(client: TestClient, out: Path, tmp_path: Path, name: str) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "kept.wav").write_text("kept")
    (out / "sub").mkdir()
    (out / "link.wav").symlink_to(outside / "kept.wav")
    (out / "linked").symlink_to(outside)
    (out / "loop").symlink_to(out / "loop")
    before = sorted(tmp_path.rglob("*"))
    answer = client.post("/infer", content=json.dumps({"output_file": name}), headers=JSON)
    assert answer.status_code == 200
    assert answer.json()["output_path"] == "" and answer.json()["error"]
    assert sorted(tmp_path.rglob("*")) == before
    assert (outside / "kept.wav").read_text() == "kept"


# Sounds


def test_a_sound_is_the_file_that_python_would_save(client: TestClient, model: SoundGAN) -> None:
    asked = {"seed": 7, "label": "tone", "truncation": 0.5, "quality": "fast"}
    expected = model.generate(label="tone", seed=7, truncation=0.5, quality="fast")[0]
    for format in ("wav", "flac", "ogg"):
        answer = client.post(SOUNDS, json={**asked, "format": format})
        assert answer.headers["content-type"] == f"audio/{format}"
        assert answer.headers["x-seed"] == "7" and f"tone_7.{format}" in answer.headers["content-disposition"]
        assert soundfile.info(io.BytesIO(answer.content)).samplerate == 8000
        assert answer.content == expected.encode(format)


def test_several_sounds_come_as_zip_or_json(client: TestClient) -> None:
    alone = [client.post(SOUNDS, json={"seed": seed}).content for seed in (2**32 - 1, 0, 1)]
    zipped = client.post(SOUNDS, json={"n": 3, "seed": 2**32 - 1})
    assert zipped.headers["content-type"] == "application/zip"
    assert zipped.content == client.post(SOUNDS, json={"n": 3, "seed": 2**32 - 1}).content
    with zipfile.ZipFile(io.BytesIO(zipped.content)) as archive:
        assert [archive.read(name) for name in archive.namelist()] == alone
    told = client.post(SOUNDS, json={"n": 3, "seed": 2**32 - 1, "answer": "json"}).json()
    assert told["model"] == "tiny"
    assert [base64.b64decode(sound["audio"]) for sound in told["sounds"]] == alone
    assert [sound["seed"] for sound in told["sounds"]] == [2**32 - 1, 0, 1]
    assert [sound["name"] for sound in told["sounds"]] == archive.namelist()
    assert {sound["spectrogram"] for sound in told["sounds"]} == {None}


def test_a_json_answer_holds_spectrograms_if_asked(client: TestClient, model: SoundGAN) -> None:
    told = client.post(SOUNDS, json={"seed": 5, "answer": "json", "spectrogram": True}).json()
    with Image.open(io.BytesIO(base64.b64decode(told["sounds"][0]["spectrogram"]))) as spectrogram:
        assert spectrogram.tobytes() == model.generate(seed=5)[0].picture().tobytes()


def test_without_a_seed_every_sound_is_new_and_can_be_had_again(client: TestClient) -> None:
    one, other = (client.post(SOUNDS, json={}) for _ in range(2))
    assert one.content != other.content
    assert client.post(SOUNDS, json={"seed": int(one.headers["x-seed"])}).content == one.content


@pytest.mark.parametrize(
    ("asked", "field"),
    [
        ({"n": 0}, "n"), ({"n": 9}, "n"), ({"n": 1.5}, "n"), ({"n": True}, "n"), ({"seed": -1}, "seed"),
        ({"seed": 2**32}, "seed"), ({"label": "bell"}, "label"), ({"truncation": 3}, "truncation"),
        ({"quality": "good"}, "quality"), ({"format": "mp3"}, "format"), ({"n": 2, "answer": "file"}, "answer"),
        ({"sed": 1}, "sed"), ({"spectrogram": True}, "spectrogram"),
    ],
)  # fmt: skip
def test_what_cannot_be_made_is_told_with_its_field(client: TestClient, asked: dict[str, Any], field: str) -> None:
    assert problem(client.post(SOUNDS, json=asked), 422)["field"] == field


def test_all_that_is_wrong_is_told_at_once(client: TestClient) -> None:
    found = problem(client.post(SOUNDS, json={"n": 0, "sed": 1, "quality": "good"}), 422)
    assert found["field"] in ("n", "sed", "quality")
    assert all(f"{name}: " in found["detail"] for name in ("n", "sed", "quality"))


def test_an_empty_body_is_told(client: TestClient) -> None:
    told = problem(client.post(SOUNDS, headers={"Content-Type": "application/json"}), 422)
    assert told["detail"].startswith("the body is empty: send a JSON object")


def test_the_page_is_asked_for_again_each_time(client: TestClient) -> None:
    for path, kind in [("/", "text/html"), ("/page/main.js", "text/javascript"), ("/page/style.css", "text/css")]:
        answer = client.get(path)
        assert answer.status_code == 200 and answer.headers["content-type"].startswith(kind)
        assert answer.headers["cache-control"] == "no-cache"
        assert client.get(path, headers={"If-None-Match": answer.headers["etag"]}).status_code == 304
    for path in ("/page/none.js", "/page/../app.py", "/page/%2e%2e/app.py"):
        problem(client.get(path), 404)


def test_requests_that_are_none(client: TestClient) -> None:
    assert problem(client.post(SOUNDS, content="{", headers=JSON), 400)["title"] == "Not JSON"
    assert problem(client.post(SOUNDS, content=" " * 1001, headers=JSON), 413)["title"] == "Too large"
    assert "tiny, flat" in problem(client.post("/v1/models/none/sounds", json={}), 404)["detail"]
    problem(client.get("/nothing"), 404)
    problem(client.get("/v1/models/"), 404)


@pytest.mark.parametrize(("path", "allowed"), [("/infer", "POST"), ("/v1/models", "GET, HEAD"), (SOUNDS, "POST")])
def test_other_methods_are_told_which_there_are(client: TestClient, path: str, allowed: str) -> None:
    for method in ("DELETE", "PUT", "OPTIONS"):
        answer = client.request(method, path)
        problem(answer, 405)
        assert answer.headers["allow"] == allowed


@pytest.mark.parametrize("path", ["/healthz", "/v1/models", "/v1/models/tiny/spectrogram.png?seed=1", "/", "/nothing"])
def test_head_is_get_without_its_body(client: TestClient, path: str) -> None:
    get, head = client.get(path), client.head(path)
    assert head.content == b"" and head.status_code == get.status_code
    for header in ("content-type", "content-length"):
        assert head.headers[header] == get.headers[header]
    assert client.head("/infer").status_code == 405


def test_more_than_may_wait_is_told_to_come_again(model_folder: Path) -> None:
    settings = ServerSettings(most_sounds=2, max_queue=2)
    with TestClient(create_app([model_folder], settings)) as client:
        assert client.portal is not None
        queue = client.app.state.soundgan.batchers["tiny"]  # type: ignore[attr-defined]
        makes, queue.model = queue.model, Slow(queue.model)
        try:
            with ThreadPoolExecutor(8) as pool:
                answers = list(pool.map(lambda seed: client.post(SOUNDS, json={"n": 2, "seed": seed}), range(8)))
        finally:
            queue.model = makes
    refused = [answer for answer in answers if answer.status_code == 503]
    assert 0 < len(refused) < 8 and all(answer.status_code in (200, 503) for answer in answers)
    for answer in refused:
        assert problem(answer, 503)["title"] == "Busy" and answer.headers["retry-after"] == "1"


# Models, health, and who may ask


def test_models_tell_of_themselves(client: TestClient, model_folder: Path) -> None:
    tiny, flat = client.get("/v1/models").json()["models"]
    assert (tiny["name"], tiny["labels"], tiny["sample_rate"]) == ("tiny", ["kick", "noise", "tone"], 8000)
    assert (flat["name"], flat["labels"]) == ("flat", [])
    told = client.get("/v1/models/tiny").json()
    assert told["card"] == (model_folder / "README.md").read_text(encoding="utf-8")
    assert {key: told[key] for key in tiny} == tiny


def test_a_spectrogram_is_a_picture(client: TestClient, model: SoundGAN) -> None:
    answer = client.get("/v1/models/tiny/spectrogram.png", params={"seed": 5, "label": "kick", "zoom": 3})
    assert answer.headers["content-type"] == "image/png"
    expected = io.BytesIO()
    model.generate(label="kick", seed=5)[0].picture(zoom=3).save(expected, format="PNG")
    assert answer.content == expected.getvalue()
    assert problem(client.get("/v1/models/tiny/spectrogram.png"), 422)["field"] == "seed"


def test_health_and_metrics(client: TestClient) -> None:
    assert client.get("/healthz").json() == {"status": "alive"}
    assert client.get("/readyz").json() == {"status": "ready"}
    client.post(SOUNDS, json={"n": 3})
    told = client.get("/metrics").text
    assert 'soundgan_sounds_total{model="tiny"} 4.0' in told, "one for readiness"
    assert 'soundgan_requests_total{method="POST",route="/v1/models/{name}/sounds",status="200"} 1.0' in told


def test_a_model_that_fails_is_not_ready(
    model_folder: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def broken(*_: object) -> None:
        raise RuntimeError("no room")

    with TestClient(create_app([model_folder])) as client:
        monkeypatch.setattr(SoundGAN, "generate_batch", broken)
        assert "no room" not in problem(client.get("/readyz"), 503)["detail"], "anybody may ask that"
        assert "no room" in caplog.text
        answer = client.post(SOUNDS, json={})
        assert answer.headers["x-request-id"] in problem(answer, 500)["detail"]
        assert client.get("/healthz").status_code == 200
        monkeypatch.undo()
        assert client.get("/readyz").status_code == 200


def test_every_answer_has_an_id_and_a_line_in_the_log(client: TestClient, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level("INFO", "soundgan.server"):
        assert client.get("/healthz", headers={"X-Request-ID": "mine-1"}).headers["x-request-id"] == "mine-1"
        other = client.get("/nothing", headers={"X-Request-ID": "not\tone word"}).headers["x-request-id"]
    assert len(other) == 32
    assert "mine-1 GET /healthz 200" in caplog.text and f"{other} GET /nothing 404" in caplog.text


def test_a_token_is_asked_for_where_one_is_set(model_folder: Path) -> None:
    settings = ServerSettings.model_validate({"token": "sesame!"})
    with TestClient(create_app([model_folder], settings)) as client:
        for given in (None, b"Bearer no", b"sesame!", "Bearer sésame!".encode()):
            headers = {} if given is None else {b"authorization": given}
            answer = client.post(SOUNDS, json={}, headers=headers)
            problem(answer, 401)
            assert answer.headers["www-authenticate"] == "Bearer"
        right = {b"authorization": b"Bearer sesame!"}
        assert client.post(SOUNDS, json={}, headers=right).status_code == 200
        assert client.get("/healthz").status_code == 200


@pytest.mark.parametrize("token", ["", "sésame", "sesame 1", "sesame\n", "\udc80"])
def test_a_token_that_browsers_cannot_send_is_refused_and_not_told(token: str) -> None:
    with pytest.raises(SettingsError, match=r"^token: .*ASCII") as refused:
        check_server_settings({"token": token})
    assert token == "" or token not in str(refused.value)


def test_two_models_of_one_name_or_none_are_refused(model_folder: Path) -> None:
    with pytest.raises(ModelError, match="same name"):
        create_app([model_folder, model_folder])
    with pytest.raises(ModelError, match="no model"):
        create_app([])


# How it describes itself; that it answers so is in test_api.py


def test_the_description_has_the_token_exactly_when_there_is_one(model_folder: Path) -> None:
    for token in (None, "sesame"):
        document = create_app([model_folder], ServerSettings.model_validate({"token": token})).openapi()
        operations = {path: operation for path, one in document["paths"].items() for operation in one.values()}
        locked = {path for path, operation in operations.items() if "security" in operation}
        assert locked == {path for path, operation in operations.items() if "401" in operation["responses"]}
        assert locked == (set() if token is None else {path for path in operations if path.startswith(("/v1", "/inf"))})
        assert ("securitySchemes" in document["components"]) == bool(token)


def test_the_description_is_of_this_server(client: TestClient) -> None:
    document = client.get("/openapi.json").json()
    assert "HTTPValidationError" not in json.dumps(document)
    assert document["components"]["schemas"]["SoundsRequest"]["properties"]["n"]["maximum"] == 8
    operation = document["paths"]["/v1/models/{name}/sounds"]["post"]
    assert set(operation["responses"]) == {
        "200", "400", "404", "408", "413", "415", "421", "422", "429", "503",
    }  # fmt: skip
    assert set(operation["responses"]["200"]["content"]) == {
        "application/json", "application/zip", "audio/flac", "audio/ogg", "audio/wav",
    }  # fmt: skip
    SoundsAnswer.model_validate(operation["responses"]["200"]["content"]["application/json"]["example"])
    for example in operation["requestBody"]["content"]["application/json"]["examples"].values():
        SoundsRequest.model_validate(example["value"])
    assert {"X-Seed", "X-Request-Id"} <= set(operation["responses"]["200"]["headers"])
    for path in ("/docs", "/redoc"):  # their scripts would come from the network
        problem(client.get(path), 404)


# Readiness


def test_a_server_that_makes_a_long_batch_is_ready_and_one_that_hangs_is_not(
    model_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(health, "LATELY", -1.0)
    monkeypatch.setattr(health, "PATIENCE", 0.2)
    app = create_app([model_folder], ServerSettings(max_batch=8))
    with TestClient(app) as client, ThreadPoolExecutor(8) as pool:
        queue = client.app.state.soundgan.batchers["tiny"]  # type: ignore[attr-defined]
        makes, queue.model = queue.model, Held(queue.model)

        def at_work() -> int:
            return sum(count for count, _ in queue._making)

        try:
            asked = [pool.submit(client.get, "/readyz") for _ in range(8)]
            assert {one.result().status_code for one in asked} == {503}
            assert queue.waiting + at_work() == 1, "one sound is tried, however many ask"
            making = pool.submit(client.post, SOUNDS, json={"n": 8})
            until(lambda: queue.waiting == 8)
            queue.model.let_go(1)  # the one that was tried; the eight come next
            until(lambda: at_work() == 8)
            monkeypatch.setattr(health, "PATIENCE", 60.0)
            assert client.get("/readyz").status_code == 200, "eight sounds may take eight minutes"
            monkeypatch.setattr(health, "PATIENCE", 0.01)
            time.sleep(0.1)
            problem(client.get("/readyz"), 503)
        finally:
            queue.model.let_go(9)
            queue.model = makes
        assert making.result().status_code == 200


def test_a_label_may_be_a_number() -> None:
    with TestClient(create_app(["digits"])) as client:
        path = "/v1/models/digits/sounds"
        for label in (3, 3.0, "3"):
            made = client.post(path, json={"label": label, "seed": 7, "quality": "fast"})
            assert made.status_code == 200 and "''3_7.wav" in made.headers["content-disposition"]
        for label in (True, 3.5, [3], -3, 10**30):
            refused = client.post(path, json={"label": label})
            assert refused.status_code == 422 and refused.json()["field"] == "label"
