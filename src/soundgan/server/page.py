"""`/`: the web page. Its files are those in `page/`, and everything else comes from the web API."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from fastapi import APIRouter, FastAPI, Request, Response
from fastapi.staticfiles import StaticFiles

FOLDER = Path(__file__).parent / "page"


class RevalidatedFiles(StaticFiles):
    """Static files that browsers revalidate on each load, so that old and new files never mix."""

    def file_response(self, *args: Any, **options: Any) -> Response:
        response = super().file_response(*args, **options)
        response.headers["Cache-Control"] = "no-cache"
        return response


def install(app: FastAPI) -> None:
    """Serve the page and its files; they need no token, since the page prompts for it."""
    files, router = RevalidatedFiles(directory=FOLDER), APIRouter(include_in_schema=False)

    @router.get("/", response_class=Response)
    async def _(request: Request) -> Response:
        return await files.get_response("index.html", request.scope)

    app.include_router(router)
    app.mount("/page", files)
