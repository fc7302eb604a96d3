"""Verdict of an evaluation: the headline names what is worst, and no average hides a label."""

from __future__ import annotations

import numpy as np

from soundgan.evaluation.features.descriptors import Descriptor
from soundgan.evaluation.features.predictions import ClassifierName, Predictions
from soundgan.evaluation.metrics.descriptor_scores import Comparison, Comparisons
from soundgan.evaluation.metrics.verdict import FEW_DESCRIBED, verdict

FIRST, SECOND = ClassifierName
LIKE_RECORDINGS = {Descriptor.ATTACK: Comparison(5.0, 5.2, 0.8, "")}


def faulty(fault: str, distance: float) -> Comparisons:
    return {Descriptor.ATTACK: Comparison(5.0, 16.0, distance, fault)}


def predictions(n: int = 50, /, **correct: int) -> Predictions:
    """Predictions of which so many of `n` for each label are correct; the others are of another label."""
    labels = [*correct, "other"]
    confusion = np.zeros((len(labels), len(labels)), np.int64)
    for row, count in enumerate(correct.values()):
        confusion[row, row], confusion[row, -1] = count, n - count
    return Predictions(labels, np.empty((0, len(labels))), confusion, n * len(correct))


def test_label_that_both_classifiers_do_not_recognize_is_the_headline() -> None:
    labels = {"footsteps": LIKE_RECORDINGS, "weapons": LIKE_RECORDINGS}
    pair = predictions(footsteps=50, weapons=0), predictions(footsteps=50, weapons=45)
    result = verdict(labels, {FIRST: pair, SECOND: pair})
    assert result.headline == "Not usable: weapons (both classifiers) cannot be recognized."
    assert not result.usable and result.faults["footsteps"] == []
    assert sorted(result.faults["weapons"]) == [
        "label is recognized in 0 % by the first classifier, recordings 90 %",
        "label is recognized in 0 % by the second classifier, recordings 90 %",
    ]


def test_label_counts_as_recognized_only_if_both_classifiers_recognize_it() -> None:
    labels, real = {"hat": LIKE_RECORDINGS, "kick": LIKE_RECORDINGS}, predictions(hat=48, kick=48)
    good, bad, worse = predictions(hat=47, kick=48), predictions(hat=37, kick=48), predictions(hat=20, kick=48)
    for name, other in ((FIRST, SECOND), (SECOND, FIRST)):
        result = verdict(labels, {name: (worse, real), other: (good, real)})
        assert result.headline == f"Not usable: hat ({name} classifier) cannot be recognized."
        result = verdict(labels, {name: (bad, real), other: (good, real)})
        assert result.headline == "Not usable yet: 1 of 2 labels have faults."
        assert result.faults["hat"] == [f"label is recognized in 74 % by the {name} classifier, recordings 96 %"]
    assert verdict(labels, {FIRST: (good, real), SECOND: (good, real)}).usable


def test_lower_label_accuracy_of_few_recordings_may_be_chance() -> None:
    labels = {"clap": LIKE_RECORDINGS}
    assert verdict(labels, {FIRST: (predictions(clap=42), predictions(1, clap=1))}).usable
    assert not verdict(labels, {FIRST: (predictions(clap=2), predictions(1, clap=1))}).usable
    assert not verdict(labels, {FIRST: (predictions(clap=35), predictions(clap=50))}).usable


def test_sounds_without_faults_are_usable() -> None:
    result = verdict({"hat": LIKE_RECORDINGS}, {FIRST: (predictions(hat=48), predictions(hat=50))}, {"hat": 50})
    assert result.usable and result.headline.startswith("Usable")


def test_too_few_sounds_without_faults_are_not_called_usable() -> None:
    labels = {"hat": LIKE_RECORDINGS, "kick": LIKE_RECORDINGS}
    result = verdict(labels, {}, {"hat": FEW_DESCRIBED - 1, "kick": FEW_DESCRIBED})
    assert not result.usable
    assert result.headline == "No fault is detected, but fewer than 40 sounds of hat are too few to exclude one."
    result = verdict({"": LIKE_RECORDINGS}, {}, {"": 3})
    assert result.headline == "No fault is detected, but fewer than 40 sounds are too few to exclude one."
    assert verdict({"": faulty("attacks are soft", 2.0)}, {}, {"": 3}).headline == "Not usable yet: attacks are soft."


def test_faults_are_listed_from_the_farthest_distribution_on() -> None:
    comparisons = faulty("attacks are soft", 2.0) | {
        Descriptor.LENGTH: Comparison(0.2, 0.5, 7.0, "sounds are too long"),
        Descriptor.LEVEL: Comparison(-3.0, -3.1, 1.0, ""),
    }
    result = verdict({"hat": comparisons, "kick": LIKE_RECORDINGS}, {})
    assert result.faults["hat"] == ["sounds are too long", "attacks are soft"]
    assert not result.usable and result.headline == "Not usable yet: 1 of 2 labels have faults."


def test_unlabeled_sounds_have_their_worst_fault_in_the_headline() -> None:
    assert verdict({"": faulty("attacks are soft", 2.0)}, {}).headline == "Not usable yet: attacks are soft."


def test_label_that_recordings_are_not_recognized_by_is_no_fault() -> None:
    assert verdict({"hat": LIKE_RECORDINGS}, {FIRST: (predictions(hat=0), predictions(hat=0))}).usable
