"""All chance in training, drawn anew from (seed, sounds seen), so that no random state needs to be kept."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from soundgan.grain import Grain
from soundgan.training.world import ALONE, World


class Chance:
    """Random numbers of one step, drawn on the CPU so that every device sees the same.

    Every process draws those of the whole batch and keeps those of its share, so that their number changes nothing.
    """

    def __init__(self, seed: int, seen: int, device: torch.device, world: World = ALONE) -> None:
        mixed = np.random.SeedSequence((seed, seen)).generate_state(2, np.uint32)
        self.generator = torch.Generator().manual_seed(int(mixed[0]) << 31 | int(mixed[1]) >> 1)
        self.seen = seen
        self.device = device
        self.world = world

    def normal(self, rows: int, *shape: int) -> Tensor:
        """Standard normal numbers for the rows of this process: (rows, *shape)."""
        noise = self.world.shard(torch.randn(rows * self.world.size, *shape, generator=self.generator))
        if noise.dim() == 4:
            noise = noise.contiguous(memory_format=torch.channels_last)
        return noise.to(self.device, non_blocking=True)

    def uniform(self, rows: int, *shape: int) -> Tensor:
        """Numbers from 0 to 1 for the rows of this process: (rows, *shape)."""
        drawn = self.world.shard(torch.rand(rows * self.world.size, *shape, generator=self.generator))
        return drawn.to(self.device, non_blocking=True)

    def pieces(self, grain: Grain, rows: int) -> Tensor:
        """Pieces of grain for the rows of this process: (rows, 1, bands, frames)."""
        places = self.world.shard(torch.randint(grain.places, (rows * self.world.size,), generator=self.generator))
        cut = torch.from_numpy(np.concatenate([grain.cut(place) for place in places.tolist()]))
        return cut.to(self.device, non_blocking=True)


def order(seed: int, seen: int, size: int, recordings: int) -> Tensor:
    """Indices of the next batch: every pass over the data is a permutation of its own, and passes run on seamlessly."""
    positions = np.arange(seen, seen + size)
    epochs = positions // recordings
    orders = {epoch: np.random.default_rng((seed, epoch)).permutation(recordings) for epoch in set(epochs.tolist())}
    return torch.tensor(
        [
            orders[epoch][position % recordings]
            for epoch, position in zip(epochs.tolist(), positions.tolist(), strict=True)
        ]
    )
