"""The judgement of sounds: every figure of the generated ones, and beside it that of fresh real ones."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from soundgan.errors import DataError
from soundgan.evaluation.data import ProgressCallback, Sounds
from soundgan.evaluation.features.embedding import Embedding, LogMelStatistics
from soundgan.evaluation.features.predictions import Predictions, classify
from soundgan.evaluation.metrics.catalog import BY_KEY, Figure, Row
from soundgan.evaluation.metrics.confidence import confidence_interval
from soundgan.evaluation.metrics.label_scores import am_score, inception_score, modified_inception_score, ndb_jsd
from soundgan.evaluation.metrics.memorization import memorized_fraction, nearest
from soundgan.evaluation.metrics.periodicity import periodicity
from soundgan.evaluation.metrics.set_metrics import N_NEIGHBORS, set_metrics

if TYPE_CHECKING:
    from soundgan.evaluation.features.classifier import Classifier

Points = NDArray[np.float64]

GENERATED, CEILING, ALL, CEILING_ALL = "generated", "ceiling", "generated, all", "ceiling, all"
COPY_QUANTILE = 0.05  # of fresh real sounds are as near to a training sound as what counts as memorised
_ROUNDS = 200  # halves that intervals are made of
_SLOW, _SLOW_ROUNDS = ("frechet", "kernel", "precision", "recall", "density", "coverage"), 50
_CHUNK = 256  # sounds embedded at a time


class Pair(NamedTuple):
    """A generated sound (its place in them) and the most similar known one, at a distance from 0 to 1."""

    made: int
    known: int
    distance: float


@dataclass(frozen=True)
class Scores:
    """What was found out about generated sounds.

    Attributes:
        rows: the generated, the ceiling, and where asked for, generated and fresh real sounds beside all training ones.
        size: sounds of each set in the distances and shares of overlap of the first two rows.
        heard: by the name of the row, what the classifier heard; empty without a classifier.
        pairs: generated and known sounds, the most similar ones first.
        limit: distance below which a pair counts as memorised.
        embedding: name of the embedding.
        seed: of all choices.
    """

    rows: list[Row]
    size: int
    heard: dict[str, Predictions]
    pairs: list[Pair]
    limit: float
    embedding: str
    seed: int

    def row(self, what: str) -> Row | None:
        """The row of that name, if there is one."""
        return next((row for row in self.rows if row.what == what), None)


def judge(
    made: Sounds,
    training: Sounds,
    test: Sounds,
    *,
    embedding: Embedding | None = None,
    classifier: Classifier | None = None,
    many: Sounds | None = None,
    known: Sounds | None = None,
    seed: int = 0,
    progress: ProgressCallback | None = None,
) -> Scores:
    """Judge any sounds, whatever made them.

    Distances and shares of overlap depend on the number of sounds; so they are taken between sets of one size, that of
    the smallest of the three, all against the same choice of training sounds. The ceiling is what the test sounds have
    there: a perfect generator would have the same. The labels that were heard, and the memory, are those of all sounds.

    Args:
        made: generated sounds, at least two; their labels are those that were asked for, if any.
        training: real sounds that may have been learnt from.
        test: real sounds that were not, at the same rate and length.
        embedding: where distances are measured; `LogMelStatistics` unless told otherwise.
        classifier: hears labels, at least two; one that was trained on no test sound.
        many: about as many generated sounds as there are training sounds, for a row against all of those.
        known: real sounds among which copies are searched for; `training` unless told otherwise.
        seed: of every choice of sounds, and of the intervals.
        progress: called with what is done, and how much of it.

    Raises:
        DataError: there are fewer than two sounds in one of the sets.
    """
    size = min(len(made), len(training), len(test))
    if size < 2:
        raise DataError(f"{len(made)} generated, {len(training)} training, {len(test)} test sounds: take two of each")
    embedding = embedding or LogMelStatistics(made.seconds)
    tell = progress or (lambda what, done, total: None)
    every = embed(training, embedding, tell)
    reference = every[training.chosen(size, seed)]
    tell("Looking for copies", 0, 2)
    near = nearest(made.waves, (known or training).waves, made.sample_rate)
    tell("Looking for copies", 1, 2)
    near_test = nearest(test.waves, training.waves, made.sample_rate)
    tell("Looking for copies", 2, 2)

    rows, heard = list[Row](), dict[str, Predictions]()
    for done, (what, sounds, distances) in enumerate(((GENERATED, made, near), (CEILING, test, near_test))):
        tell("Measuring", done, 2)
        points = embed(sounds.draw(size, seed), embedding)
        figures = _set_figures(reference, points, every, seed)
        if classifier is not None:
            heard[what] = classify(classifier, sounds)
            figures |= _heard_figures(heard[what], sounds, training, seed)
        share = partial(memorized_fraction, quantile=COPY_QUANTILE)
        periodic = periodicity(sounds.waves, sounds.sample_rate)
        figures["periodicity"] = _measured("periodicity", lambda some: float(np.median(some)), periodic, seed=seed)
        figures["memorised"] = _measured("memorised", share, distances.distance, near_test.distance, seed=seed)
        rows.append(Row(what, len(sounds), figures))
        tell("Measuring", done + 1, 2)
    if many is not None:
        tell("Measuring beside all", 0, 1)
        figures = _set_figures(every, embed(many, embedding, tell), every, seed, intervals=False)
        if classifier is not None:
            heard[ALL] = classify(classifier, many)
            figures |= _heard_figures(heard[ALL], many, training, seed)
        rows.append(Row(ALL, len(many), figures))
        # These two look from each sound at the real ones, so that they may be compared although the test is smaller.
        overlap = set_metrics(every, embed(test, embedding))
        figures = {"precision": Figure(overlap.precision), "density": Figure(overlap.density)}
        rows.append(Row(CEILING_ALL, len(test), figures))
    order = np.argsort(near.distance, kind="stable")
    pairs = [Pair(int(i), int(near.index[i]), float(near.distance[i])) for i in order]
    limit = float(np.quantile(near_test.distance, COPY_QUANTILE))
    return Scores(rows, size, heard, pairs, limit, embedding.name, seed)


def embed(sounds: Sounds, embedding: Embedding, progress: ProgressCallback | None = None) -> Points:
    """The points of sounds, all padded to one length. Shape: (n, d)."""
    parts = list[Points]()
    for first in range(0, len(sounds), _CHUNK):
        some = sounds[range(first, min(first + _CHUNK, len(sounds)))]
        parts.append(embedding.embed(some.padded(), sounds.sample_rate))
        if progress is not None:
            progress("Embedding", first + len(some), len(sounds))
    return np.concatenate(parts)


def _set_figures(
    reference: Points, points: Points, every: Points, seed: int, *, intervals: bool = True
) -> dict[str, Figure]:
    """Distances and overlap of a set with the reference, and how it fills the bins of all training sounds."""
    metrics = set_metrics(reference, points)
    if intervals and min(len(reference), len(points)) > 2 * N_NEIGHBORS + 1:  # each half has more than k points
        low, high = confidence_interval(set_metrics, reference, points, seed=seed, rounds=_SLOW_ROUNDS)
        measured = [_figure(key, *ends) for key, *ends in zip(_SLOW, metrics, low, high, strict=True)]
    else:
        measured = [Figure(value) for value in metrics]
    bins = ndb_jsd(every, points, seed=seed)
    return {**dict(zip(_SLOW, measured, strict=True)), "ndb": Figure(bins.ndb), "divergence": Figure(bins.divergence)}


def _heard_figures(heard: Predictions, sounds: Sounds, training: Sounds, seed: int) -> dict[str, Figure]:
    """What a classifier makes of a set; which share is right only where labels were asked for."""
    p, rows = heard.probabilities, np.arange(len(heard.probabilities))
    learnt = [list(training.labels).count(label) for label in heard.labels]
    figures = {
        "inception": _measured("inception", lambda some: inception_score(p[some]), rows, seed=seed),
        "modified_inception": _measured(
            "modified_inception", lambda some: modified_inception_score(p[some]), rows, seed=seed
        ),
        "am": _measured("am", lambda some: am_score(p[some], learnt), rows, seed=seed),
    }
    return {"accuracy": wilson_interval(heard.right, heard.asked), **figures} if heard.asked else figures


def _measured(key: str, statistic: Callable[..., float], *samples: NDArray[Any], seed: int) -> Figure:
    low, high = confidence_interval(statistic, *samples, seed=seed, rounds=_ROUNDS)
    return _figure(key, statistic(*samples), low, high)


def _figure(key: str, value: float, low: float, high: float) -> Figure:
    kind = BY_KEY[key]
    return Figure(value, max(float(low), kind.least), min(float(high), kind.most))


def wilson_interval(right: int, n: int) -> Figure:
    """A counted share with Wilson's 95 % interval (1927), which has a width even where all are right."""
    share, z = right / n, 1.96
    middle, reach = share + z * z / (2 * n), z * np.sqrt(share * (1 - share) / n + z * z / (4 * n * n))
    scale = 1 + z * z / n
    return Figure(share, float(max(0, (middle - reach) / scale)), float(min(1, (middle + reach) / scale)))
