"""Scores of generated sounds: every metric, beside its value for held-out real sounds."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from soundgan.errors import DataError
from soundgan.evaluation.features.classifier import Classifier
from soundgan.evaluation.features.descriptors import Descriptor, describe_all
from soundgan.evaluation.features.embedding import Embedding, LogMelStatistics, Points
from soundgan.evaluation.features.kernel_classifier import KernelClassifier
from soundgan.evaluation.features.linear_cepstra import LinearCepstra
from soundgan.evaluation.features.logmel import pad_or_cut
from soundgan.evaluation.features.predictions import ClassifierName, Predictions, classify, count_predictions
from soundgan.evaluation.metrics.catalog import METRICS, Estimate, MetricRow, SoundSet
from soundgan.evaluation.metrics.confidence import confidence_interval, wilson_interval
from soundgan.evaluation.metrics.descriptor_scores import Comparisons, compare
from soundgan.evaluation.metrics.label_scores import am_score, inception_score, modified_inception_score, ndb_jsd
from soundgan.evaluation.metrics.memorization import memorized_fraction, nearest_training_sounds
from soundgan.evaluation.metrics.periodicity import periodicity
from soundgan.evaluation.metrics.set_metrics import N_NEIGHBORS, SetMetrics, kernel_distance, set_metrics
from soundgan.evaluation.options import EvaluationOptions, ProgressCallback
from soundgan.evaluation.sounds import RealSplit, Sounds

Estimates = dict[str, Estimate]

MEMORIZED_QUANTILE = 0.05  # of held-out real sounds are as near to a training sound as a memorized one
SET_METRICS_ROUNDS = 50  # of half-sampling; the other metrics are cheaper and have 200
CHUNK_SIZE = 256  # sounds embedded at a time
MAX_DESCRIBED = 200  # generated or real sounds of a label whose descriptors are compared


@dataclass(frozen=True)
class Scores:
    """Scores of generated sounds.

    Attributes:
        table: the metrics of the generated sounds and of the real baseline.
        size: sounds of each set in the distances and overlaps of the first two sets.
        predictions: predictions of each classifier for each set; without a classifier that could not be trained.
        pairs: index of a generated sound, index of the nearest of `RealSplit.possible_training_sounds`, and their
            distance from 0 to 1; by increasing distance.
        memorization_threshold: distance up to which a generated sound counts as memorized.
        embedding: name of the embedding.
        descriptors: comparison of all generated with all real sounds, by label; "" without labels.
        n_described: number of the generated or the real sounds of each label, whichever is smaller.
    """

    table: dict[SoundSet, MetricRow]
    size: int
    predictions: dict[ClassifierName, dict[SoundSet, Predictions]]
    pairs: list[tuple[int, int, float]]
    memorization_threshold: float
    embedding: str
    descriptors: dict[str, Comparisons]
    n_described: dict[str, int]


def score(
    generated: Sounds,
    real: RealSplit,
    options: EvaluationOptions | None = None,
    *,
    classifier: Classifier | None = None,
    generated_full: Sounds | None = None,
) -> Scores:
    """Score generated sounds of any origin.

    Distances and overlaps depend on the number of sounds, so they compare sets of one size, that of the smallest of the
    three, with the same sample of training sounds. The real baseline is the value of the held-out sounds: the goal of
    a perfect generator. Label scores and memorization use all sounds. The second classifier is trained here.

    Args:
        generated: at least two sounds, at the rate and length of the real ones; their labels are the requested ones.
        real: at least two training and two held-out sounds.
        classifier: the first classifier of labels, trained on none of the held-out sounds.
        generated_full: about as many sounds as training sounds, for the comparison with all of those.

    Raises:
        DataError: there are fewer than two sounds in one of the sets.
    """
    options = options or EvaluationOptions()
    train, held_out, seed, progress = real.train, real.held_out, options.seed, options.progress
    size = min(len(generated), len(train), len(held_out))
    if size < 2:
        raise DataError(
            f"{len(generated)} generated, {len(train)} training, {len(held_out)} held-out sounds: use two of each"
        )
    embedding = options.embedding or LogMelStatistics(generated.seconds)
    train_points = embed(train, embedding, progress)
    train_sample = train.sample_indices(size, seed)
    reference = train_points[train_sample]
    progress("Finding nearest sounds", 0, 2)
    nearest = nearest_training_sounds(generated.waves, real.possible_training_sounds.waves, generated.sample_rate)
    progress("Finding nearest sounds", 1, 2)
    held_out_nearest = nearest_training_sounds(held_out.waves, train.waves, generated.sample_rate)
    progress("Finding nearest sounds", 2, 2)

    all_sets = {SoundSet.GENERATED: generated, SoundSet.REAL_BASELINE: held_out}
    if generated_full is not None:
        all_sets[SoundSet.GENERATED_FULL] = generated_full
    cepstra = LinearCepstra(train.waves, train.sample_rate)
    all_cepstra = {name: cepstra.embed(sounds.waves) for name, sounds in all_sets.items()}
    predictions = dict[ClassifierName, dict[SoundSet, Predictions]]()
    if classifier is not None:
        predictions[ClassifierName.FIRST] = {
            name: classify(classifier, sounds.waves, sounds.sample_rate, sounds.labels)
            for name, sounds in all_sets.items()
        }
    if len({*train.labels}) >= 2:
        second = KernelClassifier(cepstra.reference, train.labels, seed)
        predictions[ClassifierName.SECOND] = {
            name: count_predictions(second.labels, second.predict(all_cepstra[name]), sounds.labels)
            for name, sounds in all_sets.items()
        }
    table = dict[SoundSet, MetricRow]()
    sets = ((SoundSet.GENERATED, generated, nearest), (SoundSet.REAL_BASELINE, held_out, held_out_nearest))
    for done, (name, sounds, nearest_training) in enumerate(sets):
        progress("Measuring", done, len(sets))
        sample = sounds.sample_indices(size, seed)
        points = embed(sounds[sample], embedding)
        periodicities = periodicity(sounds.waves, sounds.sample_rate)
        estimates = (
            _set_metrics(reference, points, seed)
            | _second_distance(cepstra.reference[train_sample], all_cepstra[name][sample], seed)
            | _bins(train_points, points, seed)
            | _label_scores(predictions, name, train.labels, seed)
            | _estimates(("periodicity",), lambda p: [np.median(p)], periodicities, seed=seed)
            | _estimates(
                ("memorized_fraction",),
                lambda *pair: [memorized_fraction(*pair, quantile=MEMORIZED_QUANTILE)],
                nearest_training.distance, held_out_nearest.distance, seed=seed,
            )
        )  # fmt: skip
        table[name] = MetricRow(len(sounds), estimates)
        progress("Measuring", done + 1, len(sets))
    if generated_full is not None:
        progress("Comparing with all training sounds", 0, 1)
        points = embed(generated_full, embedding, progress)
        estimates = _set_metrics(train_points, points) | _bins(train_points, points, seed)
        estimates |= _second_distance(cepstra.reference, all_cepstra[SoundSet.GENERATED_FULL])
        estimates |= _label_scores(predictions, SoundSet.GENERATED_FULL, train.labels, seed)
        table[SoundSet.GENERATED_FULL] = MetricRow(len(generated_full), estimates)
        estimates = _set_metrics(train_points, embed(held_out, embedding))
        estimates = {key: estimates[key] for key in ("precision", "density")}  # the others depend on the number
        table[SoundSet.REAL_BASELINE_FULL] = MetricRow(len(held_out), estimates)
    pairs = [
        (int(i), int(nearest.index[i]), float(nearest.distance[i])) for i in np.argsort(nearest.distance, kind="stable")
    ]
    threshold = float(np.quantile(held_out_nearest.distance, MEMORIZED_QUANTILE))
    described = generated if generated_full is None else generated + generated_full
    descriptors = compare_descriptors(described, train + held_out, options)
    n_described = _smaller_counts(described, train + held_out)
    return Scores(table, size, predictions, pairs, threshold, embedding.name, descriptors, n_described)


def compare_descriptors(
    generated: Sounds, real: Sounds, options: EvaluationOptions | None = None
) -> dict[str, Comparisons]:
    """Compare the descriptors of generated and real sounds of each label that has both; of "" without labels.

    At most 200 sounds of a label on either side are described.
    """
    options = options or EvaluationOptions()
    labels = sorted({*generated.labels} & {*real.labels}) or [""]
    comparisons = dict[str, Comparisons]()
    for done, label in enumerate(labels):
        options.progress("Describing", done, len(labels))
        values = list[dict[Descriptor, NDArray[np.float64]]]()
        for sounds in (real, generated):
            indices = [i for i in range(len(sounds)) if not label or sounds.labels[i] == label]
            part = sounds[indices]
            part = part[part.sample_indices(MAX_DESCRIBED, options.seed)]
            described = describe_all(part.waves, part.sample_rate, generated.frame_rate)
            values.append(described | {Descriptor.LEVEL: np.array(part.peaks_db, np.float64)})
        comparisons[label] = compare(*values, seed=options.seed)
    options.progress("Describing", len(labels), len(labels))
    return comparisons


def embed(sounds: Sounds, embedding: Embedding, progress: ProgressCallback | None = None) -> Points:
    """Embeddings of sounds, all padded to one length. Shape: (n, d)."""
    parts, samples = list[Points](), round(sounds.seconds * sounds.sample_rate)
    for start in range(0, len(sounds), CHUNK_SIZE):
        chunk = sounds[range(start, min(start + CHUNK_SIZE, len(sounds)))]
        waves = [pad_or_cut(wave, samples) for wave in chunk.waves]
        parts.append(embedding.embed(waves, sounds.sample_rate))
        if progress is not None:
            progress("Embedding", start + len(chunk), len(sounds))
    return np.concatenate(parts)


def _smaller_counts(generated: Sounds, real: Sounds) -> dict[str, int]:
    """Number of the generated or the real sounds of each label, whichever is smaller; of "" without labels."""
    counts = [Counter(sounds.labels or [""] * len(sounds)) for sounds in (generated, real)]
    return {label: min(count[label] for count in counts) for label in sorted(counts[0].keys() & counts[1].keys())}


def _set_metrics(reference: Points, points: Points, seed: int | None = None) -> Estimates:
    """Distances and overlap of two sets; with intervals if there is a seed."""
    return _distances(SetMetrics._fields, set_metrics, reference, points, seed)


def _second_distance(reference: Points, points: Points, seed: int | None = None) -> Estimates:
    """Kernel distance of two sets of cepstra; with an interval if there is a seed."""
    return _distances(("second_kernel_distance",), lambda *pair: [kernel_distance(*pair)], reference, points, seed)


def _distances(
    keys: Sequence[str],
    statistics: Callable[[Points, Points], Sequence[float]],
    reference: Points,
    points: Points,
    seed: int | None,
) -> Estimates:
    """Estimates of statistics of two sets; with intervals if there is a seed, and enough points to halve."""
    if seed is None or min(len(reference), len(points)) <= 2 * N_NEIGHBORS + 1:  # a half must have more than k points
        return {key: Estimate(value) for key, value in zip(keys, statistics(reference, points), strict=True)}
    return _estimates(keys, statistics, reference, points, seed=seed, rounds=SET_METRICS_ROUNDS)


def _bins(train_points: Points, points: Points, seed: int) -> Estimates:
    ndb, jsd = ndb_jsd(train_points, points, seed=seed)
    return {"ndb": Estimate(ndb), "jsd": Estimate(jsd)}


def _label_scores(
    predictions: Mapping[ClassifierName, Mapping[SoundSet, Predictions]],
    name: SoundSet,
    train_labels: Sequence[str],
    seed: int,
) -> Estimates:
    """Accuracy of both classifiers where labels were requested, and scores of the labels that the first predicts."""
    estimates = Estimates()
    for classifier, key in ((ClassifierName.FIRST, "accuracy"), (ClassifierName.SECOND, "second_accuracy")):
        if classifier in predictions and (n := predictions[classifier][name].n_requested):
            n_correct = predictions[classifier][name].n_correct
            estimates[key] = Estimate(n_correct / n, *wilson_interval(n_correct, n))
    if ClassifierName.FIRST not in predictions:
        return estimates
    first = predictions[ClassifierName.FIRST][name]
    counts = [list(train_labels).count(label) for label in first.labels]

    def scores(p: NDArray[Any]) -> tuple[float, ...]:
        return inception_score(p), modified_inception_score(p), am_score(p, counts)

    keys = ("inception_score", "modified_inception_score", "am_score")
    return estimates | _estimates(keys, scores, first.probabilities, seed=seed)


def _estimates(
    keys: Sequence[str],
    statistics: Callable[..., Sequence[float]],
    *samples: NDArray[Any],
    seed: int,
    rounds: int = 200,
) -> Estimates:
    """Estimates of statistics of samples, with intervals clipped to the range of each metric."""
    low, high = confidence_interval(statistics, *samples, seed=seed, rounds=rounds)
    rows = zip(keys, statistics(*samples), low, high, strict=True)
    return {key: METRICS[key].clip(*estimate) for key, *estimate in rows}
