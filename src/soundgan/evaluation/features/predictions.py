"""Which labels are heard in sounds: by a classifier that is trained on the real sounds, and kept for the next time."""

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


class Predictions(NamedTuple):
    """What was heard in a set of sounds.

    Shape:
        probabilities (n, labels), rows summing to 1. confusion (labels, labels), counts, rows: asked for, columns:
        heard; all 0 for sounds that were asked for without labels.
    """

    labels: list[str]
    probabilities: NDArray[np.float32]
    confusion: NDArray[np.int64]
    asked: int
    """How many sounds were asked for by a label, which the classifier need not know."""

    @property
    def right(self) -> int:
        """How many sounds were heard as what they were asked for as."""
        return int(np.trace(self.confusion))

    @property
    def shares(self) -> dict[str, float]:
        """The share of right ones of each label that was asked for."""
        asked = self.confusion.sum(axis=1)
        rows = enumerate(zip(self.labels, asked, strict=True))
        return {label: float(self.confusion[i, i] / count) for i, (label, count) in rows if count}


def classifier_for(
    files: Sequence[tuple[Path, str]],
    cache: Path | None = None,
    *,
    sample_rate: int | None = None,
    seconds: float | None = None,
    seed: int = 0,
    epochs: int | None = None,
    threads: int | None = None,
    progress: Callable[[str, int, int], None] | None = None,
) -> Classifier:
    """The classifier of exactly these files from the folder `cache`, or a newly trained one that is put there.

    Args:
        sample_rate, seconds, epochs: as in `train_classifier`; at most 22050 Hz.

    Raises:
        DataError: the cache holds a classifier of other files: it may have learnt the very sounds that test it here.
        ModelError: the cache is damaged.
        ModuleNotFoundError: PyTorch is not installed.
    """
    from soundgan.evaluation.features.classifier import Classifier, train_classifier, training_record, usual_epochs

    paths, labels = [path for path, _ in files], [label for _, label in files]
    epochs = usual_epochs(len(paths)) if epochs is None else epochs
    rate = None if sample_rate is None else min(22050, sample_rate)
    if cache is not None and cache.is_dir() and any(cache.iterdir()):
        classifier = Classifier.load(cache)
        same = classifier.training == training_record(paths, labels, seed=seed, epochs=epochs)
        alike = rate in (None, classifier.view.sample_rate) and seconds in (None, classifier.view.seconds)
        if not same or not alike:
            told = "a classifier of other files, sample rate, length, seed or number of epochs"
            raise DataError(f"{cache}: {told}; delete it or name another")
        return classifier
    if progress is not None:
        progress("Training the classifier", 0, epochs)  # the first epoch may take long
    classifier = train_classifier(
        paths, labels, seed=seed, epochs=epochs, threads=threads, sample_rate=rate, seconds=seconds,
        progress=progress and (lambda epoch, _: progress("Training the classifier", epoch, epochs)),
    )  # fmt: skip
    if cache is not None:
        classifier.save(cache)
    return classifier


def classify(classifier: Classifier, sounds: Sounds) -> Predictions:
    """Listen to sounds at the classifier's own rate; a label that it does not know counts as never heard."""
    waves = [audio.resample(wave, sounds.sample_rate, classifier.view.sample_rate) for wave in sounds.waves]
    heard, probabilities = classifier.predict(waves)
    labels = classifier.labels
    confusion = np.zeros((len(labels), len(labels)), np.int64)
    for asked, told in zip(sounds.labels or [None] * len(heard), heard, strict=True):
        if asked in labels:
            confusion[labels.index(asked), labels.index(told)] += 1
    return Predictions(labels, probabilities, confusion, len(sounds.labels))
