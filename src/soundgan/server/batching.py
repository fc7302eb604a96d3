"""Waiting orders of all requests are gathered into batches, which is what makes a busy server fast."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from soundgan.model import GenerationRequest, SoundGAN
from soundgan.server.workers import Make, WorkerPool
from soundgan.sound import Sound


class Busy(Exception):
    """No more orders are taken for now."""


@dataclass(eq=False)
class _PendingSound:
    """An order, its sound to come, and whether the making of it has begun."""

    order: GenerationRequest
    sound: asyncio.Future[Sound]
    begun: bool = False

    def refuse(self, error: Exception) -> None:
        if not self.sound.done():
            self.sound.set_exception(error)


class BatchQueue:
    """Makes the sounds of one model in batches, as many at a time as it gets makers.

    A sound is the same whatever it is made together with, see `SoundGAN.generate_batch`; so nobody can tell that it was.

    Args:
        most_waiting: sounds that may wait; beyond, `make` raises `Busy` at once.
        most_at_once: sounds in a batch.
        makers: which other models may use as well; the model itself if left out.
        made: called with the number of sounds in every batch that is done.
    """

    def __init__(
        self,
        model: SoundGAN,
        *,
        max_queue: int,
        max_batch: int,
        makers: WorkerPool | None = None,
        made: Callable[[int], None] = lambda count: None,
    ) -> None:
        self.model = model
        self._makers = makers or WorkerPool([lambda name, orders: self.model.generate_batch(orders)])
        self._threads = ThreadPoolExecutor(len(self._makers))  # its own: makers that wait must not keep others waiting
        self._most_waiting, self._most_at_once, self._made = max_queue, max_batch, made
        self._waiting: deque[_PendingSound] = deque()
        self._changed = asyncio.Event()
        self._closed = False
        self._making: list[tuple[int, float]] = []  # sounds in each batch that is being made, and when that began

    @property
    def making(self) -> list[tuple[int, float]]:
        """Of every batch that is being made now: how many sounds, and for how long already, in s."""
        now = asyncio.get_running_loop().time()
        return [(count, now - since) for count, since in self._making]

    @property
    def waiting(self) -> int:
        """Sounds that wait for their batch, and that somebody still waits for."""
        return sum(not one.sound.done() for one in self._waiting)

    @property
    def closed(self) -> bool:
        """Whether no more orders are taken."""
        return self._closed

    async def make(
        self, orders: Sequence[GenerationRequest], unmade: Callable[[int], None] = lambda count: None
    ) -> list[Sound]:
        """The sounds of some orders; a caller that is cancelled meanwhile takes the ones that still wait with it.

        Args:
            unmade: called with the number of orders whose making will never begin, if there are any.

        Raises:
            ModelError: the model cannot make one of them.
            Busy: too many wait already, or the server is stopping.
        """
        for order in orders:
            self.model.check(order)
        if self._closed or self.waiting + len(orders) > self._most_waiting:
            unmade(len(orders))
            raise Busy
        loop = asyncio.get_running_loop()
        asked = [_PendingSound(order, loop.create_future()) for order in orders]
        self._waiting.extend(asked)
        self._changed.set()
        try:
            return list(await asyncio.gather(*(one.sound for one in asked)))
        finally:
            for one in asked:
                one.sound.cancel()
            if never := sum(not one.begun for one in asked):
                unmade(never)

    async def run(self) -> None:
        """Make what is ordered, until `close` was called and nothing waits any more."""
        try:
            async with asyncio.TaskGroup() as tasks:
                while not (self._closed and not self._waiting):
                    await self._changed.wait()
                    make = await self._makers.take()  # first: orders that wait for one can still be cancelled
                    batch = self._next_batch()
                    if batch:
                        tasks.create_task(self._make(batch, make))
                    else:
                        self._makers.give_back(make)
        finally:  # if it is broken off, nobody must wait for ever
            self._closed = True
            self._threads.shutdown(wait=False)
            for one in self._waiting:
                one.refuse(Busy())

    def close(self) -> None:
        """Take no more orders; what was taken is still made."""
        self._closed = True
        self._changed.set()

    def _next_batch(self) -> list[_PendingSound]:
        """What one maker makes next: its share of what waits, so that the others are not left without."""
        share = min(-(-len(self._waiting) // len(self._makers)), self._most_at_once)
        batch = []
        while self._waiting and len(batch) < share:
            one = self._waiting.popleft()
            if not one.sound.done():  # otherwise nobody waits for it any more
                one.begun = True
                batch.append(one)
        if not self._waiting and not self._closed:
            self._changed.clear()
        return batch

    async def _make(self, batch: list[_PendingSound], make: Make) -> None:
        name, loop = self.model.config.name, asyncio.get_running_loop()
        begun = (len(batch), loop.time())
        self._making.append(begun)
        try:
            sounds = await loop.run_in_executor(self._threads, make, name, [one.order for one in batch])
            self._made(len(sounds))
        except asyncio.CancelledError:
            for one in batch:
                one.refuse(Busy())
            raise
        except Exception as error:  # whatever it is, it must not end the batches to come
            for one in batch:
                one.refuse(error)
            return
        finally:
            self._making.remove(begun)
            self._makers.give_back(make)
        for one, sound in zip(batch, sounds, strict=True):
            if not one.sound.done():
                one.sound.set_result(sound)
