"""The web API, asked in process: sounds and their errors, as an application meets them."""

from __future__ import annotations

import base64
import io
import json
import time
import zipfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
import soundfile

pytest.importorskip("fastapi", reason="the server needs the extra `serve`")

from fastapi.testclient import TestClient
from PIL import Image

from soundgan.errors import ModelError
from soundgan.model import SoundGAN
from soundgan.server.app import create_app
from soundgan.server.settings import ServerSettings

JSON = {"content-type": "application/json"}
SOUNDS = "/v1/models/tiny/sounds"


class Slow:
    """A model that takes its time."""

    def __init__(self, model: SoundGAN) -> None:
        self.config, self.check, self._make = model.config, model.check, model.make

    def make(self, orders: Any) -> Any:
        time.sleep(0.5)
        return self._make(orders)


@pytest.fixture
def out(tmp_path: Path) -> Path:
    folder = tmp_path / "out"
    folder.mkdir()
    return folder


@pytest.fixture
def client(model_folder: Path, flat_model_folder: Path, out: Path) -> Iterator[TestClient]:
    settings = ServerSettings(output_folder=out, most_sounds=8, most_waiting=8, most_bytes=1000)
    with TestClient(create_app([model_folder, flat_model_folder], settings)) as client:
        yield client


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
        if format != "ogg":  # whose serial number is drawn anew every time
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
    assert {sound["painting"] for sound in told["sounds"]} == {None}


def test_a_json_answer_holds_paintings_if_asked(client: TestClient, model: SoundGAN) -> None:
    told = client.post(SOUNDS, json={"seed": 5, "answer": "json", "painting": True}).json()
    with Image.open(io.BytesIO(base64.b64decode(told["sounds"][0]["painting"]))) as painting:
        assert painting.tobytes() == model.generate(seed=5)[0].picture().tobytes()


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
        ({"sed": 1}, "sed"), ({"painting": True}, "painting"),
    ],
)  # fmt: skip
def test_what_cannot_be_made_is_told_with_its_field(client: TestClient, asked: dict[str, Any], field: str) -> None:
    assert problem(client.post(SOUNDS, json=asked), 422)["field"] == field


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
    problem(client.delete("/infer"), 405)


def test_more_than_may_wait_is_told_to_come_again(model_folder: Path) -> None:
    settings = ServerSettings(most_sounds=2, most_waiting=2)
    with TestClient(create_app([model_folder], settings)) as client:
        assert client.portal is not None
        batcher = client.app.state.soundgan.batchers["tiny"]  # type: ignore[attr-defined]
        makes, batcher.model = batcher.model, Slow(batcher.model)
        try:
            with ThreadPoolExecutor(8) as pool:
                answers = list(pool.map(lambda seed: client.post(SOUNDS, json={"n": 2, "seed": seed}), range(8)))
        finally:
            batcher.model = makes
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


def test_a_painting_is_a_picture(client: TestClient, model: SoundGAN) -> None:
    answer = client.get("/v1/models/tiny/painting.png", params={"seed": 5, "label": "kick", "zoom": 3})
    assert answer.headers["content-type"] == "image/png"
    expected = io.BytesIO()
    model.generate(label="kick", seed=5)[0].picture(zoom=3).save(expected, format="PNG")
    assert answer.content == expected.getvalue()
    assert problem(client.get("/v1/models/tiny/painting.png"), 422)["field"] == "seed"


def test_health_and_metrics(client: TestClient) -> None:
    assert client.get("/healthz").json() == {"status": "alive"}
    assert client.get("/readyz").json() == {"status": "ready"}
    client.post(SOUNDS, json={"n": 3})
    told = client.get("/metrics").text
    assert 'soundgan_sounds_total{model="tiny"} 4.0' in told, "one for readiness"
    assert 'soundgan_requests_total{method="POST",route="/v1/models/{name}/sounds",status="200"} 1.0' in told


def test_a_model_that_fails_is_not_ready(model_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object) -> None:
        raise RuntimeError("no room")

    with TestClient(create_app([model_folder])) as client:
        monkeypatch.setattr(SoundGAN, "make", broken)
        assert "no room" in problem(client.get("/readyz"), 503)["detail"]
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
    settings = ServerSettings.model_validate({"token": "sésame"})
    with TestClient(create_app([model_folder], settings)) as client:
        for given in (None, b"Bearer no", "sésame".encode()):
            headers = {} if given is None else {b"authorization": given}
            answer = client.post(SOUNDS, json={}, headers=headers)
            problem(answer, 401)
            assert answer.headers["www-authenticate"] == "Bearer"
        right = {b"authorization": "Bearer sésame".encode()}
        assert client.post(SOUNDS, json={}, headers=right).status_code == 200
        assert client.get("/healthz").status_code == 200


def test_two_models_of_one_name_or_none_are_refused(model_folder: Path) -> None:
    with pytest.raises(ModelError, match="same name"):
        create_app([model_folder, model_folder])
    with pytest.raises(ModelError, match="no model"):
        create_app([])
