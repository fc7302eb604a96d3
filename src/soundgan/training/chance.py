"""All chance in training, drawn anew from (seed, sounds seen), so that no random state needs to be kept."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from soundgan.training.world import ALONE, World


class Chance:
    """Random numbers of one step, of the whole batch on every process, which keeps those of its share.

    So their number changes nothing. They are drawn where they are needed: drawing those of a step on a CPU takes longer
    than a GPU takes for all the rest of it. Apple's draws on the CPU.
    """

    def __init__(self, seed: int, seen: int, device: torch.device, world: World = ALONE) -> None:
        self.generator = torch.Generator(device if device.type == "cuda" else "cpu")
        self.device, self.world, self._seed = device, world, seed
        self.move_to(seen)

    def move_to(self, seen: int) -> None:
        """Begin anew, with the numbers of the step after `seen` sounds seen."""
        mixed = np.random.SeedSequence((self._seed, seen)).generate_state(2, np.uint32)
        self.generator.manual_seed(int(mixed[0]) << 31 | int(mixed[1]) >> 1)
        self.seen = seen

    def normal(self, rows: int, *shape: int) -> Tensor:
        """Standard normal numbers for the rows of this process: (rows, *shape)."""
        drawn = torch.randn(rows * self.world.size, *shape, generator=self.generator, device=self.generator.device)
        noise = self._own(drawn)
        return noise.contiguous(memory_format=torch.channels_last) if noise.dim() == 4 else noise

    def uniform(self, rows: int, *shape: int) -> Tensor:
        """Numbers from 0 to 1 for the rows of this process: (rows, *shape)."""
        drawn = torch.rand(rows * self.world.size, *shape, generator=self.generator, device=self.generator.device)
        return self._own(drawn)

    def pieces(self, tape: Tensor, frames: int, rows: int) -> Tensor:
        """Pieces of a tape of grain (bands, …) for the rows of this process: (rows, 1, bands, frames)."""
        every = tape.unfold(1, frames, 1).movedim(1, 0)
        size = (rows * self.world.size,)
        places = torch.randint(len(every), size, generator=self.generator, device=self.generator.device)
        return every[self._own(places)][:, None]

    def _own(self, drawn: Tensor) -> Tensor:
        return self.world.shard(drawn).to(self.device, non_blocking=True)


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
