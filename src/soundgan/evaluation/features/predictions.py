"""Predicted labels of sounds, by a classifier trained on the real sounds and cached in a folder."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numpy.typing import NDArray

from soundgan import audio
from soundgan.errors import DataError

if TYPE_CHECKING:
    from soundgan.evaluation.data import Sounds
    from soundgan.evaluation.features.classifier import Classifier

MAX_SAMPLE_RATE = 22050  # Hz, of the classifier's input


class Predictions(NamedTuple):
    """Predictions for a set of sounds.

    Attributes:
        labels: labels of the classifier.
        probabilities: (n, labels), rows sum to 1.
        confusion: (labels, labels), counts; rows: requested, columns: predicted labels.
        n_requested: number of sounds with a requested label, which may be unknown to the classifier.
    """

    labels: list[str]
    probabilities: NDArray[np.float32]
    confusion: NDArray[np.int64]
    n_requested: int

    @property
    def n_correct(self) -> int:
        """Number of sounds whose predicted label is the requested one."""
        return int(np.trace(self.confusion))

    @property
    def label_accuracy(self) -> dict[str, float]:
        """Share of correct predictions for each requested label."""
        counts = self.confusion.sum(axis=1)
        rows = enumerate(zip(self.labels, counts, strict=True))
        return {label: float(self.confusion[i, i] / count) for i, (label, count) in rows if count}


def classifier_for(
    files: Sequence[tuple[Path, str]],
    cache: Path | None = None,
    *,
    sample_rate: int | None = None,
    seconds: float | None = None,
    progress: Callable[[str, int, int], None] | None = None,
) -> Classifier:
    """Load the classifier of exactly these files from the folder `cache`, or train one and save it there.

    Args:
        files: training files and their labels.
        sample_rate, seconds: as in `train_classifier`; at most 22050 Hz.

    Raises:
        DataError: the cache has a classifier of other files, which may include held-out sounds.
        ModelError: the cache is damaged.
        ModuleNotFoundError: PyTorch is not installed.
    """
    from soundgan.evaluation.features.classifier import Classifier, default_epochs, train_classifier, training_record

    epochs = default_epochs(len(files))
    rate = None if sample_rate is None else min(MAX_SAMPLE_RATE, sample_rate)
    if cache is not None and cache.is_dir() and any(cache.iterdir()):
        classifier = Classifier.load(cache)
        same_training = classifier.training == training_record(files, seed=0, epochs=epochs)
        frontend = classifier.frontend
        if not same_training or rate not in (None, frontend.sample_rate) or seconds not in (None, frontend.seconds):
            raise DataError(
                f"{cache}: a classifier of other files, sample rate, length, seed or number of epochs; delete it or "
                "choose another folder"
            )
        return classifier
    if progress is not None:
        progress("Training the classifier", 0, epochs)  # the first epoch may take long
    classifier = train_classifier(
        files, epochs=epochs, sample_rate=rate, seconds=seconds,
        progress=progress and (lambda epoch, _: progress("Training the classifier", epoch, epochs)),
    )  # fmt: skip
    if cache is not None:
        classifier.save(cache)
    return classifier


def classify(classifier: Classifier, sounds: Sounds) -> Predictions:
    """Predict the labels of sounds; a requested label that the classifier does not know counts as an error."""
    waves = [audio.resample(wave, sounds.sample_rate, classifier.frontend.sample_rate) for wave in sounds.waves]
    predicted, probabilities = classifier.predict(waves)
    labels = classifier.labels
    confusion = np.zeros((len(labels), len(labels)), np.int64)
    for requested, prediction in zip(sounds.labels or [None] * len(predicted), predicted, strict=True):
        if requested in labels:
            confusion[labels.index(requested), labels.index(prediction)] += 1
    return Predictions(labels, probabilities, confusion, len(sounds.labels))
