"""Waiting orders: whoever asks, and together with whom, gets the sound of the order, or an answer at once."""

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
from soundgan.server.batching import BatchQueue, Busy
from soundgan.server.workers import WorkerPool
from soundgan.sound import Sound


class Studio:
    """Stands for a model: notes what is made together, and fails on demand."""

    config = SimpleNamespace(name="studio")

    def __init__(self) -> None:
        self.batches: list[list[int]] = []
        self.failing = False

    def check(self, order: GenerationRequest) -> None:
        if order.label is not None:
            raise ModelError("label = : none here")

    def generate_batch(self, orders: Sequence[GenerationRequest]) -> list[Sound]:
        self.batches.append([order.seed for order in orders])
        if self.failing:
            raise MemoryError
        silence = np.zeros(1, np.float32)
        return [Sound(silence, 8000, None, order.seed, silence[None], {}) for order in orders]

    def makes(self, name: str, orders: Sequence[GenerationRequest]) -> list[Sound]:
        assert name == "studio"
        return self.generate_batch(orders)


def queue(studio: Studio | SoundGAN, waiting: int = 64, at_once: int = 4, **more: Any) -> BatchQueue:
    return BatchQueue(cast(SoundGAN, studio), max_queue=waiting, max_batch=at_once, **more)


def run(work: Coroutine[Any, Any, Any]) -> Any:
    return asyncio.run(asyncio.wait_for(work, 30))


def orders(*seeds: int) -> list[GenerationRequest]:
    return [GenerationRequest(seed) for seed in seeds]


def test_orders_of_several_requests_are_made_together_and_in_turn() -> None:
    studio, counted = Studio(), list[int]()

    async def work() -> list[list[Sound]]:
        house = queue(studio, made=counted.append)
        asked = [asyncio.ensure_future(house.make(orders(*seeds))) for seeds in ([1, 2], [3], [4, 5, 6])]
        await asyncio.sleep(0)
        assert house.waiting == 6
        house.close()
        await house.run()
        return await asyncio.gather(*asked)

    answers = run(work())
    assert [[sound.seed for sound in answer] for answer in answers] == [[1, 2], [3], [4, 5, 6]]
    assert studio.batches == [[1, 2, 3, 4], [5, 6]]
    assert counted == [4, 2]


def test_a_sound_is_the_same_in_any_company(model: SoundGAN) -> None:
    mixed = [
        GenerationRequest(1, "kick"),
        GenerationRequest(2),
        GenerationRequest(1, "tone", 0.5, "fast"),
        GenerationRequest(3, None, 1.0, "best"),
        GenerationRequest(1, "kick"),
    ]

    async def work() -> list[Sound]:
        house = queue(model, at_once=3)
        making = asyncio.create_task(house.run())
        answers = await asyncio.gather(*(house.make([order]) for order in mixed))
        house.close()
        await making
        return [sound for answer in answers for sound in answer]

    for order, sound in zip(mixed, run(work()), strict=True):
        alone = model.generate_batch([order])[0]
        np.testing.assert_array_equal(sound.samples, alone.samples)
        assert (sound.label, sound.seed, sound.tags) == (alone.label, alone.seed, alone.tags)


def test_more_than_may_wait_is_refused_at_once_and_what_waits_is_still_made() -> None:
    studio = Studio()

    async def work() -> list[Sound]:
        house = queue(studio, waiting=3)
        first = asyncio.ensure_future(house.make(orders(1, 2)))
        await asyncio.sleep(0)
        with pytest.raises(Busy):
            await house.make(orders(3, 4))
        house.close()
        with pytest.raises(Busy):
            await house.make(orders(5))
        await house.run()
        return await first

    assert [sound.seed for sound in run(work())] == [1, 2]
    assert studio.batches == [[1, 2]]


def test_an_order_that_nobody_waits_for_any_more_is_not_made() -> None:
    studio = Studio()

    async def work() -> None:
        house = queue(studio)
        gone = asyncio.ensure_future(house.make(orders(1, 2)))
        stays = asyncio.ensure_future(house.make(orders(3)))
        await asyncio.sleep(0)
        gone.cancel()
        await asyncio.sleep(0)
        house.close()
        await house.run()
        assert [sound.seed for sound in await stays] == [3]
        assert gone.cancelled()

    run(work())
    assert studio.batches == [[3]]


