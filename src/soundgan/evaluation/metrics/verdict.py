"""Verdict on generated sounds in plain words: would a sound designer use them, and what is wrong?"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import NamedTuple

from soundgan.evaluation.features.predictions import ClassifierName, Predictions
from soundgan.evaluation.metrics.confidence import wilson_interval
from soundgan.evaluation.metrics.descriptor_scores import Comparisons

MIN_RECOGNIZED = 0.5  # times the label accuracy of recordings: labels below it are not recognized at all
MIN_LIKE_RECORDINGS = 0.9  # times the label accuracy of recordings: labels below it are a fault
FEW_DESCRIBED = 40  # sounds of a label below which faults may go unnoticed; see docs/decisions/evaluation.md


class Verdict(NamedTuple):
    """Verdict on generated sounds.

    Attributes:
        usable: no label has a fault, and each has enough sounds to exclude one.
        headline: a sentence.
        faults: by label, the worst first; "" without labels. Empty for labels without faults.
    """

    usable: bool
    headline: str
    faults: dict[str, list[str]]


def verdict(
    descriptors: Mapping[str, Comparisons],
    predictions: Mapping[ClassifierName, tuple[Predictions, Predictions]],
    n_described: Mapping[str, int] | None = None,
) -> Verdict:
    """Return the verdict of an evaluation.

    A label that one of the classifiers does not recognize is in the headline: an average over labels or classifiers
    would hide it.

    Args:
        descriptors: comparisons by label.
        predictions: of each classifier, for the generated sounds and for held-out recordings.
        n_described: number of the generated or the real sounds of each label, whichever is smaller, where known.
    """
    faults, unrecognized = dict[str, list[str]](), dict[str, list[ClassifierName]]()
    for label, comparisons in descriptors.items():
        by_distance = sorted(comparisons.values(), key=lambda comparison: -comparison.distance)
        faults[label] = [comparison.fault for comparison in by_distance if comparison.fault]
        for name, (generated, real) in predictions.items():
            shares = _lower_accuracy(label, generated, real)
            if shares is None or shares[0] >= MIN_LIKE_RECORDINGS * shares[1]:
                continue
            if shares[0] < MIN_RECOGNIZED * shares[1]:
                unrecognized.setdefault(label, []).append(name)
            percent, real_percent = (f"{100 * share:.0f} %" for share in shares)
            fault = f"label is recognized in {percent} by the {name} classifier, recordings {real_percent}"
            faults[label].insert(0, fault)
    few = [label for label, n in (n_described or {}).items() if n < FEW_DESCRIBED]
    faulty = [label for label, items in faults.items() if items]
    return Verdict(not faulty and not few, _headline(faults, unrecognized, few), faults)


def _lower_accuracy(label: str, generated: Predictions, real: Predictions) -> tuple[float, float] | None:
    """Label accuracy of generated sounds and of recordings, if the former is lower by more than chance.

    By chance are differences whose 95 % confidence interval (Newcombe 1998, from two Wilson intervals) includes 0.
    """
    both = [predictions.label_counts for predictions in (generated, real)]
    if not all(label in counts for counts in both):
        return None
    share, real_share = (n_correct / n for n_correct, n in (counts[label] for counts in both))
    (_, high), (real_low, _) = (wilson_interval(*counts[label]) for counts in both)
    chance = math.hypot(high - share, real_share - real_low)
    return (share, real_share) if real_share - share > chance else None


def _headline(faults: Mapping[str, list[str]], unrecognized: Mapping[str, list[ClassifierName]], few: list[str]) -> str:
    faulty = [label for label, items in faults.items() if items]
    if unrecognized:
        labels = (
            f"{label} ({f'{names[0]} classifier' if len(names) == 1 else 'both classifiers'})"
            for label, names in unrecognized.items()
        )
        return f"Not usable: {', '.join(labels)} cannot be recognized."
    if not faulty and few:
        which = f" of {', '.join(few)}" if few != [""] else ""
        return f"No fault is detected, but fewer than {FEW_DESCRIBED} sounds{which} are too few to exclude one."
    if not faulty:
        return "Usable: no descriptor differs audibly from the recordings."
    if faulty == [""]:
        return f"Not usable yet: {faults[''][0]}."
    return f"Not usable yet: {len(faulty)} of {len(faults)} labels have faults."
