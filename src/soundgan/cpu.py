"""The number of CPU cores that this process may use."""

from __future__ import annotations

import os
import sys


def cores() -> int:
    """Return the number of CPU cores that this process may use; a container or `taskset` may limit it."""
    if sys.platform == "linux":
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
