"""Scores of what a classifier hears in generated sounds, and of how they fill the bins of the real ones.

Probabilities have the shape (n, labels), every row sums to 1. None of these scores tells how good the classifier is.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.spatial.distance import cdist
from scipy.special import entr, rel_entr
from scipy.stats import norm

from soundgan.errors import DataError

Points = NDArray[np.float64]

_SURE = 1e-6  # a label's probability below one in a million is not told from it: a divergence must not become infinite


def inception_score(probabilities: ArrayLike) -> float:
    """exp of the mean KL divergence of each sound's labels from all sounds' labels (Salimans et al. 2016).

    1 when every sound is heard alike; the number of labels when each is heard clearly and all equally often.
    Shape: (n, labels). Raises `DataError` for another.
    """
    p = _checked(probabilities)
    return float(np.exp(rel_entr(p, p.mean(axis=0)).sum(axis=1).mean()))


def modified_inception_score(probabilities: ArrayLike) -> float:
    """exp of the mean KL divergence of what is heard in two sounds (Gurumurthy et al. 2017).

    Over all pairs of sounds, as the literature on spoken digits has it. 1 when all sounds are heard alike; how high it
    can be depends on how sure the classifier is of itself, so it compares sounds heard by the same one only.

    Shape: (n, labels). Raises `DataError` for another.
    """
    p = np.maximum(_checked(probabilities), _SURE)
    p /= p.sum(axis=1, keepdims=True)
    # The mean over pairs of Σ p_i (log p_i - log p_j) needs no pairs: the second sum only knows the means.
    return float(np.exp((p * np.log(p)).sum(axis=1).mean() - p.mean(axis=0) @ np.log(p).mean(axis=0)))


def am_score(probabilities: ArrayLike, training: ArrayLike) -> float:
    """KL divergence of the training labels from those heard, and the mean entropy of each sound, in nats; low is good.

    Zhou et al. 2017 (AM score). 0 when every sound is heard clearly and labels are as frequent as in the training.

    Args:
        probabilities: (n, labels).
        training: (labels,), how often each label is in the training sounds: counts or shares.

    Raises:
        DataError: the shapes do not fit, or `training` is no distribution.
    """
    p, counts = _checked(probabilities), np.asarray(training, dtype=np.float64)
    if counts.shape != p.shape[1:] or counts.min() < 0 or counts.sum() <= 0:
        raise DataError(f"training labels {counts.tolist()} are no shares of {p.shape[1]} labels; hand in their counts")
    heard = np.maximum(p.mean(axis=0), _SURE)
    return float(rel_entr(counts / counts.sum(), heard / heard.sum()).sum() + entr(p).sum(axis=1).mean())


class Bins(NamedTuple):
    """How differently two sets fill the same bins.

    Attributes:
        ndb: share of bins that are filled differently; about 0.05 for fresh real sounds.
        divergence: Jensen-Shannon divergence of the two fillings in bits, from 0 to 1.
    """

    ndb: float
    divergence: float


def ndb_jsd(training: Points, made: Points, *, bins: int | None = None, seed: int = 0) -> Bins:
    """NDB/K, the share of statistically different bins (Richardson & Weiss 2018): finds modes dropped or over-filled.

    The bins are the cells of k-means on the training points; in each, a two-proportion z-test at the 5 % level tells
    whether the made fall into it as often.

    Args:
        training: (n, d).
        made: (m, d).
        bins: K, at most n; None takes a tenth of the smaller set, from 2 to 100, so that the test can tell something.
        seed: of the first centres.

    Raises:
        DataError: the shapes do not fit, or there are fewer than two bins or more than training points.
    """
    if training.ndim != 2 or made.ndim != 2 or training.shape[1] != made.shape[1] or not len(made):
        raise DataError(f"embeddings of shape {training.shape} and {made.shape} share no bins; take one embedding")
    n, m = len(training), len(made)
    k = min(max(2, min(n, m) // 10), 100) if bins is None else bins
    if not 2 <= k <= n:
        raise DataError(f"{k} bins for {n} training sounds: take 2 to {n} bins")
    centres = _k_means(training, k, np.random.default_rng(seed))
    counts = np.stack([np.bincount(_nearest(points, centres), minlength=k) for points in (training, made)])
    shares, pooled = counts / [[n], [m]], counts.sum(axis=0) / (n + m)
    error = np.sqrt(pooled * (1 - pooled) * (1 / n + 1 / m))
    different = np.abs(shares[0] - shares[1]) > norm.ppf(0.975) * error
    divergence = rel_entr(shares, shares.mean(axis=0)).sum() / 2 / np.log(2)
    return Bins(float(different.mean()), float(divergence))


def _k_means(points: Points, k: int, rng: np.random.Generator, rounds: int = 30) -> Points:
    """Lloyd's algorithm from k-means++ centres (Arthur & Vassilvitskii 2007); an empty cell keeps its centre."""
    centres = points[[rng.integers(len(points))]]
    while len(centres) < k:
        apart = cdist(points, centres, "sqeuclidean").min(axis=1)
        chances = apart / apart.sum() if apart.any() else None  # none left: all points are centres already
        centres = np.concatenate([centres, points[[rng.choice(len(points), p=chances)]]])
    for _ in range(rounds):
        cell = _nearest(points, centres)
        moved = np.stack([points[cell == i].mean(axis=0) if (cell == i).any() else centres[i] for i in range(k)])
        if np.array_equal(moved, centres):
            break
        centres = moved
    return centres


def _nearest(points: Points, centres: Points) -> NDArray[np.intp]:
    return cdist(points, centres).argmin(axis=1)


def _checked(probabilities: ArrayLike) -> Points:
    p = np.asarray(probabilities, dtype=np.float64)
    if p.ndim != 2 or not p.size or p.min() < 0 or not np.allclose(p.sum(axis=1), 1, atol=1e-3):
        raise DataError(f"probabilities of shape {p.shape} must be (n, labels), and each row sum to 1")
    return p
