"""The description of the API, as this server answers: FastAPI's, with the problems that it does not know of."""

from __future__ import annotations

from typing import Any

from fastapi import FastAPI

from soundgan.server.problems import MEDIA_TYPE
from soundgan.server.schemas import ProblemDetails
from soundgan.server.settings import ServerSettings

_SECONDS = {"description": "Time to wait, in s.", "schema": {"type": "integer", "minimum": 1}}
_ID = {"description": "That of the request, or a new one; the server's log has it.", "schema": {"type": "string"}}
_CHALLENGE = {"description": "How to show who asks.", "schema": {"type": "string"}}
# By status: what the answer is called, what it says, and its headers.
_PROBLEMS: dict[str, tuple[str, str, dict[str, Any]]] = {
    "400": ("NotJSON", "The body is not JSON.", {}),
    "401": ("NotAuthorised", "The bearer token is missing or wrong.", {"WWW-Authenticate": _CHALLENGE}),
    "403": ("AnotherSite", "A page of another site asks, and is not allowed to.", {}),
    "404": ("NoSuchModel", "This server has no model of that name.", {}),
    "408": ("TooSlow", "The request did not come in time.", {}),
    "413": ("TooLarge", "The body is larger than this server takes.", {}),
    "415": ("WrongType", "The body is not sent as application/json.", {}),
    "421": ("WrongHost", "The request was meant for another server.", {}),
    "422": ("NotValid", "Something in the request cannot be; `field` says what first, `detail` all.", {}),
    "429": ("TooMany", "This client had as many sounds as it may have for now.", {"Retry-After": _SECONDS}),
    "503": ("Busy", "Too much is to do, or no sound can be made.", {"Retry-After": _SECONDS}),
}
_ANY, _WITH_BODY = ("408", "421", "503"), ("400", "413", "415")
_OPEN = {"health"}  # tags of routes that want no token


def install(app: FastAPI, settings: ServerSettings) -> None:
    """Have an app describe itself truly."""
    described = app.openapi  # which keeps what it made

    def openapi() -> dict[str, Any]:
        if app.openapi_schema is None:
            _complete(described(), settings)
        return described()

    app.openapi = openapi


def _complete(document: dict[str, Any], settings: ServerSettings) -> None:
    """Add problems, ids, limits, and the token, if there is one."""
    locked = settings.token is not None
    components = document.setdefault("components", {})
    schemas = components.setdefault("schemas", {})
    for name in ("HTTPValidationError", "ValidationError"):
        schemas.pop(name, None)
    schemas["Problem"] = {**ProblemDetails.model_json_schema(), "title": "Problem"}
    schemas["SoundsRequest"]["properties"]["n"]["maximum"] = settings.max_sounds_per_request
    components["headers"] = {"X-Request-Id": _ID}
    components["responses"] = {name: _problem(says, headers) for name, says, headers in _PROBLEMS.values()}
    if locked:
        components["securitySchemes"] = {"token": {"type": "http", "scheme": "bearer"}}
    for path in document["paths"].values():
        for operation in path.values():
            _complete_operation(operation, locked=locked and not _OPEN.intersection(operation.get("tags", ())))


def _complete_operation(operation: dict[str, Any], *, locked: bool) -> None:
    answers = operation["responses"]
    if "application/json" in answers.get("422", {}).get("content", {}):  # FastAPI's own, for every name in a path
        del answers["422"]
    statuses = {*answers, *_ANY, *(_WITH_BODY if "requestBody" in operation else ())}
    if locked:
        statuses.add("401")
        operation["security"] = [{"token": []}]
    operation["responses"] = {
        status: {"$ref": f"#/components/responses/{_PROBLEMS[status][0]}"} if status in _PROBLEMS else answers[status]
        for status in sorted(statuses)
    }
    for status in answers.keys() - _PROBLEMS.keys():
        answers[status].setdefault("headers", {})["X-Request-Id"] = {"$ref": "#/components/headers/X-Request-Id"}


def _problem(says: str, headers: dict[str, Any]) -> dict[str, Any]:
    return {
        "description": says,
        "headers": {"X-Request-Id": {"$ref": "#/components/headers/X-Request-Id"}, **headers},
        "content": {MEDIA_TYPE: {"schema": {"$ref": "#/components/schemas/Problem"}}},
    }
