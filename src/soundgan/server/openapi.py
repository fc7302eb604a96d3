"""OpenAPI document of this server: FastAPI's, completed with the problem responses."""

from __future__ import annotations

from http import HTTPStatus
from typing import Any

from fastapi import FastAPI

from soundgan.server.problems import MEDIA_TYPE
from soundgan.server.schemas import ProblemDetails
from soundgan.server.settings import ServerSettings

_PROBLEMS = {
    "400": "The body is not JSON.",
    "401": "The bearer token is missing or invalid.",
    "403": "The page of another site sent the request, and its origin is not allowed.",
    "404": "No model of this server has this name.",
    "408": "The request did not arrive in time.",
    "413": "The body exceeds the limit of this server.",
    "415": "The content type is not application/json.",
    "421": "The host name is not one of this server.",
    "422": "The request is invalid; `field` is the first invalid field, `detail` lists all.",
    "429": "The client exceeds its rate limit.",
    "503": "The queue is full, or the server cannot generate sounds.",
}
_ALWAYS, _WITH_BODY = ("408", "421", "503"), ("400", "413", "415")
_ID = {"description": "Id of the request, or a new one; it is in the server's log.", "schema": {"type": "string"}}
_ID_REFERENCE = {"X-Request-Id": {"$ref": "#/components/headers/X-Request-Id"}}
_CHALLENGE = {"description": "Authentication scheme.", "schema": {"type": "string"}}
_SECONDS = {"description": "Time to wait before a retry, in s.", "schema": {"type": "integer", "minimum": 1}}
_HEADERS = {"401": {"WWW-Authenticate": _CHALLENGE}, "429": {"Retry-After": _SECONDS}, "503": {"Retry-After": _SECONDS}}
_PUBLIC_TAG = "health"  # of routes that need no token


def install(app: FastAPI, settings: ServerSettings) -> None:
    """Complete the OpenAPI document of an app."""
    generate = app.openapi  # caches its result

    def openapi() -> dict[str, Any]:
        if app.openapi_schema is None:
            _complete(generate(), settings)
        return generate()

    app.openapi = openapi


def _complete(document: dict[str, Any], settings: ServerSettings) -> None:
    """Add problems, request ids, limits, and the token, if there is one."""
    components = document.setdefault("components", {})
    schemas = components.setdefault("schemas", {})
    for name in ("HTTPValidationError", "ValidationError"):
        schemas.pop(name, None)
    schemas["Problem"] = {**ProblemDetails.model_json_schema(), "title": "Problem"}
    schemas["SoundsRequest"]["properties"]["n"]["maximum"] = settings.largest_request
    components["headers"] = {"X-Request-Id": _ID}
    content = {MEDIA_TYPE: {"schema": {"$ref": "#/components/schemas/Problem"}}}
    components["responses"] = {
        _name(status): {
            "description": description, "headers": _ID_REFERENCE | _HEADERS.get(status, {}), "content": content
        }
        for status, description in _PROBLEMS.items()
    }  # fmt: skip
    if settings.token is not None:
        components["securitySchemes"] = {"token": {"type": "http", "scheme": "bearer"}}
    for operation in (operation for path in document["paths"].values() for operation in path.values()):
        _complete_operation(operation, protected=settings.token is not None and _PUBLIC_TAG not in operation["tags"])


def _complete_operation(operation: dict[str, Any], *, protected: bool) -> None:
    responses = operation["responses"]
    if "application/json" in responses.get("422", {}).get("content", {}):  # FastAPI's own, for every path parameter
        del responses["422"]
    statuses = {*responses, *_ALWAYS, *(_WITH_BODY if "requestBody" in operation else ())}
    if protected:
        statuses.add("401")
        operation["security"] = [{"token": []}]
    for status in responses.keys() - _PROBLEMS.keys():
        responses[status].setdefault("headers", {}).update(_ID_REFERENCE)
    operation["responses"] = {
        status: {"$ref": f"#/components/responses/{_name(status)}"} if status in _PROBLEMS else responses[status]
        for status in sorted(statuses)
    }


def _name(status: str) -> str:
    """Component of the problem response of a status."""
    return HTTPStatus(int(status)).phrase.replace(" ", "")
