"""Several processes that train one model: each takes its share of every batch, and all keep the same weights.

`torchrun` and `accelerate launch` start the same command once a processor, and tell each process its place in the
environment: RANK, LOCAL_RANK, WORLD_SIZE, MASTER_ADDR and MASTER_PORT. The gradients of all shares are averaged before
every step of an optimizer (Goyal et al., "Accurate, Large Minibatch SGD", 2017), so that several processes do what one
would do with the whole batch, but for the rounding of sums.
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
from soundgan.settings import Settings
from soundgan.training.runtime.device import select_device

RENDEZVOUS_TIMEOUT = timedelta(minutes=5)  # for all to come, and later for the slowest to finish its share of a step
DATA_TIMEOUT = timedelta(days=1)  # for the first to read a large folder of sounds, while the others wait


@dataclass(frozen=True)
class Distributed:
    """The processes of one training, as one of them sees it; a world of one does nothing, and costs nothing.

    Attributes:
        rank: number of this process, from 0; the first alone writes and reports.
        size: number of processes.
        talk: the connection for all that is not gradients. It is on the CPU, and hears at once when a process ends.
    """

    rank: int = 0
    size: int = 1
    cpu_group: dist.ProcessGroup | None = None

    @property
    def is_rank_zero(self) -> bool:
        return self.rank == 0

    def shard(self, batch: Tensor) -> Tensor:
        """The rows of a whole batch that are this process's: (size · n, …) → (n, …)."""
        return batch.chunk(self.size)[self.rank]

    def average_gradients(self, network: nn.Module) -> None:
        """Replace every gradient by its mean over all processes, in one message."""
        if self.size == 1:
            return
        gradients = [parameter.grad for parameter in network.parameters() if parameter.grad is not None]
        flat = torch.cat([gradient.reshape(-1) for gradient in gradients])
        self._sum(flat, None)
        parts = flat.div_(self.size).split([gradient.numel() for gradient in gradients])
        for gradient, part in zip(gradients, parts, strict=True):
            gradient.copy_(part.view(gradient.shape))

    def gather(self, share: Tensor) -> Tensor:
        """The rows of all processes, as each has its own: (n, …) → (size · n, …)."""
        if self.size == 1:
            return share
        whole = torch.zeros(self.size, *share.shape, dtype=share.dtype, device=share.device)
        whole[self.rank] = share
        return self._sum(whole, None).flatten(0, 1)  # sums with zeros are exact

    def mean(self, values: dict[str, float]) -> dict[str, float]:
        """The mean over all processes of every value."""
        if self.size == 1:
            return values
        sums = self._sum(torch.tensor(list(values.values()), dtype=torch.float64), self.cpu_group)
        return dict(zip(values, (sums / self.size).tolist(), strict=True))

    def average(self, values: Tensor) -> Tensor:
        """The mean over all processes, on the device of the values."""
        return values if self.size == 1 else (self._sum(values.double(), None) / self.size).to(values)

    def any_rank(self, wish: bool) -> bool:
        """Whether any process wishes it: all get the same answer, so that all do the same next."""
        return wish if self.size == 1 else self._sum(torch.tensor(int(wish)), self.cpu_group).item() > 0

    def wait(self) -> None:
        """Go on when every process has come here."""
        self.any_rank(False)

    def all_ranks_equal(self, text: str) -> bool:
        """Whether all processes say the same."""
        if self.size == 1:
            return True
        # Where not all digests are equal, one differs from their mean. They are short, so that no sum overflows.
        digest = int.from_bytes(hashlib.blake2b(text.encode(), digest_size=5).digest(), "big")
        total = self._sum(torch.tensor(digest), self.cpu_group).item()
        return not self.any_rank(total != digest * self.size)

    @contextmanager
    def rank_zero_first(self) -> Iterator[None]:
        """The first process goes through the block alone, and then the others do."""
        if not self.is_rank_zero:
            self.wait()
        yield
        if self.is_rank_zero:
            self.wait()

    def _sum(self, values: Tensor, group: dist.ProcessGroup | None) -> Tensor:
        try:
            dist.all_reduce(values, group=group)
        except RuntimeError as error:
            raise TrainingError(
                f"process {self.rank} of {self.size} ends because another one did, whose own message says why; "
                "the last checkpoint is kept, and the same command goes on from there"
            ) from error
        return values


SINGLE_PROCESS = Distributed()


def rank() -> int:
    """Number of this process among those that were started together; 0 if it was started alone."""
    return int(os.environ["RANK"]) if _size() > 1 else 0


@contextmanager
def join(settings: Settings) -> Iterator[Distributed]:
    """Meet the processes that were started with this one, until the end of the block.

    When this process ends in it, by an error or in any other way, the others end with a `TrainingError`.

    Raises:
        TrainingError: they cannot meet, or this machine has fewer GPUs than processes.
    """
    size = _size()
    if size == 1:
        yield SINGLE_PROCESS
        return
    device, local_rank = select_device(settings), int(os.environ["LOCAL_RANK"])
    if device.type == "mps":
        raise TrainingError("several processes train on CUDA or on CPUs: start one, or set ngpu to 0")
    if device.type == "cuda":
        if local_rank >= (gpus := torch.cuda.device_count()):
            raise TrainingError(f"process {local_rank} of this machine has no GPU, there are {gpus}: start {gpus}")
        torch.cuda.set_device(local_rank)
    try:
        dist.init_process_group("nccl" if device.type == "cuda" else "gloo", timeout=RENDEZVOUS_TIMEOUT)
        cpu_group = cast("dist.ProcessGroup", dist.new_group(backend="gloo", timeout=DATA_TIMEOUT))
    except (RuntimeError, ValueError) as error:
        where = f"{os.environ['MASTER_ADDR']}:{os.environ['MASTER_PORT']}"
        raise TrainingError(f"cannot meet the other processes at {where}: {error}") from error
    try:
        yield Distributed(rank(), size, cpu_group)
    except BaseException:
        # Connections between GPUs stay: they may wait for one another, which only the end of the process ends. Those
        # between CPUs would abort the process if they were left to its end.
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
