"""Batches: every request gets its own sounds or an error at once, whatever is generated together with it."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Coroutine, Sequence
from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import pytest

pytest.importorskip("fastapi", reason="the server needs the extra `serve`")

from soundgan.errors import ModelError
from soundgan.model import GenerationRequest, SoundGAN
from soundgan.server.batch_queue import BatchQueue, QueueUnavailable
from soundgan.server.workers import WorkerPool
from soundgan.sound import Sound


class FakeModel:
    """A model that records its batches, and fails on demand."""

    def __init__(self, name: str = "fake") -> None:
        self.config = SimpleNamespace(name=name)
        self.batches: list[list[int]] = []
        self.failing = False

    def check(self, request: GenerationRequest) -> None:
        if request.label is not None:
            raise ModelError("label = : this model has none")

    def generate_batch(self, requests: Sequence[GenerationRequest]) -> list[Sound]:
        self.batches.append([request.seed for request in requests])
        if self.failing:
            raise MemoryError
        silence = np.zeros(1, np.float32)
        return [Sound(silence, 8000, None, request.seed, silence[None], {}) for request in requests]

    def worker(self, name: str, requests: Sequence[GenerationRequest]) -> list[Sound]:
        assert name == self.config.name
        return self.generate_batch(requests)


def new_queue(model: FakeModel | SoundGAN, max_queue: int = 64, max_batch: int = 4, **options: Any) -> BatchQueue:
    return BatchQueue(cast(SoundGAN, model), max_queue=max_queue, max_batch=max_batch, **options)


def run(coroutine: Coroutine[Any, Any, Any]) -> Any:
    return asyncio.run(asyncio.wait_for(coroutine, 30))


def seeds(*values: int) -> list[GenerationRequest]:
    return [GenerationRequest(value) for value in values]


def test_queue_batches_several_requests_in_order() -> None:
    model, sizes = FakeModel(), list[int]()

    async def scenario() -> list[list[Sound]]:
        queue = new_queue(model, on_batch=sizes.append)
        requests = [asyncio.ensure_future(queue.run(seeds(*values))) for values in ([1, 2], [3], [4, 5, 6])]
        await asyncio.sleep(0)
        assert queue.waiting == 6
        queue.close()
        await queue.consume()
        return await asyncio.gather(*requests)

    responses = run(scenario())
    assert [[sound.seed for sound in response] for response in responses] == [[1, 2], [3], [4, 5, 6]]
    assert model.batches == [[1, 2, 3, 4], [5, 6]]
    assert sizes == [4, 2]


def test_sound_does_not_depend_on_its_batch(model: SoundGAN) -> None:
    mixed = [
        GenerationRequest(1, "kick"),
        GenerationRequest(2),
        GenerationRequest(1, "tone", 0.5, "fast"),
        GenerationRequest(3, None, 1.0, "best"),
        GenerationRequest(1, "kick"),
    ]

    async def scenario() -> list[Sound]:
        queue = new_queue(model, max_batch=3)
        consumer = asyncio.create_task(queue.consume())
        responses = await asyncio.gather(*(queue.run([request]) for request in mixed))
        queue.close()
        await consumer
        return [sound for response in responses for sound in response]

    for request, sound in zip(mixed, run(scenario()), strict=True):
        alone = model.generate_batch([request])[0]
        np.testing.assert_array_equal(sound.samples, alone.samples)
        assert (sound.label, sound.seed, sound.tags) == (alone.label, alone.seed, alone.tags)


def test_full_or_closed_queue_refuses_at_once_and_generates_what_it_accepted() -> None:
    model = FakeModel()

    async def scenario() -> list[Sound]:
        queue = new_queue(model, max_queue=3)
        first = asyncio.ensure_future(queue.run(seeds(1, 2)))
        await asyncio.sleep(0)
        with pytest.raises(QueueUnavailable):
            await queue.run(seeds(3, 4))
        queue.close()
        with pytest.raises(QueueUnavailable):
            await queue.run(seeds(5))
        await queue.consume()
        return await first

    assert [sound.seed for sound in run(scenario())] == [1, 2]
    assert model.batches == [[1, 2]]


def test_cancelled_request_is_not_generated() -> None:
    model = FakeModel()

    async def scenario() -> None:
        queue = new_queue(model)
        cancelled = asyncio.ensure_future(queue.run(seeds(1, 2)))
        kept = asyncio.ensure_future(queue.run(seeds(3)))
        await asyncio.sleep(0)
        cancelled.cancel()
        await asyncio.sleep(0)
        queue.close()
        await queue.consume()
        assert [sound.seed for sound in await kept] == [3]
        assert cancelled.cancelled()

    run(scenario())
    assert model.batches == [[3]]


def test_waiting_request_fails_when_the_consumer_is_cancelled() -> None:
    async def scenario() -> None:
        queue = new_queue(FakeModel())
        consumer = asyncio.create_task(queue.consume())
        await asyncio.sleep(0)
        consumer.cancel()
        request = asyncio.ensure_future(queue.run(seeds(1)))
        with pytest.raises(QueueUnavailable):
            await request
        assert queue.closed

    run(scenario())


def test_running_request_fails_when_the_consumer_is_cancelled() -> None:
    release = threading.Event()

    def blocked(name: str, requests: Sequence[GenerationRequest]) -> list[Sound]:
        assert release.wait(30)
        return FakeModel().generate_batch(requests)

    async def scenario() -> None:
        queue = new_queue(FakeModel(), workers=WorkerPool([blocked]))
        consumer = asyncio.create_task(queue.consume())
        request = asyncio.ensure_future(queue.run(seeds(1)))
        while not queue.running:
            await asyncio.sleep(0)
        consumer.cancel()
        with pytest.raises(QueueUnavailable):
            await request
        release.set()

    run(scenario())


def test_workers_share_the_queue() -> None:
    first, second = FakeModel(), FakeModel()

    async def scenario() -> list[Sound]:
        queue = new_queue(first, max_batch=3, workers=WorkerPool([first.worker, second.worker]))
        request = asyncio.ensure_future(queue.run(seeds(*range(9))))
        await asyncio.sleep(0)
        queue.close()
        await queue.consume()
        return await request

    assert [sound.seed for sound in run(scenario())] == list(range(9))
    batches = first.batches + second.batches
    assert sorted(seed for batch in batches for seed in batch) == list(range(9))
    assert first.batches and second.batches and max(map(len, batches)) == 3


def test_model_that_blocks_a_worker_does_not_block_another_model() -> None:
    release = threading.Event()

    def worker(name: str, requests: Sequence[GenerationRequest]) -> list[Sound]:
        assert name != "blocked" or release.wait(30)
        return FakeModel().generate_batch(requests)

    async def scenario() -> None:
        workers = WorkerPool([worker, worker])
        slow = new_queue(FakeModel("blocked"), max_batch=1, workers=workers)
        quick = new_queue(FakeModel(), workers=workers)
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(slow.consume())
            tasks.create_task(quick.consume())
            first = tasks.create_task(slow.run(seeds(0)))
            while not slow.running:
                await asyncio.sleep(0)
            try:
                for seed in range(8):  # often enough that each worker would have its turn
                    assert [sound.seed for sound in await quick.run(seeds(seed))] == [seed]
                second = tasks.create_task(slow.run(seeds(1)))
                while len(slow.running) < 2:
                    await asyncio.sleep(0)
                waiting = asyncio.ensure_future(quick.run(seeds(8)))
                third = tasks.create_task(slow.run(seeds(2, 3, 4)))
                await asyncio.sleep(0.05)
                assert quick.waiting == 1 and slow.waiting == 3, "no worker is idle: both wait, and can be cancelled"
                waiting.cancel()
                last = tasks.create_task(quick.run(seeds(9)))
            finally:
                release.set()
            assert [sound.seed for sound in await last] == [9]
            await asyncio.gather(first, second, third)
            slow.close()
            quick.close()

    run(scenario())


def test_models_that_share_a_worker_take_turns() -> None:
    generated: list[str] = []

    def worker(name: str, requests: Sequence[GenerationRequest]) -> list[Sound]:
        generated.append(name)
        return FakeModel().generate_batch(requests)

    async def scenario() -> None:
        workers = WorkerPool([worker])
        queues = [new_queue(FakeModel(name), max_batch=1, workers=workers) for name in "ab"]
        async with asyncio.TaskGroup() as tasks:
            for queue, count in zip(queues, (8, 3), strict=True):
                tasks.create_task(queue.run(seeds(*range(count))))
            await asyncio.sleep(0)
            for queue in queues:
                queue.close()
                tasks.create_task(queue.consume())

    run(scenario())
    assert generated == [*"aabababaaaa"]  # the first batch started when the other queue had no consumer


def test_invalid_request_and_failed_batch_affect_no_other() -> None:
    model = FakeModel()

    async def scenario() -> list[Sound]:
        queue = new_queue(model)
        consumer = asyncio.create_task(queue.consume())
        with pytest.raises(ModelError):
            await queue.run([GenerationRequest(1), GenerationRequest(2, "kick")])
        model.failing = True
        with pytest.raises(MemoryError):
            await queue.run(seeds(3, 4))
        model.failing = False
        sounds = await queue.run(seeds(5))
        queue.close()
        await consumer
        return sounds

    assert [sound.seed for sound in run(scenario())] == [5]
    assert model.batches == [[3, 4], [5]]
