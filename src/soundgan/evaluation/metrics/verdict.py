"""Verdict on generated sounds in plain words: would a sound designer use them, and what is wrong?"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from soundgan.evaluation.metrics.descriptor_scores import Comparisons

MIN_RECOGNIZED = 0.5  # times the label accuracy of recordings: labels below it are not recognized at all
MIN_LIKE_RECORDINGS = 0.9  # times the label accuracy of recordings: labels below it are a fault


class Verdict(NamedTuple):
    """Verdict on generated sounds.

    Attributes:
        usable: no label has a fault.
        headline: a sentence.
        faults: by label, the worst first; "" without labels. Empty for labels without faults.
    """

    usable: bool
    headline: str
    faults: dict[str, list[str]]


def verdict(
    descriptors: Mapping[str, Comparisons],
    generated_accuracy: Mapping[str, float],
    real_accuracy: Mapping[str, float],
) -> Verdict:
    """Return the verdict of an evaluation.

    A label that is not recognized is in the headline: an average over labels would hide it.

    Args:
        descriptors: comparisons by label.
        generated_accuracy: label accuracy of the generated sounds by label, where known.
        real_accuracy: the same of held-out recordings.
    """
    faults, unrecognized = dict[str, list[str]](), list[str]()
    for label, comparisons in descriptors.items():
        by_distance = sorted(comparisons.values(), key=lambda comparison: -comparison.distance)
        faults[label] = [comparison.fault for comparison in by_distance if comparison.fault]
        share, real_share = generated_accuracy.get(label), real_accuracy.get(label)
        if share is None or not real_share or share >= MIN_LIKE_RECORDINGS * real_share:
            continue
        if share < MIN_RECOGNIZED * real_share:
            unrecognized.append(label)
        faults[label].insert(0, f"label is recognized in {share * 100:.0f} %, recordings {real_share * 100:.0f} %")
    faulty = [label for label, items in faults.items() if items]
    if unrecognized:
        headline = f"Not usable: {', '.join(unrecognized)} cannot be recognized."
    elif not faulty:
        headline = "Usable: no descriptor differs audibly from the recordings."
    elif faulty == [""]:
        headline = f"Not usable yet: {faults[''][0]}."
    else:
        headline = f"Not usable yet: {len(faulty)} of {len(faults)} labels have faults."
    return Verdict(not faulty, headline, faults)