def test_what_waits_is_told_when_the_making_is_broken_off() -> None:
    async def work() -> None:
        house = queue(Studio())
        making = asyncio.create_task(house.run())
        await asyncio.sleep(0)
        making.cancel()
        asked = asyncio.ensure_future(house.make(orders(1)))
        with pytest.raises(Busy):
            await asked
        assert house.closed

    run(work())


def test_so_is_what_is_being_made_then() -> None:
    let_go = threading.Event()

    def held(name: str, orders: Sequence[GenerationRequest]) -> list[Sound]:
        assert let_go.wait(30)
        return Studio().generate_batch(orders)

    async def work() -> None:
        house = queue(Studio(), makers=WorkerPool([held]))
        making = asyncio.create_task(house.run())
        asked = asyncio.ensure_future(house.make(orders(1)))
        while not house.making:
            await asyncio.sleep(0)
        making.cancel()
        with pytest.raises(Busy):
            await asked
        let_go.set()

    run(work())


def test_makers_share_what_waits() -> None:
    one, other = Studio(), Studio()

    async def work() -> list[Sound]:
        house = queue(one, at_once=3, makers=WorkerPool([one.makes, other.makes]))
        asked = asyncio.ensure_future(house.make(orders(*range(9))))
        await asyncio.sleep(0)
        house.close()
        await house.run()
        return await asked

    assert [sound.seed for sound in run(work())] == list(range(9))
    batches = one.batches + other.batches
    assert sorted(seed for batch in batches for seed in batch) == list(range(9))
    assert one.batches and other.batches and max(map(len, batches)) == 3


def test_a_model_that_holds_a_maker_does_not_hold_up_another_model() -> None:
    let_go, held = threading.Event(), Studio()
    held.config = SimpleNamespace(name="held")

    def maker(name: str, orders: Sequence[GenerationRequest]) -> list[Sound]:
        assert name != "held" or let_go.wait(30)
        return Studio().generate_batch(orders)

    async def work() -> None:
        makers = WorkerPool([maker, maker])
        slow, quick = queue(held, at_once=1, makers=makers), queue(Studio(), makers=makers)
        async with asyncio.TaskGroup() as making:
            making.create_task(slow.run())
            making.create_task(quick.run())
            first = making.create_task(slow.make(orders(0)))
            while not slow.making:
                await asyncio.sleep(0)
            try:
                for seed in range(8):  # so often that each maker would have its turn
                    assert [sound.seed for sound in await quick.make(orders(seed))] == [seed]
                second = making.create_task(slow.make(orders(1)))
                while len(slow.making) < 2:
                    await asyncio.sleep(0)
                waits = asyncio.ensure_future(quick.make(orders(8)))
                more = making.create_task(slow.make(orders(2, 3, 4)))
                await asyncio.sleep(0.05)
                assert quick.waiting == 1 and slow.waiting == 3, "no maker is free: they wait, and can be cancelled"
                waits.cancel()
                last = making.create_task(quick.make(orders(9)))
            finally:
                let_go.set()
            assert [sound.seed for sound in await last] == [9]
            await asyncio.gather(first, second, more)
            slow.close()
            quick.close()

    run(work())


def test_models_that_share_a_maker_take_turns() -> None:
    made: list[str] = []

    def maker(name: str, orders: Sequence[GenerationRequest]) -> list[Sound]:
        made.append(name)
        return Studio().generate_batch(orders)

    async def work() -> None:
        makers, models = WorkerPool([maker]), (Studio(), Studio())
        for name, model in zip("ab", models, strict=True):
            model.config = SimpleNamespace(name=name)
        houses = [queue(model, at_once=1, makers=makers) for model in models]
        async with asyncio.TaskGroup() as tasks:
            for house, count in zip(houses, (8, 3), strict=True):
                tasks.create_task(house.make(orders(*range(count))))
            await asyncio.sleep(0)
            for house in houses:
                house.close()
                tasks.create_task(house.run())

    run(work())
    assert made == [*"aabababaaaa"]  # the first came when nobody else was there


def test_a_bad_order_harms_no_other_and_a_failed_batch_not_the_next() -> None:
    studio = Studio()

    async def work() -> list[Sound]:
        house = queue(studio)
        making = asyncio.create_task(house.run())
        with pytest.raises(ModelError):
            await house.make([GenerationRequest(1), GenerationRequest(2, "kick")])
        studio.failing = True
        with pytest.raises(MemoryError):
            await house.make(orders(3, 4))
        studio.failing = False
        sounds = await house.make(orders(5))
        house.close()
        await making
        return sounds

    assert [sound.seed for sound in run(work())] == [5]
    assert studio.batches == [[3, 4], [5]]
