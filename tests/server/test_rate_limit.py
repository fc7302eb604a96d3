"""Sounds a minute for one client: a bucket of tokens, by a clock that the tests turn."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import cast

import pytest

pytest.importorskip("fastapi", reason="the server needs the extra `serve`")

from fastapi import Request
from fastapi.testclient import TestClient
from hypothesis import given
from hypothesis import strategies as st

from soundgan.model import GenerationRequest, SoundGAN
from soundgan.server.app import create_app
from soundgan.server.batching import BatchQueue
from soundgan.server.problems import Problem
from soundgan.server.rate_limit import RateLimiter
from soundgan.server.settings import ServerSettings
from soundgan.server.state import State, make
from soundgan.server.workers import WorkerPool
from soundgan.sound import Sound

SOUNDS = "/v1/models/tiny/sounds"


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


def waits(rate: RateLimiter, address: str, count: int) -> int:
    """The seconds to come again in; 0 if there are tokens for so many sounds."""
    try:
        rate.take(address, count)
    except Problem as problem:
        assert problem.status == 429
        return int(problem.headers["retry-after"])
    return 0


def test_a_bucket_empties_and_fills_up_again() -> None:
    clock = Clock()
    rate = RateLimiter(30, clock=clock)
    assert [waits(rate, "a", 10) for _ in range(4)] == [0, 0, 0, 20]
    assert waits(rate, "b", 30) == 0, "another client has its own"
    assert waits(rate, "a", 1) == 2
    clock.now += 2
    assert [waits(rate, "a", 1), waits(rate, "a", 1)] == [0, 2]
    clock.now += 3600
    assert [waits(rate, "a", 30), waits(rate, "a", 1)] == [0, 2], "it holds no more than a minute's"
    rate.give_back("a", 5)
    assert [waits(rate, "a", 5), waits(rate, "a", 1)] == [0, 2]


@given(st.integers(1, 100), st.lists(st.tuples(st.floats(0, 100), st.integers(1, 100)), max_size=50))
def test_nobody_gets_more_than_a_full_bucket_and_what_came_back(most: int, asked: list[tuple[float, int]]) -> None:
    clock = Clock()
    rate, started, had = RateLimiter(most, clock=clock), clock.now, 0
    for seconds, count in asked:
        clock.now += seconds
        wait = waits(rate, "a", count)
        had += 0 if wait else count
        assert had <= most * (1 + (clock.now - started) / 60) + 1e-3
        if wait and count <= most:  # who comes again when it was told to is served
            clock.now += wait
            assert waits(rate, "a", count) == 0
            had += count


def test_only_so_many_clients_are_remembered_and_none_for_longer_than_a_minute() -> None:
    clock = Clock()
    rate = RateLimiter(60, clock=clock, clients=100)
    for number in range(1000):
        rate.take(f"10.0.{number // 250}.{number % 250}", 60)
    assert len(rate._full) == 100
    assert waits(rate, "10.0.3.249", 1) == 1
    clock.now += 60
    rate.take("a", 1)
    assert set(rate._full) == {"a"}


@pytest.mark.parametrize(
    ("one", "other", "same"),
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
def test_whose_addresses_are_the_same_clients(one: str, other: str, same: bool) -> None:
    rate = RateLimiter(1, clock=Clock())
    rate.take(one, 1)
    assert (waits(rate, other, 1) > 0) == same


@pytest.fixture
def client(model_folder: Path, tmp_path: Path) -> Iterator[TestClient]:
    app = create_app([model_folder], ServerSettings(output_folder=tmp_path, most_per_minute=6))
    app.state.soundgan.rate = RateLimiter(6, clock=Clock())
    with TestClient(app) as client:
        yield client


def test_a_client_that_had_its_sounds_is_told_when_to_come_again(client: TestClient) -> None:
    assert client.post(SOUNDS, json={"n": 4}).status_code == 200
    for no in (client.post(SOUNDS, json={"n": 0}), client.post(SOUNDS, json={"n": 2, "label": "bell"})):
        assert no.status_code == 422, "what is not made costs nothing"
    assert client.get("/v1/models/tiny/spectrogram.png", params={"seed": 1}).status_code == 200
    assert client.post("/infer", json={"output_file": "x.wav"}).json()["error"] == ""
    for answer in (
        client.post(SOUNDS, json={}),
        client.get("/v1/models/tiny/spectrogram.png", params={"seed": 1}),
        client.post("/infer", json={"output_file": "x.wav"}),
    ):
        assert answer.status_code == 429 and answer.headers["retry-after"] == "10"
        assert answer.headers["content-type"] == "application/problem+json"
        assert "6 sounds a minute" in answer.json()["detail"]
    assert client.get("/v1/models").status_code == client.get("/readyz").status_code == 200


def test_no_request_is_taken_that_could_never_be_answered(client: TestClient) -> None:
    answer = client.post(SOUNDS, json={"n": 7})
    assert answer.status_code == 422 and "at most 6" in answer.json()["detail"]
    assert (
        client.get("/openapi.json").json()["components"]["schemas"]["SoundsRequest"]["properties"]["n"]["maximum"] == 6
    )


def test_a_busy_server_charges_nothing(client: TestClient, monkeypatch: pytest.MonkeyPatch) -> None:
    queue = client.app.state.soundgan.batchers["tiny"]  # type: ignore[attr-defined]
    with monkeypatch.context() as patch:
        patch.setattr(queue, "_most_waiting", 5)
        assert [client.post(SOUNDS, json={"n": 6}).status_code for _ in range(3)] == [503, 503, 503]
    assert client.post(SOUNDS, json={"n": 6}).status_code == 200


def test_who_goes_away_pays_for_what_was_begun_only(model: SoundGAN) -> None:
    """With a batch of two being made, four of six sounds still wait, and cost nothing."""
    let_go, rate = threading.Event(), RateLimiter(6, clock=Clock())

    def held(name: str, orders: Sequence[GenerationRequest]) -> list[Sound]:
        assert let_go.wait(60)
        return model.generate_batch(orders)

    async def work() -> None:
        queue = BatchQueue(model, max_queue=8, max_batch=2, makers=WorkerPool([held]))
        making = asyncio.create_task(queue.run())
        app = SimpleNamespace(state=SimpleNamespace(soundgan=State(ServerSettings(), rate=rate)))
        request = cast(Request, SimpleNamespace(app=app, client=SimpleNamespace(host="a")))
        asked = asyncio.create_task(make(request, queue, [GenerationRequest(seed) for seed in range(6)]))
        while not queue.making:
            await asyncio.sleep(0)
        asked.cancel()
        with pytest.raises(asyncio.CancelledError):
            await asked
        let_go.set()
        queue.close()
        await making

    asyncio.run(work())
    assert [waits(rate, "a", 4), waits(rate, "a", 1)] == [0, 10]
