"""Verdict of an evaluation: the headline names what is worst, and no average hides a label."""

from __future__ import annotations

from soundgan.evaluation.features.descriptors import Descriptor
from soundgan.evaluation.metrics.descriptor_scores import Comparison, Comparisons
from soundgan.evaluation.metrics.verdict import verdict

LIKE_RECORDINGS = {Descriptor.ATTACK: Comparison(5.0, 5.2, 0.8, "")}


def faulty(fault: str, distance: float) -> Comparisons:
    return {Descriptor.ATTACK: Comparison(5.0, 16.0, distance, fault)}


def test_label_that_is_not_recognized_is_the_headline() -> None:
    labels = {"footsteps": LIKE_RECORDINGS, "weapons": LIKE_RECORDINGS}
    result = verdict(labels, {"footsteps": 1.0, "weapons": 0.0}, {"footsteps": 1.0, "weapons": 0.9})
    assert result.headline == "Not usable: weapons cannot be recognized."
    assert result.faults == {"footsteps": [], "weapons": ["label is recognized in 0 %, recordings 90 %"]}


def test_sounds_without_faults_are_usable() -> None:
    result = verdict({"hat": LIKE_RECORDINGS}, {"hat": 0.9}, {"hat": 0.95})
    assert result.usable and result.headline.startswith("Usable")


def test_faults_are_listed_from_the_farthest_distribution_on() -> None:
    comparisons = faulty("attacks are soft", 2.0) | {
        Descriptor.LENGTH: Comparison(0.2, 0.5, 7.0, "sounds are too long"),
        Descriptor.LEVEL: Comparison(-3.0, -3.1, 1.0, ""),
    }
    result = verdict({"hat": comparisons, "kick": LIKE_RECORDINGS}, {}, {})
    assert result.faults["hat"] == ["sounds are too long", "attacks are soft"]
    assert not result.usable and result.headline == "Not usable yet: 1 of 2 labels have faults."


def test_unlabeled_sounds_have_their_worst_fault_in_the_headline() -> None:
    assert verdict({"": faulty("attacks are soft", 2.0)}, {}, {}).headline == "Not usable yet: attacks are soft."


def test_label_that_recordings_are_not_recognized_by_is_no_fault() -> None:
    assert verdict({"hat": LIKE_RECORDINGS}, {"hat": 0.0}, {"hat": 0.0}).usable
