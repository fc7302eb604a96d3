"""Device, precision and processes of a training, and the state of PyTorch while it runs."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass

import torch
from torch.nn import functional as F

from soundgan.settings import RunSettings
from soundgan.training.runtime.distributed import SINGLE_PROCESS, Distributed


@dataclass(frozen=True)
class Compute:
    """Device, precision and processes of a training."""

    device: torch.device
    precision: torch.dtype = torch.float32
    distributed: Distributed = SINGLE_PROCESS

    @property
    def captures_graphs(self) -> bool:
        """Steps are captured as a CUDA graph: by a single process only, as collectives are not captured."""
        return self.device.type == "cuda" and self.distributed.size == 1

    def autocast(self) -> AbstractContextManager[object]:
        """Return the context for calling networks: autocast to bfloat16, or nothing."""
        if self.precision == torch.float32:
            return nullcontext()
        return torch.autocast(self.device.type, dtype=self.precision)

    def describe(self, threads: int) -> str:
        """Return the machine in words, such as `2 CPU threads, float32`."""
        kind = f"{threads} CPU thread{'s' * (threads > 1)}" if self.device.type == "cpu" else self.device.type
        processes = f"{self.distributed.size} × " if self.distributed.size > 1 else ""
        return f"{processes}{kind}, {str(self.precision).removeprefix('torch.')}"


def select_device(settings: RunSettings) -> torch.device:
    """Return CUDA if available, else MPS, else the CPU; `ngpu` = 0 selects the CPU."""
    if settings.ngpu and torch.cuda.is_available():
        return torch.device("cuda")
    if settings.ngpu and torch.backends.mps.is_available():
        return torch.device("mps")
    return torch.device("cpu")


def select_precision(settings: RunSettings, device: torch.device) -> torch.dtype:
    """Return the precision that is set; for `auto`, the faster one in a short benchmark of a convolution."""
    if settings.precision != "auto":
        return torch.bfloat16 if settings.precision == "bfloat16" else torch.float32
    if device.type == "cuda":
        return torch.bfloat16 if torch.cuda.is_bf16_supported() else torch.float32
    if device.type == "mps":
        return torch.float32
    return min((torch.float32, torch.bfloat16), key=_benchmark_conv)


def select_threads(
    settings: RunSettings, device: torch.device, previous: int | None, busy_cores: int
) -> tuple[int, str]:
    """Return the number of CPU threads, and the reason for it where it needs one.

    Threads wait for each other in every operation, so one that shares its core with another program slows down all.

    Args:
        previous: threads of the checkpoint that is resumed: another number would round sums differently.
        busy_cores: cores in use by other programs.
    """
    cores, default = os.cpu_count() or 1, torch.get_num_threads()
    if settings.threads or device.type != "cpu":
        return settings.threads or default, ""
    busy = min(busy_cores, cores)
    free = max(1, min(default, cores - busy))
    if previous is not None:
        threads = min(previous, default)
        return threads, "as before; the setting `threads` changes it" if threads != free else ""
    reason = f"{busy} of {cores} cores {'is' if busy == 1 else 'are'} in use by other programs"
    return free, reason if free < default else ""


@contextmanager
def torch_threads_and_determinism(settings: RunSettings) -> Iterator[None]:
    """Set PyTorch's threads, flush denormal numbers, which are slow on a CPU, and make cuDNN deterministic.

    These are global; they are restored at the end of the block.
    """
    threads, deterministic = torch.get_num_threads(), torch.backends.cudnn.deterministic
    torch.set_num_threads(settings.threads or threads)
    torch.set_flush_denormal(True)
    torch.backends.cudnn.deterministic = True
    try:
        yield
    finally:
        torch.backends.cudnn.deterministic = deterministic
        torch.set_flush_denormal(False)
        torch.set_num_threads(threads)


def _benchmark_conv(precision: torch.dtype) -> float:
    """Return the minimum time (s) of a convolution of typical size, forward and backward, on one CPU thread.

    One thread, as several that wait for one another are slowed down more by other load on the machine.
    """
    x = torch.randn(16, 64, 32, 16).to(precision, memory_format=torch.channels_last).requires_grad_()
    weight = torch.randn(64, 64, 3, 3).to(precision, memory_format=torch.channels_last).requires_grad_()
    times, threads = [], torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        for _ in range(15):
            start = time.perf_counter()
            F.conv2d(x, weight, padding=1).sum().backward()
            times.append(time.perf_counter() - start)
    finally:
        torch.set_num_threads(threads)
    return min(times)
