"""What strangers may not do, and pages of other sites in the browser of somebody who runs a server."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("fastapi", reason="the server needs the extra `serve`")

from fastapi.testclient import TestClient

from soundgan.server.app import create_app
from soundgan.server.security import is_loopback
from soundgan.server.settings import ServerSettings

INFER = {"output_file": "x.wav"}


def served(model_folder: Path, out: Path, **limits: Any) -> TestClient:
    settings = ServerSettings.model_validate({"output_folder": out, "hosts": (), **limits})
    return TestClient(create_app([model_folder], settings), base_url="http://localhost:5050")


@pytest.fixture
def client(model_folder: Path, tmp_path: Path) -> Iterator[TestClient]:
    with served(model_folder, tmp_path) as client:
        yield client


def is_problem(answer: Any, status: int) -> bool:
    media = answer.headers["content-type"]
    return answer.status_code == status and media == "application/problem+json" and answer.json()["status"] == status


@pytest.mark.parametrize(
    "kind",
    [
        "text/plain", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x", "", None,
        "text/plain; application/json", "application/jsonp", "application/json-patch+json", "text/json",
    ],
)  # fmt: skip
def test_a_form_of_another_site_writes_no_file(client: TestClient, tmp_path: Path, kind: str | None) -> None:
    headers = {} if kind is None else {"Content-Type": kind}
    for content in ('{"output_file": "x.wav"}', ""):
        answer = client.post("/infer", content=content, headers=headers)
        assert is_problem(answer, 415) and "application/json" in answer.json()["detail"]
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("kind", ["application/json", "Application/JSON; charset=utf-8", " application/json ;x=y"])
def test_json_is_json_however_it_is_written(client: TestClient, kind: str) -> None:
    answer = client.post("/infer", content='{"output_file": "x.wav"}', headers={"Content-Type": kind})
    assert answer.json() == {"output_path": "x.wav", "error": ""}


PAINTING = "/v1/models/tiny/spectrogram.png?seed=1"


@pytest.mark.parametrize("whence", ["cross-site", "same-site"])
def test_a_page_of_another_site_shows_no_spectrogram(client: TestClient, whence: str) -> None:
    for more in ({}, {"Origin": "https://evil.example"}, {"Sec-Fetch-Mode": "navigate", "Sec-Fetch-Dest": "iframe"}):
        assert is_problem(client.get(PAINTING, headers={"Sec-Fetch-Site": whence, **more}), 403)
    assert "soundgan_sounds_total{" not in client.get("/metrics").text, "and none is made"
    assert client.get("/", headers={"Sec-Fetch-Site": whence, "Sec-Fetch-Mode": "navigate"}).status_code == 200


@pytest.mark.parametrize("headers", [{}, {"Sec-Fetch-Site": "none"}, {"Sec-Fetch-Site": "same-origin"}])
def test_others_see_spectrograms(client: TestClient, headers: dict[str, str]) -> None:
    assert client.get(PAINTING, headers=headers).status_code == 200


def test_a_browser_that_asks_for_another_site_is_told_nothing(client: TestClient) -> None:
    asks = {"Origin": "https://evil.example", "Access-Control-Request-Method": "POST"}
    answer = client.options("/infer", headers={**asks, "Access-Control-Request-Headers": "content-type"})
    assert is_problem(answer, 405)
    assert not [header for header in answer.headers if header.startswith("access-control")]
    assert "access-control-allow-origin" not in client.get("/v1/models", headers=asks).headers


@pytest.mark.parametrize(
    "host",
    ["evil.example", "evil.example:5050", "localhost.evil.example", "127.0.0.1.evil.example", "10.0.0.1", "[::2]:5050",
     "0.0.0.0", "localhost:5050:1", "localhost@evil.example", "::1]", "", ":5050"],
)  # fmt: skip
def test_another_name_that_leads_here_is_refused(client: TestClient, tmp_path: Path, host: str) -> None:
    for answer in (
        client.post("/infer", json=INFER, headers={"Host": host}),
        client.get("/v1/models", headers={"Host": host}),
        client.get("/", headers={"Host": host}),
    ):
        assert is_problem(answer, 421)
        assert "--allow-host" in answer.json()["detail"] and answer.headers["x-request-id"]
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    "host", ["localhost", "LOCALHOST:80", "localhost.", "127.0.0.1:5050", "127.8.8.8", "[::1]", "[::1]:1"]
)
def test_names_of_this_machine_are_welcome(client: TestClient, host: str) -> None:
    assert client.get("/v1/models", headers={"Host": host}).status_code == 200


def test_a_server_can_have_other_names(model_folder: Path, tmp_path: Path) -> None:
    with served(model_folder, tmp_path, hosts=("Sounds.Example.",)) as client:
        for host, status in (("sounds.example", 200), ("sounds.example:443", 200), ("localhost", 200), ("other", 421)):
            assert client.get("/v1/models", headers={"Host": host}).status_code == status
    with served(model_folder, tmp_path, hosts=None) as client:
        assert client.get("/v1/models", headers={"Host": "anything"}).status_code == 200


@pytest.mark.parametrize(
    ("name", "loopback"),
    [("127.0.0.1", True), ("127.1.2.3", True), ("::1", True), ("localhost", True), ("0.0.0.0", False), ("::", False),
     ("192.168.0.1", False), ("example.org", False), ("", False)],
)  # fmt: skip
def test_which_addresses_only_this_machine_reaches(name: str, loopback: bool) -> None:
    assert is_loopback(name) == loopback


def test_who_has_no_token_learns_nothing_of_the_request(model_folder: Path, tmp_path: Path) -> None:
    with served(model_folder, tmp_path, token="sesame") as client:
        json = {"Content-Type": "application/json"}
        for answer in (
            client.post("/infer", content="{", headers=json),
            client.post("/infer", content="{", headers={"Content-Type": "text/plain"}),
            client.post("/v1/models/none/sounds", json={"n": -1}),
            client.get("/v1/models/none"),
        ):
            assert is_problem(answer, 401) and answer.headers["www-authenticate"] == "Bearer"
        client.headers["Authorization"] = "Bearer sesame"
        assert is_problem(client.post("/infer", content="{", headers=json), 400)
        assert is_problem(client.get("/v1/models/none"), 404)


@pytest.mark.parametrize("path", ["/", "/v1/models", "/nothing", "/page/main.js"])
def test_every_answer_says_what_a_browser_may_do_with_it(client: TestClient, path: str) -> None:
    headers = client.get(path).headers
    assert headers["x-content-type-options"] == "nosniff" and headers["referrer-policy"] == "no-referrer"
    policy = dict(part.split(" ", 1) for part in headers["content-security-policy"].split("; "))
    assert policy["default-src"] == policy["frame-ancestors"] == "'none'"
    assert policy["script-src"] == policy["style-src"] == policy["connect-src"] == "'self'"


def test_a_site_that_is_allowed_may_ask(model_folder: Path, tmp_path: Path) -> None:
    with served(model_folder, tmp_path, origins=("https://App.example/",), token="sesame") as client:
        asks = {"Origin": "https://app.example", "Access-Control-Request-Method": "POST"}
        answer = client.options("/infer", headers={**asks, "Access-Control-Request-Headers": "authorization"})
        assert answer.status_code == 200 and answer.headers["access-control-allow-origin"] == "https://app.example"
        answer = client.get("/v1/models", headers={"Origin": "https://app.example"})
        assert answer.status_code == 401, "it needs the token as well"
        assert answer.headers["access-control-allow-origin"] == "https://app.example"
        shown = {"Origin": "https://app.example", "Sec-Fetch-Site": "cross-site", "Authorization": "Bearer sesame"}
        assert client.get(PAINTING, headers=shown).status_code == 200
        other = client.get("/v1/models", headers={"Origin": "https://evil.example"})
        assert "access-control-allow-origin" not in other.headers
