"""Kernels of a GPU, recorded once and then replayed: what is many small ones is as fast as if it were one."""

from __future__ import annotations

from collections.abc import Callable
from typing import Generic, TypeVar

import torch

FIRST = 3  # calls that are made as usual: they make what is made once, and choose their kernels

Answer = TypeVar("Answer")


class CudaGraphCallable(Generic[Answer]):
    """Calls a function; its kernels are recorded after a few calls, and from then on replayed by every call.

    Launching the hundreds of small kernels of a step takes longer than their work (CUDA graphs). The function is always
    the same one; it takes nothing, never waits for the device, and all that it reads, writes and answers stays where it
    is in memory. It draws its chance from `generator` alone, which may be seeded before every call. It is not kept:
    whoever owns this may own the function, too.
    """

    def __init__(self, generator: torch.Generator) -> None:
        self._generator = generator
        self._stream, self._graph, self._calls = torch.cuda.Stream(), torch.cuda.CUDAGraph(), 0

    def __call__(self, function: Callable[[], Answer]) -> Answer:
        self._calls += 1
        if self._calls <= FIRST:
            self._stream.wait_stream(torch.cuda.current_stream())
            with torch.cuda.stream(self._stream):
                answer = function()
            torch.cuda.current_stream().wait_stream(self._stream)
            return answer
        if self._calls == FIRST + 1:
            self._graph.register_generator_state(self._generator)
            # Whoever trains may have other threads, and they may talk to the device meanwhile.
            with torch.cuda.graph(self._graph, stream=self._stream, capture_error_mode="thread_local"):
                self._answer = function()
        self._graph.replay()
        return self._answer
