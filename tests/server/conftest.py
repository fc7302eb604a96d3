"""Fixtures of the server tests."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from fastapi.testclient import TestClient


@pytest.fixture
def output_folder(tmp_path: Path) -> Path:
    folder = tmp_path / "out"
    folder.mkdir()
    return folder


@pytest.fixture
def client(model_folder: Path, flat_model_folder: Path, output_folder: Path) -> Iterator[TestClient]:
    """Client of an app with two models and low limits."""
    from fastapi.testclient import TestClient

    from soundgan.server.app import create_app
    from soundgan.server.settings import ServerSettings

    settings = ServerSettings(output_folder=output_folder, max_sounds_per_request=8, max_queue=8, max_body_bytes=1000)
    with TestClient(create_app([model_folder, flat_model_folder], settings)) as client:
        yield client
