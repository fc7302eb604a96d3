"""How good the sounds of a training are by now, measured on audio: what decides which Generator is kept.

The same few hundred latents every time, brought to sound, against as many recordings brought to sound in the same way;
compared by the log-mel statistics that `soundgan evaluate` uses too. A few seconds' work, a sketch of an evaluation.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.spatial.distance import cdist

from soundgan.data.dataset import Dataset
from soundgan.evaluation.features.embedding import LogMelStatistics
from soundgan.evaluation.metrics.set_metrics import set_metrics
from soundgan.settings import Settings
from soundgan.spectral.representation import Spectrogram, synthesize
from soundgan.training.networks.base import Generator
from soundgan.training.runtime.rng import StepRNG
from soundgan.training.state.state import GeneratorInputs

MOST = 384  # sounds compared in a check
COPYING = 0.3  # share of copies that is told; of recordings themselves, a twentieth counts as a copy of another
LEAST_REACHED = 1e-4  # product of recall and coverage below which the distance alone tells Generators apart
AT_ONCE = 32  # sounds made in one go: more would need much memory where they are long


class ValidationResult(NamedTuple):
    """What a check found.

    Attributes:
        seen: samples seen by then.
        frechet: Fréchet distance of the log-mel statistics; the lower the better.
        precision, recall, coverage: see `soundgan.evaluation.metrics.prdc`.
        copies: share of made sounds that are nearer to a recording than 19 of 20 recordings are to another one.
    """

    samples_seen: int
    frechet: float
    precision: float
    recall: float
    coverage: float
    near_duplicate_rate: float

    @property
    def score(self) -> float:
        """The lower the better: the Fréchet distance, worse for a Generator that leaves out part of the recordings.

        The distance alone hardly sees variety: it may lie lowest early, while more and more of them are reached.
        """
        return self.frechet / max(self.recall * self.coverage, LEAST_REACHED) ** 0.5

    @property
    def overfitting(self) -> bool:
        """Whether the Generator begins to repeat recordings."""
        return self.near_duplicate_rate > COPYING


class Validator:
    """Compares what a Generator makes with the recordings it learns from."""

    def __init__(self, dataset: Dataset, settings: Settings, generator_inputs: GeneratorInputs) -> None:
        rng = np.random.default_rng(settings.run.seed)
        chosen = np.sort(rng.permutation(len(dataset))[:MOST])
        self._representation = dataset.representation
        self._embedding = LogMelStatistics(seconds=dataset.representation.duration)
        self._labels = torch.from_numpy(np.array(dataset.labels)[chosen])
        self._seed, self._generator_inputs = settings.run.seed, generator_inputs
        parts = np.split(chosen, range(AT_ONCE, len(chosen), AT_ONCE))
        self._real = np.concatenate([self._points(np.asarray(dataset.spectrograms)[part]) for part in parts])
        apart = cdist(self._real, self._real)
        np.fill_diagonal(apart, np.inf)
        self._near = float(np.quantile(apart.min(axis=1), 0.05))

    @torch.no_grad()
    def check(self, generator: Generator, samples_seen: int) -> ValidationResult:
        """Judge a Generator; the same one is always judged the same."""
        device = next(generator.parameters()).device
        rng = StepRNG(self._seed, 0, device)
        made = (
            self._generator_inputs.generate(generator, labels.to(device), rng) for labels in self._labels.split(AT_ONCE)
        )
        points = np.concatenate([self._points(spectrograms[:, :1].cpu().numpy()) for spectrograms in made])
        metrics = set_metrics(self._real, points)
        near_duplicate_rate = float((cdist(points, self._real).min(axis=1) < self._near).mean())
        return ValidationResult(
            samples_seen, metrics.frechet_distance, metrics.precision, metrics.recall, metrics.coverage,
            near_duplicate_rate,
        )  # fmt: skip

    def _points(self, spectrograms: Spectrogram) -> NDArray[np.float64]:
        waves = synthesize(spectrograms, self._representation, quality="fast")
        return self._embedding.embed(list(waves), self._representation.sample_rate)
