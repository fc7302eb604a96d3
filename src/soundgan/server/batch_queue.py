"""Queue that gathers the sounds of all requests into batches: a busy server generates more sounds per second."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from soundgan.model import GenerationRequest, SoundGAN
from soundgan.server.workers import Generate, WorkerPool
from soundgan.sound import Sound


class QueueUnavailable(Exception):
    """The queue is full, or the server is stopping."""


@dataclass(eq=False)
class _PendingSound:
    """A requested sound, and whether it is in a batch already."""

    request: GenerationRequest
    sound: asyncio.Future[Sound]
    started: bool = False


def _fail(sounds: Iterable[_PendingSound], error: Exception) -> None:
    for pending in sounds:
        if not pending.sound.done():
            pending.sound.set_exception(error)


class BatchQueue:
    """Queue of one model. A sound does not depend on its batch, see `SoundGAN.generate_batch`.

    Args:
        max_queue: sounds that may wait; beyond, `run` raises `QueueUnavailable` at once.
        max_batch: sounds in a batch.
        workers: shared with other models; by default, the model itself.
        on_batch: called with the size of every generated batch.
    """

    def __init__(
        self,
        model: SoundGAN,
        *,
        max_queue: int,
        max_batch: int,
        workers: WorkerPool | None = None,
        on_batch: Callable[[int], None] = lambda size: None,
    ) -> None:
        self.model = model
        self._workers = workers or WorkerPool([lambda name, requests: self.model.generate_batch(requests)])
        self._max_queue, self._max_batch, self._on_batch = max_queue, max_batch, on_batch
        self._pending: deque[_PendingSound] = deque()
        self._changed = asyncio.Event()
        self.closed = False  # no more requests are accepted
        self._running: list[tuple[int, float]] = []  # size and start of each current batch

    @property
    def running(self) -> list[tuple[int, float]]:
        """Size and age, in s, of every batch that is being generated."""
        now = asyncio.get_running_loop().time()
        return [(size, now - start) for size, start in self._running]

    @property
    def waiting(self) -> int:
        """Sounds in the queue whose client still waits."""
        return sum(not pending.sound.done() for pending in self._pending)

    async def run(
        self, requests: Sequence[GenerationRequest], on_dropped: Callable[[int], None] = lambda count: None
    ) -> list[Sound]:
        """Generate sounds in the next batches; cancellation removes those that still wait.

        Args:
            on_dropped: called with the number of sounds that will never be generated, if there are any.

        Raises:
            ModelError: the model cannot generate one of them.
            QueueUnavailable: the queue is full, or the server is stopping.
        """
        for request in requests:
            self.model.check(request)
        if self.closed or self.waiting + len(requests) > self._max_queue:
            on_dropped(len(requests))
            raise QueueUnavailable
        loop = asyncio.get_running_loop()
        added = [_PendingSound(request, loop.create_future()) for request in requests]
        self._pending.extend(added)
        self._changed.set()
        try:
            return list(await asyncio.gather(*(pending.sound for pending in added)))
        finally:
            for pending in added:
                pending.sound.cancel()
            if dropped := sum(not pending.started for pending in added):
                on_dropped(dropped)

    async def consume(self) -> None:
        """Generate what is queued, until `close` was called and the queue is empty."""
        try:
            async with asyncio.TaskGroup() as tasks:
                while not (self.closed and not self._pending):
                    await self._changed.wait()
                    worker = await self._workers.acquire()  # before the batch: queued sounds can still be cancelled
                    if batch := self._next_batch():
                        tasks.create_task(self._generate(batch, worker))
                    else:
                        self._workers.release(worker)
        finally:  # on cancellation, no client may wait forever
            self.closed = True
            _fail(self._pending, QueueUnavailable())

    def close(self) -> None:
        """Accept no more requests; queued ones are still generated."""
        self.closed = True
        self._changed.set()

    def _next_batch(self) -> list[_PendingSound]:
        """Take one worker's share of the queue, so that the other workers get theirs."""
        share = min(-(-len(self._pending) // len(self._workers)), self._max_batch)
        batch = []
        while self._pending and len(batch) < share:
            pending = self._pending.popleft()
            if not pending.sound.done():  # otherwise its client has left
                pending.started = True
                batch.append(pending)
        if not self._pending and not self.closed:
            self._changed.clear()
        return batch

    async def _generate(self, batch: list[_PendingSound], worker: Generate) -> None:
        entry = (len(batch), asyncio.get_running_loop().time())
        self._running.append(entry)
        try:
            requests = [pending.request for pending in batch]
            sounds = await self._workers.run(worker, self.model.config.name, requests)
            self._on_batch(len(sounds))
        except asyncio.CancelledError:
            _fail(batch, QueueUnavailable())
            raise
        except Exception as error:  # of any kind: later batches must go on
            _fail(batch, error)
            return
        finally:
            self._running.remove(entry)
        for pending, sound in zip(batch, sounds, strict=True):
            if not pending.sound.done():
                pending.sound.set_result(sound)
