"""The CPU cores that this process may use, and parallel work on them with bounded memory."""

from __future__ import annotations

import os
import sys
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

Item = TypeVar("Item")
Result = TypeVar("Result")


def cores() -> int:
    """Return the number of CPU cores that this process may use; a container or `taskset` may limit it."""
    return len(os.sched_getaffinity(0)) if sys.platform == "linux" else os.cpu_count() or 1


def busy_cores() -> int:
    """Return the number of cores in use, by the machine's load average of the last minute; 0 where it is unknown."""
    return round(os.getloadavg()[0]) if hasattr(os, "getloadavg") else 0


def bounded_parallel_map(work: Callable[[Item], Result], items: Iterable[Item]) -> Iterator[Result]:
    """Map on a thread per core, in order; only a few results are computed ahead of the one that is consumed."""
    threads = min(cores(), 16)
    pending: deque[Future[Result]] = deque()
    pool = ThreadPoolExecutor(threads)
    try:
        for item in items:
            pending.append(pool.submit(work, item))
            if len(pending) > 8 * threads:
                yield pending.popleft().result()
        while pending:
            yield pending.popleft().result()
    finally:
        pool.shutdown(cancel_futures=True)
