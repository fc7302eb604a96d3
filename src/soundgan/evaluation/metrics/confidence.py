"""Confidence intervals by half-sampling."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from soundgan.errors import DataError


def confidence_interval(
    statistic: Callable[..., ArrayLike],
    *samples: NDArray[Any],
    seed: int = 0,
    rounds: int = 200,
    level: float = 0.95,
) -> tuple[Any, Any]:
    """Confidence interval of a statistic at `level`, for samples of the same sizes.

    Half-sampling (McCarthy 1969; Politis & Romano 1994): each round evaluates the statistic on a random half of every
    sample, without replacement. This is not a bootstrap, whose repeated sounds would be their own nearest neighbors and
    count as memorized. The spread needs no correction: a mean over a random half of n deviates from the mean over all
    by as much as the mean over n new sounds deviates from the truth, (1 / (n/2) - 1 / n) σ² = σ² / n. The half-sample
    bias is subtracted.

    Args:
        statistic: number, or several numbers, of samples.
        samples: (n, …) each; samples that are paired row by row are passed as one sample of row numbers,
            `np.arange(n)`.
        seed: of the random halves.
        rounds: number of halves. 200 estimate the interval to a tenth of its width, 50 to a fifth.
        level: share of the rounds inside the interval.

    Returns:
        Lower and upper ends, of the shape of the statistic, with the statistic between them. An end may lie outside of
        the statistic's range, such as a share above 1.

    Raises:
        DataError: a sample has fewer than two rows, or `rounds` or `level` is out of range.
    """
    if min((len(sample) for sample in samples), default=0) < 2:
        raise DataError(f"samples of {[len(sample) for sample in samples]} cannot be halved; use two sounds or more")
    if rounds < 2 or not 0 < level < 1:
        raise DataError(f"rounds = {rounds}, level = {level}: use at least 2 rounds, and a level between 0 and 1")
    rng = np.random.default_rng(seed)
    values = np.array([
        statistic(*(sample[rng.permutation(len(sample))[: (len(sample) + 1) // 2]] for sample in samples))
        for _ in range(rounds)
    ])  # fmt: skip
    values = np.ascontiguousarray(values.T)
    low, high = np.quantile(values, [(1 - level) / 2, (1 + level) / 2], axis=-1) - values.mean(axis=-1)
    value = np.asarray(statistic(*samples))
    return value + np.minimum(low, 0), value + np.maximum(high, 0)


def wilson_interval(successes: int, n: int) -> tuple[float, float]:
    """95 % confidence interval of the share `successes / n` (Wilson 1927), of positive width even for 0 and n."""
    share, z = successes / n, 1.96
    center, half_width = share + z * z / (2 * n), z * np.sqrt(share * (1 - share) / n + z * z / (4 * n * n))
    scale = 1 + z * z / n
    return float(max(0, (center - half_width) / scale)), float(min(1, (center + half_width) / scale))
