"""Access control: token, requests of other sites' pages, and host names."""

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


def new_client(model_folder: Path, out: Path, **limits: Any) -> TestClient:
    settings = ServerSettings.model_validate({"output_folder": out, "allowed_hosts": (), **limits})
    return TestClient(create_app([model_folder], settings), base_url="http://localhost:5050")


@pytest.fixture
def client(model_folder: Path, tmp_path: Path) -> Iterator[TestClient]:
    with new_client(model_folder, tmp_path) as client:
        yield client


def is_problem(response: Any, status: int) -> bool:
    media_type = response.headers["content-type"]
    is_json = media_type == "application/problem+json"
    return response.status_code == status and is_json and response.json()["status"] == status


@pytest.mark.parametrize(
    "kind",
    [
        "text/plain", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x", "", None,
        "text/plain; application/json", "application/jsonp", "application/json-patch+json", "text/json",
    ],
)  # fmt: skip
def test_form_of_another_site_is_refused(client: TestClient, tmp_path: Path, kind: str | None) -> None:
    headers = {} if kind is None else {"Content-Type": kind}
    for content in ('{"output_file": "x.wav"}', ""):
        response = client.post("/infer", content=content, headers=headers)
        assert is_problem(response, 415) and "application/json" in response.json()["detail"]
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("kind", ["application/json", "Application/JSON; charset=utf-8", " application/json ;x=y"])
def test_json_content_type_is_accepted_in_any_notation(client: TestClient, kind: str) -> None:
    response = client.post("/infer", content='{"output_file": "x.wav"}', headers={"Content-Type": kind})
    assert response.json() == {"output_path": "x.wav", "error": ""}


SPECTROGRAM = "/v1/models/tiny/spectrogram.png?seed=1"


@pytest.mark.parametrize("site", ["cross-site", "same-site"])
def test_page_of_another_site_cannot_embed_a_spectrogram(client: TestClient, site: str) -> None:
    for more in ({}, {"Origin": "https://evil.example"}, {"Sec-Fetch-Mode": "navigate", "Sec-Fetch-Dest": "iframe"}):
        assert is_problem(client.get(SPECTROGRAM, headers={"Sec-Fetch-Site": site, **more}), 403)
    assert "soundgan_sounds_total{" not in client.get("/metrics").text, "none is generated"
    assert client.get("/", headers={"Sec-Fetch-Site": site, "Sec-Fetch-Mode": "navigate"}).status_code == 200


@pytest.mark.parametrize("headers", [{}, {"Sec-Fetch-Site": "none"}, {"Sec-Fetch-Site": "same-origin"}])
def test_own_page_and_other_clients_get_spectrograms(client: TestClient, headers: dict[str, str]) -> None:
    assert client.get(SPECTROGRAM, headers=headers).status_code == 200


def test_preflight_of_another_site_is_refused(client: TestClient) -> None:
    preflight = {"Origin": "https://evil.example", "Access-Control-Request-Method": "POST"}
    response = client.options("/infer", headers={**preflight, "Access-Control-Request-Headers": "content-type"})
    assert is_problem(response, 405)
    assert not [header for header in response.headers if header.startswith("access-control")]
    assert "access-control-allow-origin" not in client.get("/v1/models", headers=preflight).headers


@pytest.mark.parametrize(
    "host",
    ["evil.example", "evil.example:5050", "localhost.evil.example", "127.0.0.1.evil.example", "10.0.0.1", "[::2]:5050",
     "0.0.0.0", "localhost:5050:1", "localhost@evil.example", "::1]", "", ":5050"],
)  # fmt: skip
def test_unknown_host_name_is_refused(client: TestClient, tmp_path: Path, host: str) -> None:
    for response in (
        client.post("/infer", json=INFER, headers={"Host": host}),
        client.get("/v1/models", headers={"Host": host}),
        client.get("/", headers={"Host": host}),
    ):
        assert is_problem(response, 421)
        assert "--allow-host" in response.json()["detail"] and response.headers["x-request-id"]
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    "host", ["localhost", "LOCALHOST:80", "localhost.", "127.0.0.1:5050", "127.8.8.8", "[::1]", "[::1]:1"]
)
def test_loopback_host_names_are_accepted(client: TestClient, host: str) -> None:
    assert client.get("/v1/models", headers={"Host": host}).status_code == 200


