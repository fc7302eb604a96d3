"""Error responses: their status, fields and details."""

from __future__ import annotations

import pytest
from server_clients import JSON, SOUNDS, assert_problem

pytest.importorskip("fastapi", reason="the server needs the extra `serve`")

from fastapi.testclient import TestClient


def test_problem_lists_all_invalid_fields(client: TestClient) -> None:
    problem = assert_problem(client.post(SOUNDS, json={"n": 0, "sed": 1, "quality": "good"}), 422)
    assert problem["field"] in ("n", "sed", "quality")
    assert all(f"{name}: " in problem["detail"] for name in ("n", "sed", "quality"))


def test_empty_body_is_a_problem(client: TestClient) -> None:
    problem = assert_problem(client.post(SOUNDS, headers={"Content-Type": "application/json"}), 422)
    assert problem["detail"].startswith("the body is empty: send a JSON object")


def test_invalid_json_and_unknown_paths_are_problems(client: TestClient) -> None:
    for body in (b"{", b'{"label": "\xff"}'):
        problem = assert_problem(client.post(SOUNDS, content=body, headers=JSON), 400)
        assert problem["detail"].startswith("the body is not JSON: ")
    problem = assert_problem(client.post("/v1/models/none/sounds", json={}), 404)
    assert problem["title"] == "Not Found" and problem["field"] == "model" and "tiny, flat" in problem["detail"]
    assert_problem(client.get("/nothing"), 404)
    assert_problem(client.get("/v1/models/"), 404)


@pytest.mark.parametrize(("path", "allowed"), [("/infer", "POST"), ("/v1/models", "GET, HEAD"), (SOUNDS, "POST")])
def test_other_methods_get_the_allowed_ones(client: TestClient, path: str, allowed: str) -> None:
    for method in ("DELETE", "PUT", "OPTIONS"):
        response = client.request(method, path)
        assert_problem(response, 405)
        assert response.headers["allow"] == allowed
