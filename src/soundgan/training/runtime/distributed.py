"""Data-parallel training: each process takes a shard of every batch, and all keep the same weights.

`torchrun` and `accelerate launch` start the same command once per device, with RANK, LOCAL_RANK, WORLD_SIZE,
MASTER_ADDR and MASTER_PORT in the environment. Gradients are averaged over all processes before every optimizer step
(Goyal et al., "Accurate, Large Minibatch SGD", 2017), so that several processes compute what one does, but for the
rounding of sums.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import cast

import torch
from torch import Tensor, nn
from torch import distributed as dist

from soundgan.errors import TrainingError

RENDEZVOUS_TIMEOUT = timedelta(minutes=5)  # also of a gradient average, for the slowest process
DATA_TIMEOUT = timedelta(days=1)  # for rank 0 to read a large folder of sounds


@dataclass(frozen=True)
class Distributed:
    """Rank of this process, and collectives; for a single process they return their arguments.

    Attributes:
        rank: of this process; rank 0 alone writes and reports.
        size: number of processes.
        cpu_group: process group for all but gradients. It is on the CPU, and fails at once when a process ends.
    """

    rank: int = 0
    size: int = 1
    cpu_group: dist.ProcessGroup | None = None

    @property
    def is_rank_zero(self) -> bool:
        return self.rank == 0

    def shard(self, batch: Tensor) -> Tensor:
        """Return this process's rows of a batch. Shape: (size · n, …) → (n, …)."""
        return batch.chunk(self.size)[self.rank]

    def average_gradients(self, network: nn.Module) -> None:
        """Replace every gradient by its mean over all processes, in one all-reduce."""
        if self.size == 1:
            return
        gradients = [parameter.grad for parameter in network.parameters() if parameter.grad is not None]
        flat = torch.cat([gradient.reshape(-1) for gradient in gradients])
        self._sum(flat, None)
        parts = flat.div_(self.size).split([gradient.numel() for gradient in gradients])
        for gradient, part in zip(gradients, parts, strict=True):
            gradient.copy_(part.view(gradient.shape))

    def gather(self, rows: Tensor) -> Tensor:
        """Return the rows of all processes. Shape: (n, …) → (size · n, …)."""
        if self.size == 1:
            return rows
        gathered = torch.zeros(self.size, *rows.shape, dtype=rows.dtype, device=rows.device)
        gathered[self.rank] = rows
        return self._sum(gathered, None).flatten(0, 1)  # sums with zeros are exact

    def mean(self, values: dict[str, float]) -> dict[str, float]:
        """Return the mean of every value over all processes."""
        if self.size == 1:
            return values
        sums = self._sum(torch.tensor(list(values.values()), dtype=torch.float64), self.cpu_group)
        return dict(zip(values, (sums / self.size).tolist(), strict=True))

    def average(self, values: Tensor) -> Tensor:
        """Return the mean over all processes, on the device of the values."""
        return values if self.size == 1 else (self._sum(values.double(), None) / self.size).to(values)

    def any_rank(self, flag: bool) -> bool:
        """Return True on all processes if `flag` is set on any."""
        return flag if self.size == 1 else self._sum(torch.tensor(int(flag)), self.cpu_group).item() > 0

    def all_ranks_equal(self, text: str) -> bool:
        """Return True if all processes pass the same text."""
        if self.size == 1:
            return True
        # Unless all digests are equal, one differs from their mean. They are short, so that sums do not overflow.
        digest = int.from_bytes(hashlib.blake2b(text.encode(), digest_size=5).digest(), "big")
        total = self._sum(torch.tensor(digest), self.cpu_group).item()
        return not self.any_rank(total != digest * self.size)

    @contextmanager
    def rank_zero_first(self) -> Iterator[None]:
        """Run the block on rank 0 first, and then on the others."""
        if not self.is_rank_zero:
            self.any_rank(False)  # waits for all
        yield
        if self.is_rank_zero:
            self.any_rank(False)

    def _sum(self, values: Tensor, group: dist.ProcessGroup | None) -> Tensor:
        try:
            dist.all_reduce(values, group=group)
        except RuntimeError as error:
            raise TrainingError(
                f"process {self.rank} of {self.size} stops because another one failed, see its message; "
                "the last checkpoint is kept, and the same command resumes it"
            ) from error
        return values


SINGLE_PROCESS = Distributed()


def rank() -> int:
    """Return the rank of this process; 0 if it is a single one."""
    return int(os.environ["RANK"]) if _size() > 1 else 0


@contextmanager
def init_distributed(device: torch.device) -> Iterator[Distributed]:
    """Connect to the processes that were started with this one, until the end of the block.

    If this process fails in the block, or ends otherwise, the others raise a `TrainingError`.

    Args:
        device: the kind that this process trains on.

    Raises:
        TrainingError: they cannot connect, or this machine has fewer GPUs than processes.
    """
    size = _size()
    if size == 1:
        yield SINGLE_PROCESS
        return
    local_rank = int(os.environ["LOCAL_RANK"])
    if device.type == "mps":
        raise TrainingError("several processes cannot train on MPS: start a single one, or set ngpu to 0")
    if device.type == "cuda":
        if local_rank >= (gpus := torch.cuda.device_count()):
            raise TrainingError(f"process {local_rank} of this machine has no GPU: start {gpus} processes, one per GPU")
        torch.cuda.set_device(local_rank)
    try:
        dist.init_process_group("nccl" if device.type == "cuda" else "gloo", timeout=RENDEZVOUS_TIMEOUT)
        cpu_group = cast("dist.ProcessGroup", dist.new_group(backend="gloo", timeout=DATA_TIMEOUT))
    except (RuntimeError, ValueError) as error:
        address = f"{os.environ['MASTER_ADDR']}:{os.environ['MASTER_PORT']}"
        raise TrainingError(f"cannot connect to the other processes at {address}: {error}") from error
    try:
        yield Distributed(rank(), size, cpu_group)
    except BaseException:
        # NCCL groups stay: they may wait for one another until the process ends. Gloo groups would abort the process if
        # they were left to its end.
        dist.destroy_process_group(cpu_group if device.type == "cuda" else None)
        raise
    dist.destroy_process_group()


def _size() -> int:
    size = os.environ.get("WORLD_SIZE", "1")
    if size == "1":
        return 1
    missing = [name for name in ("RANK", "LOCAL_RANK", "MASTER_ADDR", "MASTER_PORT") if name not in os.environ]
    if missing:
        raise TrainingError(f"WORLD_SIZE is {size}, but {missing[0]} is not set: start several processes with torchrun")
    return int(size)
