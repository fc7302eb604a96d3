"""Is the training still going well? What is broken is never written over the last good checkpoint."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from soundgan.errors import TrainingError
from soundgan.settings import Settings
from soundgan.training.losses.diversity import cells
from soundgan.training.runtime.rng import StepRNG
from soundgan.training.state.checkpoint import Progress
from soundgan.training.state.state import GeneratorInputs, TrainState

PATIENCE = 20_000  # samples seen before a lack of variety counts as a collapse
LEAST_SPREAD = 0.1  # of that of the real spectrograms; healthy trainings are above 0.4 after 5,000 sounds
_KEPT = "the last good checkpoint and the best Generator are kept: `soundgan export` makes a model of them"


def check_finite(values: dict[str, float], progress: Progress) -> None:
    """Raise `TrainingError`, which says what to change, if one of the named values is NaN or infinite."""
    for name, value in values.items():
        if not math.isfinite(value):
            raise TrainingError(
                f"training diverged: {name} is {value} after {progress.samples_seen} sounds; {_KEPT}. In a settings "
                "file (--config), halve lr_G and lr_D, or double penalty, and run the same command again"
            )


@torch.no_grad()
def check_health(
    train_state: TrainState,
    generator_inputs: GeneratorInputs,
    spectrograms: Tensor,
    labels: Tensor,
    progress: Progress,
    settings: Settings,
) -> None:
    """Raise `TrainingError` for weights or moments that hold NaN, or a Generator that hardly hears its latent.

    Variety is judged within one label, the most common one: a Generator that paints each label in one way only is
    collapsed as well. The spread is the standard deviation over spectrograms of means over 4 × 4 cells, where
    grain and the stripes of another pitch make little difference.
    """
    held = [(f"a weight of the {name}", module.state_dict()) for name, module in train_state.modules().items()]
    for name, optimizer in train_state.optimizers().items():
        held += [(f"a moment of the {name}", state) for state in optimizer.state.values()]
    for name, values in held:
        if not all(torch.isfinite(value).all() for value in values.values()):
            check_finite({name: math.nan}, progress)

    label = labels.mode().values
    device = next(train_state.generator_ema.parameters()).device
    made = generator_inputs.generate(
        train_state.generator_ema, label.to(device).expand(64), StepRNG(settings.run.seed, 0, device), shared_noise=True
    )
    spread = cells(made).std(0).mean().item()
    positions = (labels == label).nonzero()[:, 0]
    some = positions[:: max(1, len(positions) // 256)]
    real_spread = cells(spectrograms[some]).std(0).mean().item() if len(some) > 1 else 0.0
    if progress.samples_seen >= PATIENCE and spread < LEAST_SPREAD * real_spread:
        raise TrainingError(
            f"training collapsed: the made spectrograms of a label are alike after {progress.samples_seen} sounds (spread "
            f"{spread:.4f}, real ones {real_spread:.4f}); {_KEPT}. Start anew in another folder (--out), "
            "with double the penalty, or half of lr_G and lr_D, in a settings file (--config)"
        )
