"""Result of an evaluation: scores, sounds and conditions."""

from __future__ import annotations

import platform
from collections import Counter
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from typing import Any

from soundgan.evaluation.metrics.catalog import SoundSet
from soundgan.evaluation.metrics.verdict import Verdict, verdict
from soundgan.evaluation.score import Scores
from soundgan.evaluation.sounds import RealSplit, Sounds
from soundgan.version import __version__

PACKAGES = ("numpy", "scipy", "onnxruntime", "soundfile", "soxr", "torch")
MAX_JSON_PAIRS = 20


@dataclass(frozen=True)
class Evaluation:
    """Scores with the sounds, and the conditions needed to reproduce them.

    Attributes:
        subject: name of the model, or of the folder of generated sounds.
        generated: generated sounds; their labels are the requested ones, if any.
        real: real sounds, at the same rate and length.
        scores: the metrics.
        conditions: seed, quality, test patterns, folder, versions.
        notes: limitations of the scores, a sentence each.
    """

    subject: str
    generated: Sounds
    real: RealSplit
    scores: Scores
    conditions: dict[str, Any]
    notes: list[str]

    @property
    def skipped(self) -> dict[str, int]:
        """Number of skipped files of each kind."""
        return dict(Counter(item.reason for item in self.real.skipped))

    @property
    def verdict(self) -> Verdict:
        """Faults of each label, and whether there are any."""
        predictions = {
            name: (sets[SoundSet.GENERATED], sets[SoundSet.REAL_BASELINE])
            for name, sets in self.scores.predictions.items()
        }
        return verdict(self.scores.descriptors, predictions, self.scores.n_described)

    def as_json(self) -> dict[str, Any]:
        """JSON-serializable values of everything but the sounds."""
        scores, real = self.scores, self.real
        names, real_names = self.generated.names, real.possible_training_sounds.names
        return {
            "subject": self.subject,
            "conditions": self.conditions,
            "verdict": self.verdict._asdict(),
            "embedding": scores.embedding,
            "sounds": {
                "generated": len(self.generated),
                "train": len(real.train),
                "held_out": len(real.held_out),
                "held_out_unseen": real.held_out_is_unseen,
                "compared": scores.size,
                "skipped": self.skipped,
            },
            "sets": {
                name: {"n": row.n, "metrics": {key: estimate._asdict() for key, estimate in row.estimates.items()}}
                for name, row in scores.table.items()
            },
            "descriptors": {
                label: {
                    name: {key: None if value != value else value for key, value in comparison._asdict().items()}
                    for name, comparison in comparisons.items()
                }
                for label, comparisons in scores.descriptors.items()
            },
            "predictions": {
                classifier: {
                    name: {
                        "labels": predictions.labels,
                        "label_accuracy": predictions.label_accuracy,
                        "confusion": predictions.confusion.tolist(),
                    }
                    for name, predictions in sets.items()
                }
                for classifier, sets in scores.predictions.items()
            },
            "nearest": {
                "memorized_below": scores.memorization_threshold,
                "pairs": [
                    {"generated": names[i], "real": real_names[j], "distance": distance}
                    for i, j, distance in scores.pairs[:MAX_JSON_PAIRS]
                ],
            },
            "notes": self.notes,
        }


def versions() -> dict[str, str]:
    """Versions of the packages that the metrics may depend on, where they are installed."""
    installed = {"soundgan": __version__, "python": platform.python_version()}
    for package in PACKAGES:
        try:
            installed[package] = version(package)
        except PackageNotFoundError:
            continue
    return installed
