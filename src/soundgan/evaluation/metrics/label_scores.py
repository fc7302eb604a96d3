"""Scores of predicted labels, and of the distribution of generated sounds over bins of the real ones.

Probabilities have the shape (n, labels), every row sums to 1. All label scores depend on the classifier's accuracy.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.spatial.distance import cdist
from scipy.special import entr, rel_entr
from scipy.stats import norm

from soundgan.errors import DataError

Points = NDArray[np.float64]

MIN_PROBABILITY = 1e-6  # of a label: keeps divergences finite


def inception_score(probabilities: ArrayLike) -> float:
    """Return exp of the mean KL divergence of each sound's labels from all sounds' labels (Salimans et al. 2016).

    1 if all predictions are the same; the number of labels if every prediction is certain and labels are balanced.
    Shape: (n, labels). Raises `DataError` for another.
    """
    p = _checked(probabilities)
    return float(np.exp(rel_entr(p, p.mean(axis=0)).sum(axis=1).mean()))


def modified_inception_score(probabilities: ArrayLike) -> float:
    """Return exp of the mean KL divergence of the predictions for two sounds (Gurumurthy et al. 2017).

    Over all pairs of sounds, as in the literature on spoken digits. 1 if all predictions are the same. Its upper limit
    depends on the confidence of the classifier: compare scores of one classifier only.

    Shape: (n, labels). Raises `DataError` for another.
    """
    p = np.maximum(_checked(probabilities), MIN_PROBABILITY)
    p /= p.sum(axis=1, keepdims=True)
    # The mean over pairs of Σ p_i (log p_i - log p_j) needs no pairs: the second sum is one of the means.
    return float(np.exp((p * np.log(p)).sum(axis=1).mean() - p.mean(axis=0) @ np.log(p).mean(axis=0)))


def am_score(probabilities: ArrayLike, training: ArrayLike) -> float:
    """KL divergence of the training labels from the predicted ones, plus the mean entropy of a prediction, in nats.

    AM score (Zhou et al. 2017); lower is better. 0 if every prediction is certain and labels are as frequent as in the
    training.

    Args:
        probabilities: (n, labels).
        training: (labels,), counts or shares of the labels of the training sounds.

    Raises:
        DataError: the shapes do not match, or `training` is not a distribution.
    """
    p, counts = _checked(probabilities), np.asarray(training, dtype=np.float64)
    if counts.shape != p.shape[1:] or counts.min() < 0 or counts.sum() <= 0:
        raise DataError(f"training labels {counts.tolist()} are not counts of {p.shape[1]} labels; pass their counts")
    predicted = np.maximum(p.mean(axis=0), MIN_PROBABILITY)
    return float(rel_entr(counts / counts.sum(), predicted / predicted.sum()).sum() + entr(p).sum(axis=1).mean())


def ndb_jsd(training: Points, generated: Points, *, bins: int | None = None, seed: int = 0) -> tuple[float, float]:
    """Number of statistically different bins (NDB, Richardson & Weiss 2018): detects dropped and overfilled modes.

    The bins are the clusters of k-means on the training points; in each, a two-proportion z-test at the 5 % level
    compares the shares of training and generated points.

    Args:
        training: (n, d).
        generated: (m, d).
        bins: K, at most n; None takes a tenth of the smaller set, from 2 to 100, so that the test has power.
        seed: of the initial centers.

    Returns:
        Share of statistically different bins (NDB/K), about 0.05 for held-out real sounds; and Jensen-Shannon
        divergence of the two distributions over the bins in bits, from 0 to 1.

    Raises:
        DataError: the shapes do not match, or there are fewer than two bins or more than training points.
    """
    if training.ndim != 2 or generated.ndim != 2 or training.shape[1] != generated.shape[1] or not len(generated):
        raise DataError(f"embeddings of shape {training.shape} and {generated.shape} share no bins; use one embedding")
    n, m = len(training), len(generated)
    k = min(max(2, min(n, m) // 10), 100) if bins is None else bins
    if not 2 <= k <= n:
        raise DataError(f"{k} bins for {n} training sounds: use 2 to {n} bins")
    centers = _k_means(training, k, np.random.default_rng(seed))
    counts = np.stack([np.bincount(_nearest(points, centers), minlength=k) for points in (training, generated)])
    shares, pooled = counts / [[n], [m]], counts.sum(axis=0) / (n + m)
    error = np.sqrt(pooled * (1 - pooled) * (1 / n + 1 / m))
    different = np.abs(shares[0] - shares[1]) > norm.ppf(0.975) * error
    jsd = rel_entr(shares, shares.mean(axis=0)).sum() / 2 / np.log(2)
    return float(different.mean()), float(jsd)


def _k_means(points: Points, k: int, rng: np.random.Generator, rounds: int = 30) -> Points:
    """Lloyd's algorithm from k-means++ centers (Arthur & Vassilvitskii 2007); an empty cluster keeps its center."""
    centers = points[[rng.integers(len(points))]]
    while len(centers) < k:
        distances = cdist(points, centers, "sqeuclidean").min(axis=1)
        weights = distances / distances.sum() if distances.any() else None  # all points are centers already
        centers = np.concatenate([centers, points[[rng.choice(len(points), p=weights)]]])
    for _ in range(rounds):
        cluster = _nearest(points, centers)
        moved = np.stack([points[cluster == i].mean(axis=0) if (cluster == i).any() else centers[i] for i in range(k)])
        if np.array_equal(moved, centers):
            break
        centers = moved
    return centers


def _nearest(points: Points, centers: Points) -> NDArray[np.intp]:
    return cdist(points, centers).argmin(axis=1)


def _checked(probabilities: ArrayLike) -> Points:
    p = np.asarray(probabilities, dtype=np.float64)
    if p.ndim != 2 or not p.size or p.min() < 0 or not np.allclose(p.sum(axis=1), 1, atol=1e-3):
        raise DataError(f"probabilities of shape {p.shape} must be (n, labels), and each row sum to 1")
    return p
