"""`/healthz`, `/readyz` and `/metrics`."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from server_clients import SOUNDS, assert_problem

pytest.importorskip("fastapi", reason="the server needs the extra `serve`")

from fastapi.testclient import TestClient

from soundgan.model import SoundGAN
from soundgan.server import routes_health
from soundgan.server.app import create_app
from soundgan.server.settings import ServerSettings


class BlockedModel:
    """A model whose batches wait until they are released."""

    def __init__(self, model: SoundGAN) -> None:
        self.config, self.check, self._generate_batch = model.config, model.check, model.generate_batch
        self._released = threading.Semaphore(0)
        self.release = self._released.release

    def generate_batch(self, requests: Any) -> Any:
        assert self._released.acquire(timeout=60)
        return self._generate_batch(requests)


def wait_until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_health_and_metrics_of_a_working_server(client: TestClient) -> None:
    assert client.get("/healthz").json() == {"status": "alive"}
    assert client.get("/readyz").json() == {"status": "ready"}
    client.post(SOUNDS, json={"n": 3})
    text = client.get("/metrics").text
    assert 'soundgan_sounds_total{model="tiny"} 4.0' in text, "one is the readiness probe"
    assert 'soundgan_requests_total{method="POST",route="/v1/models/{model}/sounds",status="200"} 1.0' in text


def test_failing_model_is_not_ready(
    model_folder: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def fail(*_: object) -> None:
        raise RuntimeError("no room")

    with TestClient(create_app([model_folder])) as client:
        monkeypatch.setattr(SoundGAN, "generate_batch", fail)
        problem = assert_problem(client.get("/readyz"), 503)
        assert "no room" not in problem["detail"], "the route is public"
        assert "no room" in caplog.text
        response = client.post(SOUNDS, json={})
        assert response.headers["x-request-id"] in assert_problem(response, 500)["detail"]
        assert client.get("/healthz").status_code == 200
        monkeypatch.undo()
        assert client.get("/readyz").status_code == 200


def test_long_batch_is_ready_and_hanging_one_is_not(model_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(routes_health, "READY_WINDOW", -1.0)
    monkeypatch.setattr(routes_health, "PROBE_TIMEOUT", 0.2)
    app = create_app([model_folder], ServerSettings(max_batch=8))
    with TestClient(app) as client, ThreadPoolExecutor(8) as pool:
        queue = client.app.state.soundgan.queues["tiny"]  # type: ignore[attr-defined]
        model, queue.model = queue.model, BlockedModel(queue.model)

        def running() -> int:
            return sum(size for size, _ in queue._running)

        try:
            probes = [pool.submit(client.get, "/readyz") for _ in range(8)]
            assert {probe.result().status_code for probe in probes} == {503}
            assert queue.waiting + running() == 1, "concurrent requests share one probe"
            batch = pool.submit(client.post, SOUNDS, json={"n": 8})
            wait_until(lambda: queue.waiting == 8)
            queue.model.release(1)  # the probe; the eight sounds are next
            wait_until(lambda: running() == 8)
            monkeypatch.setattr(routes_health, "PROBE_TIMEOUT", 60.0)
            assert client.get("/readyz").status_code == 200, "eight sounds may take eight minutes"
            monkeypatch.setattr(routes_health, "PROBE_TIMEOUT", 0.01)
            time.sleep(0.1)
            assert_problem(client.get("/readyz"), 503)
        finally:
            queue.model.release(9)
            queue.model = model
        assert batch.result().status_code == 200
