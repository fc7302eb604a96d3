"""Where training runs, and in which arithmetic."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager

import torch
from torch.nn import functional as F

from soundgan.settings import Settings


def select_device(settings: Settings) -> torch.device:
    """CUDA if there is one, else Apple's MPS, else the CPU; `ngpu` 0 keeps to the CPU."""
    if settings.run.ngpu and torch.cuda.is_available():
        return torch.device("cuda")
    if settings.run.ngpu and torch.backends.mps.is_available():
        return torch.device("mps")
    return torch.device("cpu")


def select_precision(settings: Settings, device: torch.device) -> torch.dtype:
    """bfloat16 where it is asked for, or where a short trial of a convolution runs faster with it; else float32."""
    if settings.run.precision != "auto":
        return torch.bfloat16 if settings.run.precision == "bfloat16" else torch.float32
    if device.type == "cuda":
        return torch.bfloat16 if torch.cuda.is_bf16_supported() else torch.float32
    if device.type == "mps":
        return torch.float32
    return min((torch.float32, torch.bfloat16), key=_benchmark_conv)


def autocast(device: torch.device, precision: torch.dtype) -> AbstractContextManager[object]:
    """The context in which the networks are called: autocast to bfloat16, or nothing."""
    if precision == torch.float32:
        return contextlib.nullcontext()
    return torch.autocast(device.type, dtype=precision)


@contextlib.contextmanager
def torch_threads_and_determinism(settings: Settings) -> Iterator[None]:
    """Set PyTorch's threads, and flush denormal numbers to zero, which cost a processor a hundred times the usual.

    A GPU is held to convolutions that have the same bits every time. All belongs to the whole process, and is as before
    afterwards.
    """
    threads, reproducible = torch.get_num_threads(), torch.backends.cudnn.deterministic
    torch.set_num_threads(settings.run.threads or threads)
    torch.set_flush_denormal(True)
    torch.backends.cudnn.deterministic = True
    try:
        yield
    finally:
        torch.backends.cudnn.deterministic = reproducible
        torch.set_flush_denormal(False)
        torch.set_num_threads(threads)


def _benchmark_conv(precision: torch.dtype) -> float:
    """Least time (s) of a convolution of the networks' usual size, forward and backward, on one thread of the CPU.

    Whatever else the machine does takes time as well, and more from several threads that wait for one another.
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
