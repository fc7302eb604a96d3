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

import numpy as np
from numpy.typing import NDArray
from scipy.spatial.distance import cdist

from benchmarks.common import Figures
from benchmarks.folders.data import MIN_SPLIT, SoundFolder
from soundgan.evaluation.features.classifier import Classifier, classifier_for
from soundgan.evaluation.features.descriptors import Descriptor, describe_all
from soundgan.evaluation.features.embedding import LogMelStatistics, Points
from soundgan.evaluation.features.predictions import ClassifierName, Predictions, classify
from soundgan.evaluation.metrics.confidence import wilson_interval
from soundgan.evaluation.metrics.descriptor_scores import Comparisons, compare
from soundgan.evaluation.metrics.memorization import memorized_fraction, nearest_training_sounds
from soundgan.evaluation.metrics.set_metrics import N_NEIGHBORS, SetMetrics, set_metrics
from soundgan.evaluation.metrics.verdict import verdict
from soundgan.evaluation.score import MEMORIZED_QUANTILE, compare_descriptors, embed
from soundgan.evaluation.sounds import Sounds, stratified_indices

HALVINGS = 20  # of the recordings, for distances and overlaps
DESCRIBED_HALVINGS = 5  # for the goals of the recordings themselves, which take longer
GOALS = (
    Descriptor.ATTACK, Descriptor.TONAL_SHARE, Descriptor.LENGTH, Descriptor.FIRST_SAMPLE, Descriptor.FLUTTER,
    Descriptor.LEVEL,
)  # fmt: skip
Indices = NDArray[np.int64]


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
        points, labels = self._embed(generated), labels_of(generated)
        rounds = [
            set_metrics(self._points[first], points[matching_indices(labels, self._labels[first], rng)])
            for first, _, rng in self._halvings(HALVINGS)
        ]
        train_labels = labels_of(self.folder.train)
        matching = points[matching_indices(labels, train_labels, np.random.default_rng(self.seed))]
        nearest = nearest_training_sounds(generated.waves, self.folder.train.waves, generated.sample_rate)
        predictions = self._classify(generated, self.folder.train_files, "all")
        metrics = self._metrics(rounds, matching, nearest.distance, predictions)
        comparisons = compare_descriptors(generated, self._recordings)
        both = {ClassifierName.FIRST: (predictions, self._predictions)} if predictions and self._predictions else {}
        return {
            "metrics": metrics,
            "goals": dict(zip(("missed", "counted"), count_goals(comparisons), strict=True)),
            "faults": verdict(comparisons, both).faults,
            "label_accuracy": predictions.label_accuracy if predictions else {},
            "descriptors": {label: as_json(part) for label, part in comparisons.items()},
        }

    def score_recordings(self) -> Figures:
        """The same figures of the recordings, as far as they have a meaning.

        Goals compare two halves of each label that has enough recordings; a mean over halvings.
        """
        halvings = list(self._halvings(HALVINGS))
        rounds = [set_metrics(self._points[first], self._points[second]) for first, second, _ in halvings]
        train_points = self._points[: len(self.folder.train)]
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
            "label_accuracy": self._predictions.label_accuracy if self._predictions else {},
        }

    @cached_property
    def _recordings(self) -> Sounds:
        return self.folder.train + self.folder.held_out

    @cached_property
    def _labels(self) -> NDArray[np.str_]:
        return np.array(labels_of(self._recordings))

    @cached_property
    def _points(self) -> Points:
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
    def _predictions(self) -> Predictions | None:
        """Predictions for the held-out recordings, and for those of `_unsplit` by classifiers that never saw them.

        Each of these leaves out one recording of each label; a label's only recording is never left out.
        """
        train, files = self.folder.train, self.folder.train_files
        labels = labels_of(train)
        parts = [self._classify(self.folder.held_out, files, "all")] if len(self.folder.held_out) else []
        several = [i for i in self._unsplit if labels.count(labels[i]) > 1]
        order = [sum(labels[j] == labels[i] for j in several if j < i) for i in several]  # of each within its label
        for k in sorted(set(order)):
            left_out = [i for i, number in zip(several, order, strict=True) if number == k]
            rest = [file for i, file in enumerate(files) if i not in left_out]
            parts.append(self._classify(train[left_out], rest, f"without-{k}"))
        known = [part for part in parts if part is not None]
        return merged(known) if known else None

    def _embed(self, sounds: Sounds) -> Points:
        return embed(sounds, LogMelStatistics(self.folder.seconds))

    def _classify(self, sounds: Sounds, files: Sequence[tuple[Path, str]], name: str) -> Predictions | None:
        """Predictions of a classifier that is trained on some of the files; None for fewer than two labels."""
        if len(self.folder.labels) < 2:
            return None
        classifier = self._classifier(files, name)
        return classify(classifier, sounds.waves, sounds.sample_rate, sounds.labels)

    def _classifier(self, files: Sequence[tuple[Path, str]], name: str) -> Classifier:
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
        rounds: Sequence[SetMetrics],
        points: Points,
        distances: NDArray[np.float64],
        predictions: Predictions | None,
    ) -> dict[str, list[float]]:
        """Values with their 95 % ranges, by key; `points` are as many as training recordings."""
        table = np.array(rounds)
        values = np.stack([table.mean(axis=0), *np.quantile(table, (0.025, 0.975), axis=0)])
        metrics = dict(zip(SetMetrics._fields, values.T.tolist(), strict=True))
        if len(self.folder.held_out):
            real = self._points[len(self.folder.train) :]
            neighbors = min(N_NEIGHBORS, len(self._points) - 1)
            radii = np.partition(cdist(real, self._points), neighbors, axis=1)[:, neighbors]  # the first is itself
            metrics["held_out_coverage"] = [float(np.mean(cdist(real, points).min(axis=1) <= radii))]
        metrics["memorized_fraction"] = [
            memorized_fraction(distances, self._real_distances, quantile=MEMORIZED_QUANTILE)
        ]
        if predictions:
            n, n_correct = predictions.n_requested, predictions.n_correct
            metrics["accuracy"] = [n_correct / n, *wilson_interval(n_correct, n)]
        return metrics


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
