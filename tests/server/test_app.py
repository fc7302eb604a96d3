"""Application factory: its models, and the static files of the page."""

from __future__ import annotations

from pathlib import Path

import pytest
from server_clients import assert_problem

pytest.importorskip("fastapi", reason="the server needs the extra `serve`")

from fastapi.testclient import TestClient

from soundgan.errors import ModelError
from soundgan.server.app import create_app


def test_app_requires_models_of_different_names(model_folder: Path) -> None:
    with pytest.raises(ModelError, match="same name"):
        create_app([model_folder, model_folder])
    with pytest.raises(ModelError, match="no model"):
        create_app([])


def test_page_is_revalidated_on_each_load(client: TestClient) -> None:
    for path, kind in [("/", "text/html"), ("/page/main.js", "text/javascript"), ("/page/style.css", "text/css")]:
        response = client.get(path)
        assert response.status_code == 200 and response.headers["content-type"].startswith(kind)
        assert response.headers["cache-control"] == "no-cache"
        assert client.get(path, headers={"If-None-Match": response.headers["etag"]}).status_code == 304
    for path in ("/page/none.js", "/page/../app.py", "/page/%2e%2e/app.py"):
        assert_problem(client.get(path), 404)
