"""Device and precision of a training, and the state of PyTorch while it runs."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator

import torch
from torch.nn import functional as F

from soundgan.settings import RunSettings


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


@contextlib.contextmanager
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
