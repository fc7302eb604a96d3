"""`POST /infer`: the classic API."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import soundfile
from server_clients import JSON

pytest.importorskip("fastapi", reason="the server needs the extra `serve`")

from fastapi.testclient import TestClient


def test_infer_writes_a_sound_and_returns_its_path(client: TestClient, output_folder: Path) -> None:
    response = client.post("/infer", json={"output_file": "x.wav"})
    assert response.json() == {"output_path": "x.wav", "error": ""}
    wave, rate = soundfile.read(output_folder / "x.wav")
    assert rate == 8000 and len(wave) == 2048
    (output_folder / "sub").mkdir()
    assert client.post("/infer", json={"output_file": "sub/y.flac"}).json()["error"] == ""
    assert sorted(path.name for path in output_folder.rglob("*.*")) == ["x.wav", "y.flac"]


@pytest.mark.parametrize(
    "name",
    [
        "", "/etc/x.wav", "../x.wav", "a/../../x.wav", "a\0.wav", "sub", "x.mp3", "x", "none/x.wav", "link.wav",
        "linked/x.wav", "loop/x.wav", "..\\x.wav", "x" * 300 + ".wav", "\ud800.wav", "\udc80.wav", "a\nb.wav",
    ],
)  # fmt: skip
def test_infer_writes_only_into_the_output_folder(
    client: TestClient, output_folder: Path, tmp_path: Path, name: str
) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "kept.wav").write_text("kept")
    (output_folder / "sub").mkdir()
    (output_folder / "link.wav").symlink_to(outside / "kept.wav")
    (output_folder / "linked").symlink_to(outside)
    (output_folder / "loop").symlink_to(output_folder / "loop")
    before = sorted(tmp_path.rglob("*"))
    response = client.post("/infer", content=json.dumps({"output_file": name}), headers=JSON)
    assert response.status_code == 200
    assert response.json()["output_path"] == "" and response.json()["error"].startswith("output_file = ")
    assert str(tmp_path) not in response.json()["error"]
    assert sorted(tmp_path.rglob("*")) == before
    assert (outside / "kept.wav").read_text() == "kept"
