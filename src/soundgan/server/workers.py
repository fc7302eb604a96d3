"""Processes that make sounds, one a core: threads of one process would wait for each other in the interpreter."""

from __future__ import annotations

import asyncio
import gc
import logging
import signal
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from multiprocessing import get_context
from multiprocessing.connection import Connection
from multiprocessing.context import SpawnProcess
from pathlib import Path
from threading import Lock
from typing import Any

from soundgan.errors import ModelError
from soundgan.model import GenerationRequest, SoundGAN
from soundgan.sound import Sound

LOG = logging.getLogger("soundgan.server")
LINGERING = 2.0  # s in which a process that has nothing to do is to end by itself
Make = Callable[[str, Sequence[GenerationRequest]], list[Sound]]


class WorkerPool:
    """What makes the sounds of several models, each a batch at a time; a model that is slow leaves the others theirs.

    Args:
        makers: each is called with the name of a model and its orders, in a thread.
    """

    def __init__(self, makers: Sequence[Make]) -> None:
        self._count, self._idle = len(makers), deque(makers)
        self._free = asyncio.Semaphore(len(makers))  # whoever waits longest is next

    def __len__(self) -> int:
        return self._count

    async def take(self) -> Make:
        """One that makes nothing, as soon as there is one."""
        await self._free.acquire()
        return self._idle.popleft()

    def give_back(self, make: Make) -> None:
        """Let others have it."""
        self._idle.append(make)
        self._free.release()


class Worker:
    """A process that plays some models on one thread, and that is started anew when it dies.

    Args:
        folders: of the models.
    """

    def __init__(self, folders: Sequence[Path]) -> None:
        self._folders = tuple(folders)
        self._lock = Lock()
        self._closing = False
        self._process: SpawnProcess | None = None
        self._start()

    def make(self, model: str, orders: Sequence[GenerationRequest]) -> list[Sound]:
        """The sounds of some orders to a model, by its name. Others who ask meanwhile wait for their turn.

        Raises:
            ModelError: as `SoundGAN.generate_batch`.
            RuntimeError: another error, in its words; or the process died over it, and so did the next one.
            OSError: no process could be started; the next call tries again.
        """
        with self._lock:
            if self._process is None:
                self._start()
            try:
                answer = self._asked(model, orders)
            except (EOFError, OSError):
                self._reap()
                if self._closing:
                    raise RuntimeError("the server is stopping") from None
                self._start()
                try:
                    answer = self._asked(model, orders)
                except (EOFError, OSError) as error:
                    raise RuntimeError(f"two processes died over {len(orders)} sounds of {model}") from error
        if isinstance(answer, Exception):
            raise answer
        return answer

    def kill(self) -> None:
        """End the process at once and for good; who waits for its sounds gets a RuntimeError."""
        self._closing = True
        if (process := self._process) is not None:
            process.kill()

    def close(self) -> None:
        """End the process for good, after what it makes now."""
        self._closing = True
        with self._lock:
            if self._process is not None:
                self._connection.close()
                self._process.join(LINGERING)
                self._process.kill()
                self._process.join()

    def _asked(self, model: str, orders: Sequence[GenerationRequest]) -> Any:
        self._connection.send((model, orders))
        return self._connection.recv()

    def _start(self) -> None:
        context = get_context("spawn")  # a fork would copy locks that other threads hold
        ours, theirs = context.Pipe()
        process = context.Process(target=_work, args=(theirs, self._folders), daemon=True)
        try:
            process.start()
        finally:
            theirs.close()  # otherwise nobody would learn that there is no process at the other end
        self._connection, self._process = ours, process
        if self._closing:  # `kill` may have seen the one before
            process.kill()

    def _reap(self) -> None:
        """Have no process, as the one that there was does not answer."""
        process, self._process = self._process, None
        self._connection.close()
        if process is not None:
            process.kill()
            process.join()
            if not self._closing:
                LOG.error("a process that makes sounds died (exit code %s); another starts", process.exitcode)


def _work(connection: Connection, folders: Sequence[Path]) -> None:
    """Make sounds until the other end is closed, as it also is when the server was killed."""
    for number in (signal.SIGINT, signal.SIGTERM):  # sent to all processes of a group; the server answers first
        signal.signal(number, signal.SIG_IGN)
    train_state = [SoundGAN.load(folder, threads=1) for folder in folders]
    models = {player.config.name: player for player in train_state}
    with gc_frozen():
        while True:
            try:
                model, orders = connection.recv()
            except EOFError:
                return
            try:
                connection.send(models[model].generate_batch(orders))
            except ModelError as error:
                connection.send(error)
            except Exception as error:  # of any class, which need not be one that can be sent
                connection.send(RuntimeError(f"{type(error).__name__}: {error}"))


@contextmanager
def gc_frozen() -> Iterator[None]:
    """Within it, the garbage collector passes over what was there at its start.

    A server keeps all that it has loaded; to look through it again and again for what could go held all answers up for
    60 ms each time.
    """
    gc.collect()
    gc.freeze()
    try:
        yield
    finally:
        gc.unfreeze()
