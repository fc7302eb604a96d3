"""Is the training still going well? What is broken is never written over the last good checkpoint."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from soundgan.errors import TrainingError
from soundgan.settings import Settings
from soundgan.training.losses.diversity import cells
from soundgan.training.runtime.rng import Chance
from soundgan.training.state.checkpoint import Clock
from soundgan.training.state.state import Painter, Players

PATIENCE = 20_000  # sounds seen before a lack of variety counts as a collapse
LEAST_SPREAD = 0.1  # of that of the real paintings; healthy trainings are above 0.4 after 5,000 sounds
_KEPT = "the last good checkpoint and the best Generator are kept: `soundgan export` makes a model of them"


def check_finite(values: dict[str, float], clock: Clock) -> None:
    """Raise `TrainingError`, which says what to change, if one of the named values is NaN or infinite."""
    for name, value in values.items():
        if not math.isfinite(value):
            raise TrainingError(
                f"training diverged: {name} is {value} after {clock.seen} sounds; {_KEPT}. In a settings "
                "file (--config), halve lr_G and lr_D, or double penalty, and run the same command again"
            )


@torch.no_grad()
def check_health(
    players: Players, painter: Painter, paintings: Tensor, labels: Tensor, clock: Clock, settings: Settings
) -> None:
    """Raise `TrainingError` for weights or moments that hold NaN, or a Generator that hardly hears its latent.

    Variety is judged within one label, the most common one: a Generator that paints each label in one way only is
    collapsed as well. The spread is the standard deviation over paintings of means over 4 × 4 cells, where
    grain and the stripes of another pitch make little difference.
    """
    held = [(f"a weight of the {name}", module.state_dict()) for name, module in players.modules().items()]
    for name, optimizer in players.optimizers().items():
        held += [(f"a moment of the {name}", state) for state in optimizer.state.values()]
    for name, values in held:
        if not all(torch.isfinite(value).all() for value in values.values()):
            check_finite({name: math.nan}, clock)

    label = labels.mode().values
    device = next(players.average.parameters()).device
    made = painter.paint(players.average, label.to(device).expand(64), Chance(settings.seed, 0, device), one_grain=True)
    spread = cells(made).std(0).mean().item()
    positions = (labels == label).nonzero()[:, 0]
    some = positions[:: max(1, len(positions) // 256)]
    real_spread = cells(paintings[some]).std(0).mean().item() if len(some) > 1 else 0.0
    if clock.seen >= PATIENCE and spread < LEAST_SPREAD * real_spread:
        raise TrainingError(
            f"training collapsed: the made paintings of a label are alike after {clock.seen} sounds (spread "
            f"{spread:.4f}, real ones {real_spread:.4f}); {_KEPT}. Start anew in another folder (--out), "
            "with double the penalty, or half of lr_G and lr_D, in a settings file (--config)"
        )
