"""Device, precision and processes of a training."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass

import torch

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
