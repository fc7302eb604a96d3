"""Predicted labels of sounds, by the two classifiers."""

from __future__ import annotations

from collections.abc import Sequence
from enum import StrEnum
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from soundgan import audio
from soundgan.evaluation.features.classifier import Classifier
from soundgan.evaluation.features.logmel import Waves


class ClassifierName(StrEnum):
    """A classifier of labels, by its key in JSON and its name in texts."""

    FIRST = "first"
    """A convolutional network on log-mel spectrograms: `features.classifier`."""
    SECOND = "second"
    """Kernel ridge regression on linear-frequency cepstra: `features.kernel_classifier`."""


class Predictions(NamedTuple):
    """Predictions for a set of sounds.

    Attributes:
        labels: labels of the classifier.
        probabilities: (n, labels), rows sum to 1.
        confusion: (labels, labels), counts; rows: requested, columns: predicted labels.
        n_requested: number of sounds with a requested label, which may be unknown to the classifier.
    """

    labels: list[str]
    probabilities: NDArray[np.floating]
    confusion: NDArray[np.int64]
    n_requested: int

    @property
    def n_correct(self) -> int:
        """Number of sounds whose predicted label is the requested one."""
        return int(np.trace(self.confusion))

    @property
    def label_counts(self) -> dict[str, tuple[int, int]]:
        """Correct predictions, and all predictions, for each requested label that the classifier knows."""
        counts = self.confusion.sum(axis=1)
        rows = enumerate(zip(self.labels, counts, strict=True))
        return {label: (int(self.confusion[i, i]), int(count)) for i, (label, count) in rows if count}

    @property
    def label_accuracy(self) -> dict[str, float]:
        """Share of correct predictions for each requested label."""
        return {label: n_correct / n for label, (n_correct, n) in self.label_counts.items()}


def classify(classifier: Classifier, waves: Waves, sample_rate: int, requested_labels: Sequence[str]) -> Predictions:
    """Predict the labels of sounds; a requested label that the classifier does not know counts as an error.

    Args:
        waves: (samples,) each.
        sample_rate: in Hz.
        requested_labels: one for each sound, or none.
    """
    waves = [audio.resample(wave, sample_rate, classifier.frontend.sample_rate) for wave in waves]
    return count_predictions(classifier.labels, classifier.predict(waves), requested_labels)


def count_predictions(
    labels: Sequence[str], probabilities: NDArray[np.floating], requested_labels: Sequence[str]
) -> Predictions:
    """Count the predicted labels for each requested one; see `classify` and `Predictions`."""
    labels = [*labels]
    confusion = np.zeros((len(labels), len(labels)), np.int64)
    for requested, prediction in zip(requested_labels, probabilities.argmax(axis=1), strict=False):
        if requested in labels:
            confusion[labels.index(requested), prediction] += 1
    return Predictions(labels, probabilities, confusion, len(requested_labels))
