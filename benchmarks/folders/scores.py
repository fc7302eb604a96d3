"""Scores of the sounds of an entrant, and of the recordings themselves, by the metrics of `soundgan.evaluation`.

Distances and overlaps compare a random half of all recordings of a folder with as many generated sounds of the same
labels, and for the recordings with the other half. Labels of few recordings have no held-out ones; for these the
recordings' memorization and label accuracy are leave-one-out.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.spatial.distance import cdist

from benchmarks.common import Figures
from benchmarks.folders.data import MIN_SPLIT, SoundFolder
from soundgan.evaluation.features.classifier import Classifier, classifier_for
from soundgan.evaluation.features.descriptors import Descriptor, describe_all
from soundgan.evaluation.features.embedding import LogMelStatistics, Points
from soundgan.evaluation.features.kernel_classifier import KernelClassifier
from soundgan.evaluation.features.linear_cepstra import LinearCepstra
from soundgan.evaluation.features.predictions import ClassifierName, Predictions, classify, count_predictions
from soundgan.evaluation.metrics.confidence import wilson_interval
from soundgan.evaluation.metrics.descriptor_scores import Comparisons, compare
from soundgan.evaluation.metrics.memorization import memorized_fraction, nearest_training_sounds
from soundgan.evaluation.metrics.set_metrics import N_NEIGHBORS, SetMetrics, kernel_distance, set_metrics
from soundgan.evaluation.metrics.verdict import verdict
from soundgan.evaluation.score import MEMORIZED_QUANTILE, compare_descriptors, embed
from soundgan.evaluation.sounds import Sounds, stratified_indices

HALVINGS = 20  # of the recordings, for distances and overlaps
DESCRIBED_HALVINGS = 5  # for the goals of the recordings themselves, which take longer
GOALS = (
    Descriptor.ATTACK, Descriptor.TONAL_SHARE, Descriptor.LENGTH, Descriptor.FIRST_SAMPLE, Descriptor.FLUTTER,
    Descriptor.LEVEL,
)  # fmt: skip
DISTANCES = (*SetMetrics._fields, "second_kernel_distance")  # keys
ACCURACIES = {ClassifierName.FIRST: "accuracy", ClassifierName.SECOND: "second_accuracy"}  # keys
Indices = NDArray[np.int64]


class PointsOfSounds(NamedTuple):
    """Sounds as points of two spaces: log-mel statistics, and the features of the second classifier."""

    log_mel: Points
    cepstra: Points

    def at(self, indices: Indices) -> PointsOfSounds:
        """The points of some sounds."""
        return PointsOfSounds(self.log_mel[indices], self.cepstra[indices])


@dataclass(frozen=True)
class Scorer:
    """Scores of sounds beside the recordings of a folder.

    Args:
        cache: folder of the classifiers of labels.
        seed: of every random choice.
    """

    folder: SoundFolder
    cache: Path
    seed: int

    def score_generated(self, generated: Sounds) -> Figures:
        """Figures of generated sounds: `metrics`, `goals`, `descriptors` and `faults` by label, `label_accuracy`."""
        points, labels, train = self._embed(generated), labels_of(generated), self.folder.train
        rounds = [
            distances(self._points.at(first), points.at(matching_indices(labels, self._labels[first], rng)))
            for first, _, rng in self._halvings(HALVINGS)
        ]
        matching = matching_indices(labels, labels_of(train), np.random.default_rng(self.seed))
        nearest = nearest_training_sounds(generated.waves, train.waves, generated.sample_rate)
        predictions = self._classify(generated, range(len(train)), "all")
        metrics = self._metrics(rounds, points.log_mel[matching], nearest.distance, predictions)
        comparisons = compare_descriptors(generated, self._recordings)
        known = {name: (predictions[name], real) for name, real in self._predictions.items()}
        return {
            "metrics": metrics,
            "goals": dict(zip(("missed", "counted"), count_goals(comparisons), strict=True)),
            "faults": verdict(comparisons, known).faults,
            "label_accuracy": label_accuracies(predictions),
            "descriptors": {label: as_json(part) for label, part in comparisons.items()},
        }

    def score_recordings(self) -> Figures:
        """The same figures of the recordings, as far as they have a meaning.

        Goals compare two halves of each label that has enough recordings; a mean over halvings.
        """
        halvings = list(self._halvings(HALVINGS))
        rounds = [distances(self._points.at(first), self._points.at(second)) for first, second, _ in halvings]
        train_points = self._points.log_mel[: len(self.folder.train)]
        metrics = self._metrics(rounds, train_points, self._real_distances, self._predictions)
        counts = Counter(self._labels.tolist())
        described = describe_all(self._recordings.waves, self.folder.sample_rate, math.nan)
        described |= {Descriptor.LEVEL: np.array(self._recordings.peaks_db, np.float64)}
        goals = []
        for first, second, _ in halvings[:DESCRIBED_HALVINGS]:
            comparisons = dict[str, Comparisons]()
            for label in (label for label, count in counts.items() if count >= MIN_SPLIT):
                halves = (half[self._labels[half] == label] for half in (first, second))
                real, other = ({key: values[half] for key, values in described.items()} for half in halves)
                comparisons[label] = compare(real, other, seed=self.seed)
            goals.append(count_goals(comparisons))
        missed, counted = np.mean(goals, axis=0)
        return {
            "metrics": metrics,
            "goals": {"missed": float(missed), "counted": float(counted)},
            "label_accuracy": label_accuracies(self._predictions),
        }

    @cached_property
    def _recordings(self) -> Sounds:
        return self.folder.train + self.folder.held_out

    @cached_property
    def _labels(self) -> NDArray[np.str_]:
        return np.array(labels_of(self._recordings))

    @cached_property
    def _cepstra(self) -> LinearCepstra:
        return LinearCepstra(self.folder.train.waves, self.folder.sample_rate)

    @cached_property
    def _points(self) -> PointsOfSounds:
        return self._embed(self._recordings)

    @cached_property
    def _unsplit(self) -> Indices:
        """Indices of the training recordings whose label has no held-out ones."""
        split = {*labels_of(self.folder.held_out)}
        return np.array([i for i, label in enumerate(labels_of(self.folder.train)) if label not in split], np.int64)

    @cached_property
    def _real_distances(self) -> NDArray[np.float64]:
        """Distance of each held-out recording to the nearest training recording, and of `_unsplit` to any other."""
        train, held_out, rate = self.folder.train.waves, self.folder.held_out.waves, self.folder.sample_rate
        parts = [nearest_training_sounds(held_out, train, rate).distance] if len(held_out) else []
        for i in self._unsplit:
            others = [wave for j, wave in enumerate(train) if j != i]
            parts.append(nearest_training_sounds([train[i]], others, rate).distance)
        return np.concatenate(parts)

    @cached_property
    def _predictions(self) -> dict[ClassifierName, Predictions]:
        """Predictions for the held-out recordings, and for those of `_unsplit` by classifiers that never saw them.

        Each of these leaves out one recording of each label; a label's only recording is never left out.
        """
        train, held_out = self.folder.train, self.folder.held_out
        labels = labels_of(train)
        parts = [self._classify(held_out, range(len(train)), "all")] if len(held_out) else []
        several = [i for i in self._unsplit if labels.count(labels[i]) > 1]
        order = [sum(labels[j] == labels[i] for j in several if j < i) for i in several]  # of each within its label
        for k in sorted(set(order)):
            left_out = [i for i, number in zip(several, order, strict=True) if number == k]
            rest = [i for i in range(len(train)) if i not in left_out]
            parts.append(self._classify(train[left_out], rest, f"without-{k}"))
        names = parts[0] if parts else ()
        return {name: merged([part[name] for part in parts]) for name in names}

    def _embed(self, sounds: Sounds) -> PointsOfSounds:
        log_mel = embed(sounds, LogMelStatistics(self.folder.seconds))
        return PointsOfSounds(log_mel, self._cepstra.embed(sounds.waves))

    def _classify(self, sounds: Sounds, used: Sequence[int], name: str) -> dict[ClassifierName, Predictions]:
        """Predictions of both classifiers, trained on the training recordings of some indices.

        There are none for fewer than two labels.
        """
        if len(self.folder.labels) < 2:
            return {}
        train, files = self.folder.train[used], self.folder.train_files
        first = self._first_classifier([files[i] for i in used], name)
        cepstra = LinearCepstra(train.waves, train.sample_rate)
        second = KernelClassifier(cepstra.reference, train.labels, self.seed)
        probabilities = second.predict(cepstra.embed(sounds.waves))
        return {
            ClassifierName.FIRST: classify(first, sounds.waves, sounds.sample_rate, sounds.labels),
            ClassifierName.SECOND: count_predictions(second.labels, probabilities, sounds.labels),
        }

    def _first_classifier(self, files: Sequence[tuple[Path, str]], name: str) -> Classifier:
        return classifier_for(files, self.cache / name, sample_rate=self.folder.sample_rate)

    def _halvings(self, count: int) -> Iterator[tuple[Indices, Indices, np.random.Generator]]:
        """Random halves of all recordings, stratified by label, and a generator of random numbers for each."""
        half = len(self._recordings) // 2
        for round_seed in range(self.seed, self.seed + count):
            rng = np.random.default_rng(round_seed)
            first = stratified_indices(self._labels.tolist(), half, round_seed)
            rest = np.setdiff1d(np.arange(len(self._recordings)), first)
            yield first, rng.permutation(rest)[:half], rng

    def _metrics(
        self,
        rounds: Sequence[Sequence[float]],
        points: Points,
        nearest: NDArray[np.float64],
        predictions: Mapping[ClassifierName, Predictions],
    ) -> dict[str, list[float]]:
        """Values with their 95 % ranges, by key.

        Args:
            rounds: values of `DISTANCES` for each halving.
            points: log-mel statistics of as many sounds as there are training recordings.
            nearest: distance of each sound to the nearest training recording.
            predictions: of each classifier.
        """
        table = np.array(rounds)
        values = np.stack([table.mean(axis=0), *np.quantile(table, (0.025, 0.975), axis=0)])
        metrics = dict(zip(DISTANCES, values.T.tolist(), strict=True))
        if len(self.folder.held_out):
            everything = self._points.log_mel
            real, neighbors = everything[len(self.folder.train) :], min(N_NEIGHBORS, len(everything) - 1)
            radii = np.partition(cdist(real, everything), neighbors, axis=1)[:, neighbors]  # the first is itself
            metrics["held_out_coverage"] = [float(np.mean(cdist(real, points).min(axis=1) <= radii))]
        metrics["memorized_fraction"] = [memorized_fraction(nearest, self._real_distances, MEMORIZED_QUANTILE)]
        for name, part in predictions.items():
            share = part.n_correct / part.n_requested
            metrics[ACCURACIES[name]] = [share, *wilson_interval(part.n_correct, part.n_requested)]
        return metrics


def distances(real: PointsOfSounds, others: PointsOfSounds) -> list[float]:
    """Values of `DISTANCES` of two sets of as many sounds."""
    return [*set_metrics(real.log_mel, others.log_mel), kernel_distance(real.cepstra, others.cepstra)]


def labels_of(sounds: Sounds) -> list[str]:
    """Label of each sound; "" for sounds without labels."""
    return [*sounds.labels] or [""] * len(sounds)


def matching_indices(
    labels: Sequence[str], wanted: Sequence[str] | NDArray[np.str_], rng: np.random.Generator
) -> Indices:
    """Random indices of `labels`, of each label as many as are wanted."""
    chosen, order = [], rng.permutation(len(labels))
    for label, count in sorted(Counter(wanted).items()):
        chosen += [i for i in order if labels[i] == label][:count]
    return np.array(chosen, np.int64)


def label_accuracies(predictions: Mapping[ClassifierName, Predictions]) -> Figures:
    """Label accuracy of each label, by each classifier."""
    return {name: part.label_accuracy for name, part in predictions.items()}


def merged(parts: Sequence[Predictions]) -> Predictions:
    """Predictions of several sets of sounds, by classifiers of the same labels, as one."""
    return parts[0]._replace(
        probabilities=np.concatenate([part.probabilities for part in parts]),
        confusion=np.sum([part.confusion for part in parts], axis=0),
        n_requested=sum(part.n_requested for part in parts),
    )


def count_goals(comparisons: Mapping[str, Comparisons]) -> tuple[int, int]:
    """Number of goals missed, and of those that can be compared, over all labels."""
    goals = [part[goal] for part in comparisons.values() for goal in GOALS if goal in part]
    return sum(bool(goal.fault) for goal in goals), len(goals)


def as_json(comparisons: Comparisons) -> dict[str, list[float | str | None]]:
    """Median of the recordings, of the generated sounds, their distance and the fault; None for NaN."""
    return {key: [None if value != value else value for value in comparison] for key, comparison in comparisons.items()}
