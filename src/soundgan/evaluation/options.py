"""Options of an evaluation."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from soundgan.errors import ModelError
from soundgan.evaluation.features.embedding import Embedding
from soundgan.model import SEEDS
from soundgan.spectral.phase_retrieval import Quality

ProgressCallback = Callable[[str, int, int], None]  # task, steps done, steps in all


@dataclass(frozen=True, kw_only=True)
class EvaluationOptions:
    """Options of an evaluation.

    Raises `ModelError` if `n` or `seed` is out of range.

    Attributes:
        seed: of the first generated sound, and of every random choice.
        test_pattern: file names of the held-out sounds. None: for a model, what its training excluded; for a folder,
            a random half.
        embedding: space of the distances; None: `LogMelStatistics`.
        classifier_folder: cache of the classifier of labels.
        n: sounds to generate with a model; None: as many as held-out sounds.
        quality: of the phase retrieval of a model.
        uniform_labels: generate all labels equally often, instead of as often as in the held-out sounds.
        quick: skip the comparison with all training sounds, for which as many sounds are generated.
        progress: called with the current task, and the steps done and in all.
    """

    seed: int = 0
    test_pattern: str | None = None
    embedding: Embedding | None = None
    classifier_folder: Path | None = None
    n: int | None = None
    quality: Quality = "balanced"
    uniform_labels: bool = False
    quick: bool = False
    progress: ProgressCallback = lambda task, done, total: None

    def __post_init__(self) -> None:
        if self.n is not None and not 2 <= self.n <= SEEDS:
            raise ModelError(f"n = {self.n}: must be from 2 to {SEEDS}")
        if not 0 <= self.seed < SEEDS:
            raise ModelError(f"seed = {self.seed}: must be from 0 to {SEEDS - 1}")
