"""What goes wrong is answered as `application/problem+json` (RFC 9457), with the field that is to blame."""

from __future__ import annotations

from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException

from soundgan.errors import ModelError, one_line
from soundgan.server.batching import Busy
from soundgan.server.schemas import ProblemDetails

MEDIA_TYPE = "application/problem+json"
RETRY_AFTER = 1  # s
BUSY = "as many sounds as may wait are waiting already; try again a little later"


class Problem(Exception):
    """An answer other than what was asked for.

    Attributes:
        field: of the request, if one is to blame.
    """

    def __init__(self, status: int, title: str, detail: str, field: str | None = None, **headers: str) -> None:
        super().__init__(detail)
        self.status, self.title, self.detail, self.field = status, title, detail, field
        self.headers = {name.replace("_", "-"): value for name, value in headers.items()}

    def response(self) -> JSONResponse:
        told = ProblemDetails(title=self.title, status=self.status, detail=self.detail, field=self.field)
        return JSONResponse(told.model_dump(exclude_none=True), self.status, self.headers, media_type=MEDIA_TYPE)


def may(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """`responses` of a route that may answer with problems of these statuses; `openapi` tells what they are."""
    return {status: {} for status in statuses}


def install(app: FastAPI) -> None:
    """Have an app answer its errors as problems."""

    @app.exception_handler(Problem)
    async def _(request: Request, error: Problem) -> JSONResponse:
        return error.response()

    @app.exception_handler(Busy)
    async def _(request: Request, error: Busy) -> JSONResponse:
        return Problem(503, "Busy", BUSY, retry_after=str(RETRY_AFTER)).response()

    @app.exception_handler(ModelError)
    async def _(request: Request, error: ModelError) -> JSONResponse:
        field = str(error).partition(" = ")[0]
        return Problem(422, "Not possible with this model", one_line(error), field).response()

    @app.exception_handler(RequestValidationError)
    async def _(request: Request, error: RequestValidationError) -> JSONResponse:
        found = error.errors()
        if found[0]["type"] == "json_invalid":
            return Problem(400, "Not JSON", f"the body is not JSON: {found[0]['ctx']['error']}").response()
        if found[0]["loc"] == ("body",) and found[0]["type"] == "missing":
            return Problem(422, "Not a valid request", "the body is empty: send a JSON object, {} at least").response()
        told = "; ".join(f"{_field(one)}: {_said(one)}" for one in found)
        return Problem(422, "Not a valid request", told, _field(found[0])).response()

    @app.exception_handler(HTTPException)
    async def _(request: Request, error: HTTPException) -> JSONResponse:
        problem = Problem(error.status_code, str(error.detail), f"{request.method} {request.url.path}: {error.detail}")
        problem.headers |= error.headers or {}
        if "GET" in problem.headers.get("Allow", ""):
            problem.headers["Allow"] += ", HEAD"
        return problem.response()


def _field(error: dict[str, Any]) -> str:
    return ".".join(str(part) for part in error["loc"][1:]) or str(error["loc"][0])


def _said(error: dict[str, Any]) -> str:
    told = error["msg"].removeprefix("Value error, ")
    return told[:1].lower() + told[1:]
