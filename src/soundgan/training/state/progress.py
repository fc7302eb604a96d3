"""Progress of a training, which its checkpoint keeps."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass
class Progress:
    """Real samples seen, steps done, seconds spent, and two running values that adapt the losses.

    Attributes:
        augment_p: probability of each augmentation.
        diversity: exponential moving average of the diversity of generated samples of a label; 1 is that of real ones.
    """

    samples_seen: int = 0
    steps: int = 0
    seconds: float = 0.0
    augment_p: float = 0.0
    diversity: float = 1.0
