"""The number of CPU cores that this process may use."""

from __future__ import annotations

import os
import sys


def cores() -> int:
    """Processor cores that this process may use: a container, or `taskset`, may leave it a few of the machine's."""
    if sys.platform == "linux":
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
