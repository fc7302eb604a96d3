"""Worker processes, one per core: threads of one process would wait for each other in the interpreter."""

from __future__ import annotations

import asyncio
import gc
import logging
import signal
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from multiprocessing import get_context
from multiprocessing.connection import Connection
from multiprocessing.context import SpawnProcess
from pathlib import Path
from threading import Lock

from soundgan.errors import ModelError
from soundgan.model import GenerationRequest, SoundGAN
from soundgan.sound import Sound

LOG = logging.getLogger("soundgan.server")
SHUTDOWN_GRACE = 2.0  # s until a process that should end by itself is killed
Generate = Callable[[str, Sequence[GenerationRequest]], list[Sound]]


class WorkerPool:
    """Workers shared by the queues of all models, each with one batch at a time.

    Args:
        workers: each is called in a thread with the name of a model and its requests.
    """

    def __init__(self, workers: Sequence[Generate]) -> None:
        self._size, self._idle = len(workers), deque(workers)
        self._available = asyncio.Semaphore(len(workers))  # first come, first served
        self._threads = ThreadPoolExecutor(len(workers))

    def __len__(self) -> int:
        return self._size

    async def acquire(self) -> Generate:
        """Reserve a worker, as soon as one is idle."""
        await self._available.acquire()
        return self._idle.popleft()

    def release(self, worker: Generate) -> None:
        """Return a reserved worker."""
        self._idle.append(worker)
        self._available.release()

    async def run(self, worker: Generate, model: str, requests: Sequence[GenerationRequest]) -> list[Sound]:
        """Generate sounds on a reserved worker, and release it."""
        try:
            return await asyncio.get_running_loop().run_in_executor(self._threads, worker, model, requests)
        finally:
            self.release(worker)


class Worker:
    """A process that generates sounds on one thread, and that is restarted when it dies.

    `close` ends it after its current batch; where that may take too long, call `kill` first.

    Args:
        folders: of the models.
    """

    def __init__(self, folders: Sequence[Path]) -> None:
        self._folders = tuple(folders)
        self._lock = Lock()
        self._closing = False
        self._process: SpawnProcess | None = None
        self._start()

    def generate(self, model: str, requests: Sequence[GenerationRequest]) -> list[Sound]:
        """Generate sounds of the model of a name. Concurrent callers wait for their turn.

        Raises:
            ModelError: as `SoundGAN.generate_batch`.
            RuntimeError: another error, with its message; or the process died during the request, and so did the next.
            OSError: no process could be started; the next call tries again.
        """
        with self._lock:
            for _ in range(2):
                if self._process is None:
                    self._start()
                try:
                    self._connection.send((model, requests))
                    reply = self._connection.recv()
                    break
                except (EOFError, OSError):
                    self._reap()
                if self._closing:
                    raise RuntimeError("the server is stopping")
            else:
                raise RuntimeError(f"two processes died over {len(requests)} sounds of {model}")
        if isinstance(reply, Exception):
            raise reply
        return reply

    def kill(self) -> None:
        """End the process at once and for good; a pending `generate` raises RuntimeError."""
        self._closing = True
        if (process := self._process) is not None:
            process.kill()

    def close(self) -> None:
        """End the process for good, after its current batch."""
        self._closing = True
        with self._lock:
            if self._process is not None:
                self._connection.close()
                self._process.join(SHUTDOWN_GRACE)
                self._process.kill()
                self._process.join()

    def _start(self) -> None:
        context = get_context("spawn")  # a fork would copy locks that other threads hold
        ours, theirs = context.Pipe()
        process = context.Process(target=_work, args=(theirs, self._folders), daemon=True)
        try:
            process.start()
        finally:
            theirs.close()  # otherwise the pipe would outlive the process, and `recv` never end
        self._connection, self._process = ours, process
        if self._closing:  # `kill` may have seen the previous process
            process.kill()

    def _reap(self) -> None:
        """Remove a process that does not reply."""
        process, self._process = self._process, None
        self._connection.close()
        if process is not None:
            process.kill()
            process.join()
            if not self._closing:
                LOG.error("a worker process died (exit code %s); it is restarted", process.exitcode)


def _work(connection: Connection, folders: Sequence[Path]) -> None:
    """Generate sounds until the server closes the pipe, or dies."""
    for number in (signal.SIGINT, signal.SIGTERM):  # sent to the whole process group; the server ends its workers
        signal.signal(number, signal.SIG_IGN)
    models = {model.config.name: model for model in (SoundGAN.load(folder, threads=1) for folder in folders)}
    with gc_frozen():
        while True:
            try:
                name, requests = connection.recv()
            except EOFError:
                return
            try:
                connection.send(models[name].generate_batch(requests))
            except ModelError as error:
                connection.send(error)
            except Exception as error:  # its class may not be picklable
                connection.send(RuntimeError(f"{type(error).__name__}: {error}"))


@contextmanager
def gc_frozen() -> Iterator[None]:
    """Exclude all present objects from garbage collection: scanning them delayed every response by 60 ms each time."""
    gc.collect()
    gc.freeze()
    try:
        yield
    finally:
        gc.unfreeze()
