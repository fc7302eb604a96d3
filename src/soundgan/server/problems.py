"""Error responses as `application/problem+json` (RFC 9457), with the invalid field."""

from __future__ import annotations

from http import HTTPStatus
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException

from soundgan.errors import ModelError, one_line
from soundgan.server.batch_queue import QueueUnavailable
from soundgan.server.schemas import ProblemDetails

MEDIA_TYPE = "application/problem+json"
RETRY_AFTER = 1  # s
BUSY = "the queue is full; retry a little later"


class Problem(Exception):
    """An error response, of which `field` is the invalid field of the request, if there is one."""

    def __init__(self, status: int, detail: str, field: str | None = None, **headers: str) -> None:
        super().__init__(detail)
        self.status, self.title, self.detail, self.field = status, HTTPStatus(status).phrase, detail, field
        self.headers = {name.replace("_", "-"): value for name, value in headers.items()}

    def response(self) -> JSONResponse:
        details = ProblemDetails(title=self.title, status=self.status, detail=self.detail, field=self.field)
        return JSONResponse(details.model_dump(exclude_none=True), self.status, self.headers, media_type=MEDIA_TYPE)


def install(app: FastAPI) -> None:
    """Register the exception handlers that answer with problems."""

    @app.exception_handler(Problem)
    async def _(request: Request, error: Problem) -> JSONResponse:
        return error.response()

    @app.exception_handler(QueueUnavailable)
    async def _(request: Request, error: QueueUnavailable) -> JSONResponse:
        return Problem(503, BUSY, retry_after=str(RETRY_AFTER)).response()

    @app.exception_handler(ModelError)
    async def _(request: Request, error: ModelError) -> JSONResponse:
        field = str(error).partition(" = ")[0]
        return Problem(422, one_line(error), field).response()

    @app.exception_handler(RequestValidationError)
    async def _(request: Request, error: RequestValidationError) -> JSONResponse:
        errors = error.errors()
        first = errors[0]
        if first["type"] == "json_invalid":
            return Problem(400, f"the body is not JSON: {first['ctx']['error']}").response()
        if first["type"] == "missing" and first["loc"] == ("body",):
            return Problem(422, "the body is empty: send a JSON object, {} at least").response()
        detail = "; ".join(f"{_field(entry)}: {_message(entry)}" for entry in errors)
        return Problem(422, detail, _field(first)).response()

    @app.exception_handler(HTTPException)
    async def _(request: Request, error: HTTPException) -> JSONResponse:
        if error.status_code == 400:  # FastAPI's, for a body whose parsing fails otherwise than at a character of JSON
            detail = "the body is not JSON: it is not UTF-8, is nested too deeply, or has a number of too many digits"
            return Problem(400, detail).response()
        problem = Problem(error.status_code, f"{request.method} {request.url.path}: {error.detail}")
        problem.headers |= error.headers or {}
        if "GET" in problem.headers.get("Allow", ""):
            problem.headers["Allow"] += ", HEAD"
        return problem.response()


def _field(error: dict[str, Any]) -> str:
    return ".".join(str(part) for part in error["loc"][1:]) or str(error["loc"][0])


def _message(error: dict[str, Any]) -> str:
    message = error["msg"].removeprefix("Value error, ")
    return message[:1].lower() + message[1:]
