"""Checks for divergence and mode collapse, so that a broken state never replaces the last good checkpoint."""

from __future__ import annotations

import math

import numpy as np
import torch

from soundgan.data.dataset import Dataset
from soundgan.errors import TrainingError
from soundgan.training.losses.cells import cells
from soundgan.training.runtime.rng import StepRNG
from soundgan.training.state.train_state import GeneratorInputs, Progress, TrainState

MIN_SAMPLES = 20_000  # samples seen before a lack of diversity counts as mode collapse
MIN_RELATIVE_STD = 0.1  # relative to the real spectrograms; healthy trainings exceed 0.4 after 5,000 samples
GENERATED = 64  # spectrograms whose spread is measured
MAX_REAL = 256
_HINT = "the last good checkpoint and the best generator are kept; `soundgan export` writes a model from them"


def check_finite(values: dict[str, float], progress: Progress) -> None:
    """Raise `TrainingError` with the settings to change if one of the named values is NaN or infinite."""
    for name, value in values.items():
        if not math.isfinite(value):
            raise TrainingError(
                f"training diverged: {name} is {value} after {progress.samples_seen} samples; {_HINT}. In a settings "
                "file (--config), halve lr_G and lr_D, or double gradient_penalty, and run the same command again"
            )


class HealthCheck:
    """Checks the state of a training before it is saved.

    Spread is the standard deviation over spectrograms of their means over 4 × 4 cells, in which noise texture and the
    harmonics of another pitch make little difference. It is measured within the most common label: a generator
    with one output per label has collapsed as well.

    Args:
        seed: of the latents, which are the same at every check.
    """

    def __init__(self, dataset: Dataset, seed: int, generator_inputs: GeneratorInputs) -> None:
        self._seed, self._generator_inputs = seed, generator_inputs
        self._label = int(np.bincount(dataset.labels).argmax())
        positions = np.flatnonzero(dataset.labels == self._label)
        real = np.array(dataset.spectrograms[positions[:: max(1, len(positions) // MAX_REAL)]])
        self._real_spread = cells(torch.from_numpy(real)).std(0).mean().item() if len(real) > 1 else 0.0

    @torch.no_grad()
    def check(self, train_state: TrainState, progress: Progress) -> None:
        """Raise `TrainingError` for NaN in weights or optimizer moments, or a generator that ignores z."""
        tensors = [(f"a weight of the {name}", module.state_dict()) for name, module in train_state.modules().items()]
        for name, optimizer in train_state.optimizers().items():
            tensors += [(f"a moment of the {name}", state) for state in optimizer.state.values()]
        for name, values in tensors:
            if not all(torch.isfinite(value).all() for value in values.values()):
                check_finite({name: math.nan}, progress)

        generator, labels = train_state.generator_ema, torch.full((GENERATED,), self._label)
        rng = StepRNG(self._seed, 0, next(generator.parameters()).device)
        generated = self._generator_inputs.generate(generator, labels, rng, shared_noise=True)
        spread = cells(generated).std(0).mean().item()
        if progress.samples_seen >= MIN_SAMPLES and spread < MIN_RELATIVE_STD * self._real_spread:
            raise TrainingError(
                f"mode collapse: the generated spectrograms of a label are alike after {progress.samples_seen} samples "
                f"(spread {spread:.4f}, real ones {self._real_spread:.4f}); {_HINT}. Train again in another folder "
                "(--out), with gradient_penalty doubled or lr_G and lr_D halved in a settings file (--config)"
            )