def test_allowed_hosts_are_accepted_besides_loopback(model_folder: Path, tmp_path: Path) -> None:
    with new_client(model_folder, tmp_path, allowed_hosts=("Sounds.Example.",)) as client:
        for host, status in (("sounds.example", 200), ("sounds.example:443", 200), ("localhost", 200), ("other", 421)):
            assert client.get("/v1/models", headers={"Host": host}).status_code == status
    with new_client(model_folder, tmp_path, allowed_hosts=None) as client:
        assert client.get("/v1/models", headers={"Host": "anything"}).status_code == 200


@pytest.mark.parametrize(
    ("name", "loopback"),
    [("127.0.0.1", True), ("127.1.2.3", True), ("::1", True), ("localhost", True), ("0.0.0.0", False), ("::", False),
     ("192.168.0.1", False), ("example.org", False), ("", False)],
)  # fmt: skip
def test_is_loopback_recognizes_addresses_of_this_machine(name: str, loopback: bool) -> None:
    assert is_loopback(name) == loopback


def test_token_is_checked_before_the_request(model_folder: Path, tmp_path: Path) -> None:
    with new_client(model_folder, tmp_path, token="sesame") as client:
        json_type = {"Content-Type": "application/json"}
        for response in (
            client.post("/infer", content="{", headers=json_type),
            client.post("/infer", content="{", headers={"Content-Type": "text/plain"}),
            client.post("/v1/models/none/sounds", json={"n": -1}),
            client.get("/v1/models/none"),
        ):
            assert is_problem(response, 401) and response.headers["www-authenticate"] == "Bearer"
        client.headers["Authorization"] = "Bearer sesame"
        assert is_problem(client.post("/infer", content="{", headers=json_type), 400)
        assert is_problem(client.get("/v1/models/none"), 404)


@pytest.mark.parametrize("path", ["/", "/v1/models", "/nothing", "/page/main.js"])
def test_every_response_has_security_headers(client: TestClient, path: str) -> None:
    headers = client.get(path).headers
    assert headers["x-content-type-options"] == "nosniff" and headers["referrer-policy"] == "no-referrer"
    policy = dict(part.split(" ", 1) for part in headers["content-security-policy"].split("; "))
    assert policy["default-src"] == policy["frame-ancestors"] == "'none'"
    assert policy["script-src"] == policy["style-src"] == policy["connect-src"] == "'self'"


def test_allowed_origin_passes_cors(model_folder: Path, tmp_path: Path) -> None:
    with new_client(model_folder, tmp_path, allowed_origins=("https://App.example/",), token="sesame") as client:
        preflight = {"Origin": "https://app.example", "Access-Control-Request-Method": "POST"}
        response = client.options("/infer", headers={**preflight, "Access-Control-Request-Headers": "authorization"})
        assert response.status_code == 200 and response.headers["access-control-allow-origin"] == "https://app.example"
        response = client.get("/v1/models", headers={"Origin": "https://app.example"})
        assert response.status_code == 401, "an allowed origin still needs the token"
        assert response.headers["access-control-allow-origin"] == "https://app.example"
        headers = {"Origin": "https://app.example", "Sec-Fetch-Site": "cross-site", "Authorization": "Bearer sesame"}
        assert client.get(SPECTROGRAM, headers=headers).status_code == 200
        other = client.get("/v1/models", headers={"Origin": "https://evil.example"})
        assert "access-control-allow-origin" not in other.headers


def test_token_is_required_if_the_server_has_one(model_folder: Path, tmp_path: Path) -> None:
    with new_client(model_folder, tmp_path, token="sesame!") as client:
        for given in (None, b"Bearer no", b"sesame!", "Bearer sésame!".encode()):
            headers = {} if given is None else {b"authorization": given}
            response = client.post("/v1/models/tiny/sounds", json={}, headers=headers)
            assert is_problem(response, 401) and response.headers["www-authenticate"] == "Bearer"
            assert response.json()["title"] and response.json()["detail"]
        headers = {b"authorization": b"Bearer sesame!"}
        assert client.post("/v1/models/tiny/sounds", json={}, headers=headers).status_code == 200
        assert client.get("/healthz").status_code == 200
