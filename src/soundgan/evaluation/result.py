"""What an evaluation found, and everything that a report needs."""

from __future__ import annotations

import platform
from collections import Counter
from dataclasses import dataclass, field
from importlib.metadata import PackageNotFoundError, version
from typing import Any

from soundgan.evaluation.data import Real, Sounds
from soundgan.evaluation.score import Scores
from soundgan.version import __version__

_PACKAGES = ("numpy", "scipy", "onnxruntime", "soundfile", "soxr", "torch")


@dataclass(frozen=True)
class Evaluation:
    """A judgement with the sounds that it is about, and all that is needed to make it again.

    Attributes:
        subject: what made the sounds: the name of a model, or a folder.
        judgement: the figures.
        made: the generated sounds, `n` of them.
        real: training and test sounds, whether the latter were unseen, and what was left out.
        conditions: seed, quality, test patterns, folder, versions.
        notes: what a reader should know, each a sentence.
    """

    subject: str
    judgement: Scores
    made: Sounds
    real: Real
    conditions: dict[str, Any]
    notes: list[str] = field(default_factory=list)

    def as_json(self) -> dict[str, Any]:
        """Everything but the sounds, as values that JSON knows."""
        judged, real, made, known = self.judgement, self.real, self.made.names, self.real.known.names
        return {
            "subject": self.subject,
            "conditions": self.conditions,
            "embedding": judged.embedding,
            "sounds": {
                "generated": len(self.made),
                "training": len(real.training),
                "test": len(real.test),
                "test_unseen": real.unseen,
                "compared": judged.size,
                "skipped": dict(Counter(item.kind for item in real.skipped)),
            },
            "rows": [
                {
                    "what": row.what,
                    "n": row.n,
                    "figures": {key: figure._asdict() for key, figure in row.figures.items()},
                }
                for row in judged.rows
            ],
            "heard": {
                what: {"labels": one.labels, "shares": one.shares, "confusion": one.confusion.tolist()}
                for what, one in judged.heard.items()
            },
            "nearest": {
                "limit": judged.limit,
                "pairs": [
                    {"generated": made[pair.made], "real": known[pair.known], "distance": pair.distance}
                    for pair in judged.pairs[:20]
                ],
            },
            "notes": self.notes,
        }


def versions() -> dict[str, str]:
    """Versions of everything that figures may depend on, where it is installed."""
    found = {"soundgan": __version__, "python": platform.python_version()}
    for package in _PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            continue
    return found
