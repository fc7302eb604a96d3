"""Checks of server responses, shared by the tests of its modules."""

from __future__ import annotations

from typing import Any

SOUNDS = "/v1/models/tiny/sounds"
JSON = {"content-type": "application/json"}


def assert_problem(response: Any, status: int) -> dict[str, Any]:
    """Check an `application/problem+json` response, and return its body."""
    assert response.status_code == status
    assert response.headers["content-type"] == "application/problem+json"
    problem = response.json()
    assert problem["status"] == status and problem["title"] and problem["detail"]
    return problem
