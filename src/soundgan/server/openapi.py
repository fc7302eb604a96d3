"""OpenAPI document of this server: FastAPI's, completed with the problem responses."""

from __future__ import annotations

from typing import Any

from fastapi import FastAPI

from soundgan.server.problems import MEDIA_TYPE
from soundgan.server.schemas import ProblemDetails
from soundgan.server.settings import ServerSettings

_SECONDS = {"description": "Time to wait before a retry, in s.", "schema": {"type": "integer", "minimum": 1}}
_ID = {"description": "Id of the request, or a new one; it is in the server's log.", "schema": {"type": "string"}}
_CHALLENGE = {"description": "Authentication scheme.", "schema": {"type": "string"}}
# By status: component name, description and headers.
_PROBLEMS: dict[str, tuple[str, str, dict[str, Any]]] = {
    "400": ("NotJSON", "The body is not JSON.", {}),
    "401": ("Unauthorized", "The bearer token is missing or invalid.", {"WWW-Authenticate": _CHALLENGE}),
    "403": ("AnotherSite", "The page of another site sent the request, and its origin is not allowed.", {}),
    "404": ("NoSuchModel", "No model of this server has this name.", {}),
    "408": ("TooSlow", "The request did not arrive in time.", {}),
    "413": ("TooLarge", "The body exceeds the limit of this server.", {}),
    "415": ("WrongType", "The content type is not application/json.", {}),
    "421": ("WrongHost", "The host name is not one of this server.", {}),
    "422": ("NotValid", "The request is invalid; `field` is the first invalid field, `detail` lists all.", {}),
    "429": ("TooMany", "The client exceeds its rate limit.", {"Retry-After": _SECONDS}),
    "503": ("Busy", "The queue is full, or the server cannot generate sounds.", {"Retry-After": _SECONDS}),
}
_ALWAYS, _WITH_BODY = ("408", "421", "503"), ("400", "413", "415")
_PUBLIC_TAGS = {"health"}  # of routes that need no token


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
    protected = settings.token is not None
    components = document.setdefault("components", {})
    schemas = components.setdefault("schemas", {})
    for name in ("HTTPValidationError", "ValidationError"):
        schemas.pop(name, None)
    schemas["Problem"] = {**ProblemDetails.model_json_schema(), "title": "Problem"}
    schemas["SoundsRequest"]["properties"]["n"]["maximum"] = settings.largest_request
    components["headers"] = {"X-Request-Id": _ID}
    components["responses"] = {
        name: _problem(description, headers) for name, description, headers in _PROBLEMS.values()
    }
    if protected:
        components["securitySchemes"] = {"token": {"type": "http", "scheme": "bearer"}}
    for path in document["paths"].values():
        for operation in path.values():
            _complete_operation(
                operation, protected=protected and not _PUBLIC_TAGS.intersection(operation.get("tags", ()))
            )


def _complete_operation(operation: dict[str, Any], *, protected: bool) -> None:
    responses = operation["responses"]
    if "application/json" in responses.get("422", {}).get("content", {}):  # FastAPI's own, for every path parameter
        del responses["422"]
    statuses = {*responses, *_ALWAYS, *(_WITH_BODY if "requestBody" in operation else ())}
    if protected:
        statuses.add("401")
        operation["security"] = [{"token": []}]
    operation["responses"] = {
        status: {"$ref": f"#/components/responses/{_PROBLEMS[status][0]}"} if status in _PROBLEMS else responses[status]
        for status in sorted(statuses)
    }
    for status in responses.keys() - _PROBLEMS.keys():
        responses[status].setdefault("headers", {})["X-Request-Id"] = {"$ref": "#/components/headers/X-Request-Id"}


def _problem(description: str, headers: dict[str, Any]) -> dict[str, Any]:
    return {
        "description": description,
        "headers": {"X-Request-Id": {"$ref": "#/components/headers/X-Request-Id"}, **headers},
        "content": {MEDIA_TYPE: {"schema": {"$ref": "#/components/schemas/Problem"}}},
    }
