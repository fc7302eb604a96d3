"""`/`: the page that people play. It is made of the files in `page/` as they are, and asks the web API for all else."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from fastapi import APIRouter, FastAPI, Request, Response
from fastapi.staticfiles import StaticFiles

FOLDER = Path(__file__).parent / "page"


class Files(StaticFiles):
    """Files that browsers ask for again each time, and get again only if they changed: no page is half an old one."""

    def file_response(self, *args: Any, **options: Any) -> Response:
        response = super().file_response(*args, **options)
        response.headers["Cache-Control"] = "no-cache"
        return response


def install(app: FastAPI) -> None:
    """Serve the page and its files; none of them needs a token, which the page asks for itself."""
    files, router = Files(directory=FOLDER), APIRouter(include_in_schema=False)

    @router.get("/", response_class=Response)
    async def _(request: Request) -> Response:
        return await files.get_response("index.html", request.scope)

    app.include_router(router)
    app.mount("/page", files)
