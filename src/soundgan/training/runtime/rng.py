"""All chance in training, drawn anew from (seed, samples seen), so that no random state needs to be kept."""

from __future__ import annotations

from functools import lru_cache, partial

import numpy as np
import torch
from torch import Tensor

from soundgan.training.runtime.distributed import SINGLE_PROCESS, Distributed


class StepRNG:
    """Random numbers of one step, of the whole batch on every process, which keeps those of its share.

    So their number changes nothing. They are drawn where they are needed: drawing those of a step on a CPU takes longer
    than a GPU takes for all the rest of it. Apple's draws on the CPU.
    """

    def __init__(
        self, seed: int, samples_seen: int, device: torch.device, distributed: Distributed = SINGLE_PROCESS
    ) -> None:
        self.generator = torch.Generator(device if device.type == "cuda" else "cpu")
        self.device, self.world, self._seed = device, distributed, seed
        self.seed_at(samples_seen)

    def seed_at(self, samples_seen: int) -> None:
        """Begin anew, with the numbers of the step after `samples_seen` samples seen."""
        mixed = np.random.SeedSequence((self._seed, samples_seen)).generate_state(2, np.uint32)
        self.generator.manual_seed(int(mixed[0]) << 31 | int(mixed[1]) >> 1)
        self.samples_seen = samples_seen

    def normal(self, rows: int, *shape: int) -> Tensor:
        """Standard normal numbers for the rows of this process: (rows, *shape)."""
        drawn = torch.randn(rows * self.world.size, *shape, generator=self.generator, device=self.generator.device)
        noise = self._own(drawn)
        return noise.contiguous(memory_format=torch.channels_last) if noise.dim() == 4 else noise

    def uniform(self, rows: int, *shape: int) -> Tensor:
        """Numbers from 0 to 1 for the rows of this process: (rows, *shape)."""
        drawn = torch.rand(rows * self.world.size, *shape, generator=self.generator, device=self.generator.device)
        return self._own(drawn)

    def random_crops(self, tape: Tensor, frames: int, rows: int) -> Tensor:
        """Pieces of a tape of grain (bands, …) for the rows of this process: (rows, 1, bands, frames)."""
        every = tape.unfold(1, frames, 1).movedim(1, 0)
        size = (rows * self.world.size,)
        places = torch.randint(len(every), size, generator=self.generator, device=self.generator.device)
        return every[self._own(places)][:, None]

    def _own(self, drawn: Tensor) -> Tensor:
        return self.world.shard(drawn).to(self.device, non_blocking=True)


class PairedSampler:
    """The batches of a training: recordings two by two of one label.

    In every pass over the data each recording is in one pair; where those of a label are odd in number, one is in two,
    and one that is alone is paired with itself. Every pass has an order of its own, and passes run on seamlessly.

    Args:
        labels: of all recordings.
    """

    def __init__(self, seed: int, labels: np.ndarray) -> None:
        self._length = samples_per_epoch(labels) // 2  # pairs
        self._pass = lru_cache(2)(partial(_paired, seed, labels))  # a batch may end one and begin another

    def __call__(self, samples_seen: int, size: int) -> Tensor:
        """Indices of the batch after `samples_seen` samples seen, both even: (size,), rows 2k and 2k + 1 a pair."""
        numbers, places = np.divmod(np.arange(samples_seen // 2, (samples_seen + size) // 2), self._length)
        pairs = [self._pass(number)[place] for number, place in zip(numbers.tolist(), places, strict=True)]
        return torch.from_numpy(np.concatenate(pairs))


def samples_per_epoch(labels: np.ndarray) -> int:
    """How many sounds are seen in a pass of `PairedSampler`: one more than there are for every label whose number is odd."""
    return int((2 * ((np.bincount(labels) + 1) // 2)).sum())


def _paired(seed: int, labels: np.ndarray, number: int) -> np.ndarray:
    """The pairs of a pass: (pairs, 2)."""
    draw = np.random.default_rng((seed, number))
    order = draw.permutation(len(labels))
    order = order[np.argsort(labels[order], kind="stable")]
    of_labels = np.split(order, np.flatnonzero(np.diff(labels[order])) + 1)
    even = [np.append(of, of[:1]) if len(of) % 2 else of for of in of_labels]
    return draw.permutation(np.concatenate(even).reshape(-1, 2))
