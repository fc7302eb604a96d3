"""All chance in training, drawn anew from (seed, sounds seen), so that no random state needs to be kept."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor


class Chance:
    """Random numbers of one step, drawn on the CPU so that every device sees the same."""

    def __init__(self, seed: int, seen: int, device: torch.device) -> None:
        mixed = np.random.SeedSequence((seed, seen)).generate_state(2, np.uint32)
        self.generator = torch.Generator().manual_seed(int(mixed[0]) << 31 | int(mixed[1]) >> 1)
        self.device = device

    def normal(self, *shape: int) -> Tensor:
        noise = torch.randn(*shape, generator=self.generator)
        if len(shape) == 4:
            noise = noise.contiguous(memory_format=torch.channels_last)
        return noise.to(self.device, non_blocking=True)
