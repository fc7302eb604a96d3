"""Request ids, log, HEAD and the size of bodies; `test_protocol` has slow clients."""

from __future__ import annotations

import pytest
from server_clients import JSON, SOUNDS, assert_problem

pytest.importorskip("fastapi", reason="the server needs the extra `serve`")

from fastapi.testclient import TestClient


def test_every_response_has_an_id_and_a_line_in_the_log(client: TestClient, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level("INFO", "soundgan.server"):
        assert client.get("/healthz", headers={"X-Request-ID": "mine-1"}).headers["x-request-id"] == "mine-1"
        generated = client.get("/nothing", headers={"X-Request-ID": "not\tone word"}).headers["x-request-id"]
    assert len(generated) == 32
    assert "mine-1 GET /healthz 200" in caplog.text and f"{generated} GET /nothing 404" in caplog.text


def test_unknown_methods_share_a_metric(client: TestClient) -> None:
    for number in range(3):
        assert_problem(client.request(f"METHOD{number}", "/infer"), 405)
    text = client.get("/metrics").text
    assert 'soundgan_requests_total{method="other",route="/infer",status="405"} 3.0' in text
    assert "METHOD" not in text


@pytest.mark.parametrize("path", ["/healthz", "/v1/models", "/v1/models/tiny/spectrogram.png?seed=1", "/", "/nothing"])
def test_head_is_get_without_its_body(client: TestClient, path: str) -> None:
    get, head = client.get(path), client.head(path)
    assert head.content == b"" and head.status_code == get.status_code
    for header in ("content-type", "content-length"):
        assert head.headers[header] == get.headers[header]
    assert client.head("/infer").status_code == 405


def test_large_body_is_refused(client: TestClient) -> None:
    assert (
        assert_problem(client.post(SOUNDS, content=" " * 1001, headers=JSON), 413)["detail"]
        == "the body is larger than 1000 bytes"
    )
