"""Random numbers of the training, drawn from (seed, samples_seen), so that a checkpoint needs no random state."""

from __future__ import annotations

from functools import lru_cache, partial

import numpy as np
import torch
from torch import Tensor

from soundgan.training.runtime.distributed import SINGLE_PROCESS, Distributed


class StepRNG:
    """Random numbers of a step. Every process draws those of the whole batch and keeps its shard's.

    So results do not depend on the number of processes. Numbers are drawn on the device, as drawing those of a step on
    a CPU takes longer than the rest of the step on a GPU; those for MPS are drawn on the CPU.
    """

    def __init__(
        self, seed: int, samples_seen: int, device: torch.device, distributed: Distributed = SINGLE_PROCESS
    ) -> None:
        self.generator = torch.Generator(device if device.type == "cuda" else "cpu")
        self.device, self._distributed, self._seed = device, distributed, seed
        self.seed_at(samples_seen)

    def seed_at(self, samples_seen: int) -> None:
        """Restart with the numbers of the step after `samples_seen` samples."""
        state = np.random.SeedSequence((self._seed, samples_seen)).generate_state(2, np.uint32)
        self.generator.manual_seed(int(state[0]) << 31 | int(state[1]) >> 1)
        self.samples_seen = samples_seen

    def normal(self, rows: int, *shape: int) -> Tensor:
        """Draw standard normal numbers for the rows of this process: (rows, *shape)."""
        size = (rows * self._distributed.size, *shape)
        noise = self._shard(torch.randn(*size, generator=self.generator, device=self.generator.device))
        return noise.contiguous(memory_format=torch.channels_last) if noise.dim() == 4 else noise

    def uniform(self, rows: int, *shape: int) -> Tensor:
        """Draw numbers from 0 to 1 for the rows of this process: (rows, *shape)."""
        size = (rows * self._distributed.size, *shape)
        return self._shard(torch.rand(*size, generator=self.generator, device=self.generator.device))

    def random_crops(self, texture: Tensor, frames: int, rows: int) -> Tensor:
        """Crop a noise texture (bands, …) for the rows of this process: (rows, 1, bands, frames)."""
        crops = texture.unfold(1, frames, 1).movedim(1, 0)
        size = (rows * self._distributed.size,)
        starts = torch.randint(len(crops), size, generator=self.generator, device=self.generator.device)
        return crops[self._shard(starts)][:, None]

    def _shard(self, values: Tensor) -> Tensor:
        return self._distributed.shard(values).to(self.device, non_blocking=True)


class PairedSampler:
    """Batches of recordings in pairs of the same label.

    In every epoch each recording is in one pair; if a label has an odd number, one of its recordings is in two, and a
    single one is paired with itself. Every epoch has an order of its own, and a batch may span two epochs.

    Args:
        labels: of all recordings.
    """

    def __init__(self, seed: int, labels: np.ndarray) -> None:
        self._length = samples_per_epoch(labels) // 2  # pairs
        self._epoch = lru_cache(2)(partial(_epoch_pairs, seed, labels))  # a batch may end one and begin another

    def __call__(self, samples_seen: int, batch_size: int) -> Tensor:
        """Return the indices of the batch after `samples_seen` samples, rows 2k and 2k + 1 a pair: (batch_size,)."""
        epochs, positions = np.divmod(np.arange(samples_seen // 2, (samples_seen + batch_size) // 2), self._length)
        pairs = [self._epoch(epoch)[position] for epoch, position in zip(epochs.tolist(), positions, strict=True)]
        return torch.from_numpy(np.concatenate(pairs))


def samples_per_epoch(labels: np.ndarray) -> int:
    """Return the samples in an epoch of `PairedSampler`: labels with an odd number of recordings count one more."""
    return int((2 * ((np.bincount(labels) + 1) // 2)).sum())


def _epoch_pairs(seed: int, labels: np.ndarray, epoch: int) -> np.ndarray:
    """Return the pairs of an epoch: (pairs, 2)."""
    rng = np.random.default_rng((seed, epoch))
    order = rng.permutation(len(labels))
    order = order[np.argsort(labels[order], kind="stable")]
    groups = np.split(order, np.flatnonzero(np.diff(labels[order])) + 1)
    even = [np.append(group, group[:1]) if len(group) % 2 else group for group in groups]
    return rng.permutation(np.concatenate(even).reshape(-1, 2))
