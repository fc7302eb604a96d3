"""How far a figure would move with other sounds: intervals by resampling."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from soundgan.errors import DataError


def interval(
    statistic: Callable[..., float],
    *samples: NDArray[Any],
    seed: int = 0,
    rounds: int = 200,
    level: float = 0.95,
) -> tuple[float, float]:
    """An interval around `statistic(*samples)` in which it lies for other samples as large, with probability `level`.

    Each round takes a random half of every sample, without replacement. A bootstrap with replacement would hold every
    sound more than once, and what looks at nearest neighbours or covariances takes that for a copying model. Halves
    need no such excuse: a mean over a random half of n strays from the mean over all by as much as the mean over n new
    sounds strays from the truth, (1 / (n/2) - 1 / n) σ² = σ² / n (half-sampling, McCarthy 1969; Politis & Romano
    1994). What a figure of half as many sounds is larger or smaller in the mean is taken off.

    Args:
        statistic: a figure of samples.
        samples: (n, …) each; samples that belong together row by row go in as one sample of row numbers,
            `np.arange(n)`.
        seed: of the choices.
        rounds: how many halves. 200 are good to a tenth of the interval, 50 to a fifth.
        level: share of the rounds that the interval holds.

    Returns:
        Its lower and upper end, which hold the figure itself. An end may lie outside of what the figure can be, such as
        a share above 1.

    Raises:
        DataError: a sample is of fewer than two, or `rounds` or `level` cannot be.
    """
    if min((len(one) for one in samples), default=0) < 2:
        raise DataError(f"samples of {[len(one) for one in samples]} cannot be halved; take two sounds or more")
    if rounds < 2 or not 0 < level < 1:
        raise DataError(f"rounds = {rounds}, level = {level}: take at least 2 rounds, and a level between 0 and 1")
    rng = np.random.default_rng(seed)
    figures = [
        statistic(*(one[rng.permutation(len(one))[: (len(one) + 1) // 2]] for one in samples)) for _ in range(rounds)
    ]
    value = statistic(*samples)
    strays = np.quantile(figures, [(1 - level) / 2, (1 + level) / 2]) - np.mean(figures)
    return float(value + min(strays[0], 0)), float(value + max(strays[1], 0))
