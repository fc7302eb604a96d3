"""Replay of a captured CUDA graph, without the launch overhead of its kernels."""

from __future__ import annotations

from collections.abc import Callable
from typing import Generic, TypeVar

import torch

WARMUP_CALLS = 3  # eager calls before the capture: they allocate optimizer state and select kernels

Returned = TypeVar("Returned")


class CudaGraphCallable(Generic[Returned]):
    """Calls a function; after a few calls its kernels are captured as a CUDA graph, which all further calls replay.

    Launching the hundreds of small kernels of a step takes longer than running them. The function must be the same at
    every call, take no arguments, never wait for the device, and keep all that it reads, writes and returns at the same
    addresses. It may draw random numbers from `generator` only, which may be seeded before every call. It is passed at
    every call, to avoid a reference cycle with its owner.
    """

    def __init__(self, generator: torch.Generator) -> None:
        self._generator = generator
        self._stream, self._graph, self._calls = torch.cuda.Stream(), torch.cuda.CUDAGraph(), 0

    def __call__(self, function: Callable[[], Returned]) -> Returned:
        self._calls += 1
        if self._calls <= WARMUP_CALLS:
            self._stream.wait_stream(torch.cuda.current_stream())
            with torch.cuda.stream(self._stream):
                result = function()
            torch.cuda.current_stream().wait_stream(self._stream)
            return result
        if self._calls == WARMUP_CALLS + 1:
            self._graph.register_generator_state(self._generator)
            # thread_local: other threads of the application may use the device during the capture.
            with torch.cuda.graph(self._graph, stream=self._stream, capture_error_mode="thread_local"):
                self._result = function()
        self._graph.replay()
        return self._result
