"""Scores of generated sounds: every metric, beside its value for held-out real sounds."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from soundgan.errors import DataError
from soundgan.evaluation.data import EvaluationData, ProgressCallback, Sounds
from soundgan.evaluation.features.embedding import Embedding, LogMelStatistics
from soundgan.evaluation.features.predictions import Predictions, classify
from soundgan.evaluation.metrics.catalog import METRICS, Estimate, Metric, MetricRow, MetricTable, SoundSet
from soundgan.evaluation.metrics.confidence import confidence_interval, wilson_interval
from soundgan.evaluation.metrics.label_scores import am_score, inception_score, modified_inception_score, ndb_jsd
from soundgan.evaluation.metrics.memorization import memorized_fraction, nearest_training_sounds
from soundgan.evaluation.metrics.periodicity import periodicity
from soundgan.evaluation.metrics.set_metrics import N_NEIGHBORS, SetMetrics, set_metrics

if TYPE_CHECKING:
    from soundgan.evaluation.features.classifier import Classifier

Points = NDArray[np.float64]
Estimates = dict[Metric, Estimate]

MEMORIZED_QUANTILE = 0.05  # of held-out real sounds are as near to a training sound as a memorized one
SET_METRICS_ROUNDS = 50  # of half-sampling; the other metrics are cheaper and have 200
LABEL_SCORES = (Metric.INCEPTION_SCORE, Metric.MODIFIED_INCEPTION_SCORE, Metric.AM_SCORE)
CHUNK_SIZE = 256  # sounds embedded at a time


class Pair(NamedTuple):
    """A generated sound and the nearest real one, by their indices, and their distance from 0 to 1."""

    generated: int
    real: int
    distance: float


@dataclass(frozen=True)
class Scores:
    """Scores of generated sounds.

    Attributes:
        table: the metrics of the generated sounds and of the real baseline.
        size: sounds of each set in the distances and overlaps of the first two sets.
        predictions: predictions of the classifier for each set; empty without a classifier.
        pairs: generated sounds and the nearest of `RealSplit.possible_training_sounds`, by increasing distance.
        memorization_threshold: distance up to which a generated sound counts as memorized.
        embedding: name of the embedding.
    """

    table: MetricTable
    size: int
    predictions: dict[SoundSet, Predictions]
    pairs: list[Pair]
    memorization_threshold: float
    embedding: str


def score(
    data: EvaluationData,
    *,
    embedding: Embedding | None = None,
    classifier: Classifier | None = None,
    seed: int = 0,
    progress: ProgressCallback | None = None,
) -> Scores:
    """Score generated sounds of any origin.

    Distances and overlaps depend on the number of sounds, so they compare sets of one size, that of the smallest of the
    three, with the same sample of training sounds. The real baseline is the value of the held-out sounds: the goal of
    a perfect generator. Label scores and memorization use all sounds.

    Args:
        data: at least two generated, training and held-out sounds, all at one rate and length.
        embedding: space of the distances; `LogMelStatistics` by default.
        classifier: predicts labels; trained on none of the held-out sounds.
        seed: of every sample of sounds, and of the intervals.
        progress: called with the current task, and the steps done and in all.

    Raises:
        DataError: there are fewer than two sounds in one of the sets.
    """
    generated, train, held_out = data.generated, data.real.train, data.real.held_out
    size = min(len(generated), len(train), len(held_out))
    if size < 2:
        raise DataError(
            f"{len(generated)} generated, {len(train)} training, {len(held_out)} held-out sounds: use two of each"
        )
    embedding = embedding or LogMelStatistics(generated.seconds)
    report = progress or (lambda task, done, total: None)
    train_points = embed(train, embedding, report)
    reference = train_points[train.sample_indices(size, seed)]
    report("Finding nearest sounds", 0, 2)
    generated_nearest = nearest_training_sounds(
        generated.waves, data.real.possible_training_sounds.waves, generated.sample_rate
    )
    report("Finding nearest sounds", 1, 2)
    held_out_nearest = nearest_training_sounds(held_out.waves, train.waves, generated.sample_rate)
    report("Finding nearest sounds", 2, 2)

    table, predictions = MetricTable(), dict[SoundSet, Predictions]()

    def label_scores(name: SoundSet, sounds: Sounds) -> Estimates:
        if classifier is None:
            return {}
        predictions[name] = classify(classifier, sounds)
        return _label_scores(predictions[name], train.labels, seed)

    sets = (
        (SoundSet.GENERATED, generated, generated_nearest.distance),
        (SoundSet.REAL_BASELINE, held_out, held_out_nearest.distance),
    )
    for done, (name, sounds, distances) in enumerate(sets):
        report("Measuring", done, len(sets))
        points = embed(sounds.sample(size, seed), embedding)
        estimates = _set_metrics(reference, points, seed) | _bins(train_points, points, seed)
        estimates |= label_scores(name, sounds)
        periodicities = periodicity(sounds.waves, sounds.sample_rate)
        estimates[Metric.PERIODICITY] = _estimate(Metric.PERIODICITY, np.median, periodicities, seed=seed)
        estimates[Metric.MEMORIZED_FRACTION] = _estimate(
            Metric.MEMORIZED_FRACTION,
            lambda *pair: memorized_fraction(*pair, quantile=MEMORIZED_QUANTILE),
            distances, held_out_nearest.distance, seed=seed,
        )  # fmt: skip
        table[name] = MetricRow(len(sounds), estimates)
        report("Measuring", done + 1, len(sets))
    if data.generated_full is not None:
        report("Comparing with all training sounds", 0, 1)
        points = embed(data.generated_full, embedding, report)
        estimates = _set_metrics(train_points, points) | _bins(train_points, points, seed)
        estimates |= label_scores(SoundSet.GENERATED_FULL, data.generated_full)
        table[SoundSet.GENERATED_FULL] = MetricRow(len(data.generated_full), estimates)
        # Only precision and density do not depend on the number of held-out sounds.
        overlap = set_metrics(train_points, embed(held_out, embedding))
        estimates = {Metric.PRECISION: Estimate(overlap.precision), Metric.DENSITY: Estimate(overlap.density)}
        table[SoundSet.REAL_BASELINE_FULL] = MetricRow(len(held_out), estimates)
    return Scores(
        table, size, predictions,
        pairs=[
            Pair(int(i), int(generated_nearest.index[i]), float(generated_nearest.distance[i]))
            for i in np.argsort(generated_nearest.distance, kind="stable")
        ],
        memorization_threshold=float(np.quantile(held_out_nearest.distance, MEMORIZED_QUANTILE)),
        embedding=embedding.name,
    )  # fmt: skip


def embed(sounds: Sounds, embedding: Embedding, progress: ProgressCallback | None = None) -> Points:
    """Embeddings of sounds, all padded to one length. Shape: (n, d)."""
    parts = list[Points]()
    for start in range(0, len(sounds), CHUNK_SIZE):
        chunk = sounds[range(start, min(start + CHUNK_SIZE, len(sounds)))]
        parts.append(embedding.embed(chunk.padded(), sounds.sample_rate))
        if progress is not None:
            progress("Embedding", start + len(chunk), len(sounds))
    return np.concatenate(parts)


def _set_metrics(reference: Points, points: Points, seed: int | None = None) -> Estimates:
    """Distances and overlap of two sets; with intervals if there is a seed, and enough points to halve."""
    metrics, values = [Metric(name) for name in SetMetrics._fields], set_metrics(reference, points)
    if seed is None or min(len(reference), len(points)) <= 2 * N_NEIGHBORS + 1:  # a half must have more than k points
        return {metric: Estimate(value) for metric, value in zip(metrics, values, strict=True)}
    low, high = confidence_interval(set_metrics, reference, points, seed=seed, rounds=SET_METRICS_ROUNDS)
    return _clipped(metrics, values, low, high)


def _bins(train_points: Points, points: Points, seed: int) -> Estimates:
    bins = ndb_jsd(train_points, points, seed=seed)
    return {Metric.NDB: Estimate(bins.ndb), Metric.JSD: Estimate(bins.jsd)}


def _label_scores(predictions: Predictions, train_labels: Sequence[str], seed: int) -> Estimates:
    """Scores of the predicted labels; the accuracy only where labels were requested."""
    counts = [list(train_labels).count(label) for label in predictions.labels]

    def scores(p: NDArray[Any]) -> tuple[float, ...]:
        return inception_score(p), modified_inception_score(p), am_score(p, counts)

    p, n, n_correct = predictions.probabilities, predictions.n_requested, predictions.n_correct
    accuracy = {Metric.ACCURACY: Estimate(n_correct / n, *wilson_interval(n_correct, n))} if n else {}
    return accuracy | _clipped(LABEL_SCORES, scores(p), *confidence_interval(scores, p, seed=seed))


def _estimate(metric: Metric, statistic: Callable[..., Any], *samples: NDArray[Any], seed: int) -> Estimate:
    low, high = confidence_interval(statistic, *samples, seed=seed)
    return METRICS[metric].clip(float(statistic(*samples)), low, high)


def _clipped(metrics: Sequence[Metric], values: Sequence[float], low: Points, high: Points) -> Estimates:
    rows = zip(metrics, values, low, high, strict=True)
    return {metric: METRICS[metric].clip(*estimate) for metric, *estimate in rows}
