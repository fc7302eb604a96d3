"""Rate limit of sounds per minute and client, with a clock that the tests set."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import cast

import pytest
from server_clients import SOUNDS

pytest.importorskip("fastapi", reason="the server needs the extra `serve`")

from fastapi import Request
from fastapi.testclient import TestClient
from hypothesis import given
from hypothesis import strategies as st

from soundgan.model import GenerationRequest, SoundGAN
from soundgan.server.app import create_app
from soundgan.server.batch_queue import BatchQueue
from soundgan.server.problems import Problem
from soundgan.server.rate_limit import RateLimiter
from soundgan.server.settings import ServerSettings
from soundgan.server.state import State, submit
from soundgan.server.workers import WorkerPool
from soundgan.sound import Sound


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


def retry_after(limiter: RateLimiter, address: str, count: int) -> int:
    """Acquire tokens, and return the seconds to wait; 0 if there were enough."""
    try:
        limiter.acquire(address, count)
    except Problem as problem:
        assert problem.status == 429
        return int(problem.headers["retry-after"])
    return 0


def test_rate_limiter_empties_and_refills_a_bucket_per_client() -> None:
    clock = Clock()
    limiter = RateLimiter(30, clock=clock)
    assert [retry_after(limiter, "a", 10) for _ in range(4)] == [0, 0, 0, 20]
    assert retry_after(limiter, "b", 30) == 0, "another client has its own bucket"
    assert retry_after(limiter, "a", 1) == 2
    clock.now += 2
    assert [retry_after(limiter, "a", 1), retry_after(limiter, "a", 1)] == [0, 2]
    clock.now += 3600
    assert [retry_after(limiter, "a", 30), retry_after(limiter, "a", 1)] == [0, 2], "a bucket holds one minute's tokens"
    limiter.refund("a", 5)
    assert [retry_after(limiter, "a", 5), retry_after(limiter, "a", 1)] == [0, 2]


@given(st.integers(1, 100), st.lists(st.tuples(st.floats(0, 100), st.integers(1, 100)), max_size=50))
def test_rate_limiter_grants_a_full_bucket_and_its_refill_at_most(
    per_minute: int, requests: list[tuple[float, int]]
) -> None:
    clock = Clock()
    limiter, start, granted = RateLimiter(per_minute, clock=clock), clock.now, 0
    for seconds, count in requests:
        clock.now += seconds
        wait = retry_after(limiter, "a", count)
        granted += 0 if wait else count
        assert granted <= per_minute * (1 + (clock.now - start) / 60) + 1e-3
        if wait and count <= per_minute:  # the time to wait is sufficient
            clock.now += wait
            assert retry_after(limiter, "a", count) == 0
            granted += count


def test_rate_limiter_stores_a_bounded_number_of_clients_for_a_minute() -> None:
    clock = Clock()
    limiter = RateLimiter(60, clock=clock, max_clients=100)
    for number in range(1000):
        limiter.acquire(f"10.0.{number // 250}.{number % 250}", 60)
    assert len(limiter._full_at) == 100
    assert retry_after(limiter, "10.0.3.249", 1) == 1
    clock.now += 60
    limiter.acquire("a", 1)
    assert set(limiter._full_at) == {"a"}


@pytest.mark.parametrize(
    ("first", "second", "same"),
    [
        ("10.0.0.1", "10.0.0.1", True),
        ("10.0.0.1", "10.0.0.2", False),
        ("::ffff:10.0.0.1", "10.0.0.1", True),
        ("2001:db8::1", "2001:db8::ffff:2", True),  # one customer's network
        ("2001:db8::1", "2001:db8:0:1::1", False),
        ("fe80::1%eth0", "fe80::2%eth0", True),
        ("", "", True),
        ("testclient", "10.0.0.1", False),
    ],
)
def test_rate_limiter_maps_addresses_to_clients(first: str, second: str, same: bool) -> None:
    limiter = RateLimiter(1, clock=Clock())
    limiter.acquire(first, 1)
    assert (retry_after(limiter, second, 1) > 0) == same


@pytest.fixture
def limited_client(model_folder: Path, tmp_path: Path) -> Iterator[TestClient]:
    app = create_app([model_folder], ServerSettings(output_folder=tmp_path, rate_limit=6))
    app.state.soundgan.rate_limiter = RateLimiter(6, clock=Clock())
    with TestClient(app) as client:
        yield client


def test_rate_limiter_counts_the_sounds_of_all_routes(limited_client: TestClient) -> None:
    client = limited_client
    assert client.post(SOUNDS, json={"n": 4}).status_code == 200
    for refused in (client.post(SOUNDS, json={"n": 0}), client.post(SOUNDS, json={"n": 2, "label": "bell"})):
        assert refused.status_code == 422, "an invalid request costs nothing"
    assert client.get("/v1/models/tiny/spectrogram.png", params={"seed": 1}).status_code == 200
    assert client.post("/infer", json={"output_file": "x.wav"}).json()["error"] == ""
    for response in (
        client.post(SOUNDS, json={}),
        client.get("/v1/models/tiny/spectrogram.png", params={"seed": 1}),
        client.post("/infer", json={"output_file": "x.wav"}),
    ):
        assert response.status_code == 429 and response.headers["retry-after"] == "10"
        assert response.headers["content-type"] == "application/problem+json"
        assert "6 sounds a minute" in response.json()["detail"]
    assert client.get("/v1/models").status_code == client.get("/readyz").status_code == 200


def test_request_above_the_rate_limit_is_invalid(limited_client: TestClient) -> None:
    response = limited_client.post(SOUNDS, json={"n": 7})
    assert response.status_code == 422 and "at most 6" in response.json()["detail"]
    schemas = limited_client.get("/openapi.json").json()["components"]["schemas"]
    assert schemas["SoundsRequest"]["properties"]["n"]["maximum"] == 6


def test_rate_limiter_refunds_requests_that_a_full_queue_refuses(
    limited_client: TestClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    queue = limited_client.app.state.soundgan.queues["tiny"]  # type: ignore[attr-defined]
    with monkeypatch.context() as patch:
        patch.setattr(queue, "_max_queue", 5)
        assert [limited_client.post(SOUNDS, json={"n": 6}).status_code for _ in range(3)] == [503, 503, 503]
    assert limited_client.post(SOUNDS, json={"n": 6}).status_code == 200


def test_rate_limiter_refunds_cancelled_requests(model: SoundGAN) -> None:
    """While a batch of two is generated, four of six sounds still wait, and cost nothing."""
    release, limiter = threading.Event(), RateLimiter(6, clock=Clock())

    def blocked(name: str, requests: Sequence[GenerationRequest]) -> list[Sound]:
        assert release.wait(60)
        return model.generate_batch(requests)

    async def scenario() -> None:
        queue = BatchQueue(model, max_queue=8, max_batch=2, workers=WorkerPool([blocked]))
        consumer = asyncio.create_task(queue.consume())
        app = SimpleNamespace(state=SimpleNamespace(soundgan=State(ServerSettings(), rate_limiter=limiter)))
        request = cast(Request, SimpleNamespace(app=app, client=SimpleNamespace(host="a")))
        response = asyncio.create_task(submit(request, queue, [GenerationRequest(seed) for seed in range(6)]))
        while not queue.running:
            await asyncio.sleep(0)
        response.cancel()
        with pytest.raises(asyncio.CancelledError):
            await response
        release.set()
        queue.close()
        await consumer

    asyncio.run(scenario())
    assert [retry_after(limiter, "a", 4), retry_after(limiter, "a", 1)] == [0, 10]
