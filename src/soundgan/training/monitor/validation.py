"""How good the sounds of a training are by now, measured on audio: what decides which Generator is kept.

The same few hundred latents every time, brought to sound, against as many recordings brought to sound in the same way;
compared by the log-mel statistics that `soundgan evaluate` uses too. A few seconds' work, a sketch of an evaluation.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.spatial.distance import cdist
from torch import nn

from soundgan.data.dataset import Dataset
from soundgan.evaluation.features.embedding import LogMelStatistics
from soundgan.evaluation.metrics.frechet import frechet_distance
from soundgan.evaluation.metrics.prdc import compare
from soundgan.settings import Settings
from soundgan.spectral.representation import Painting, synthesise
from soundgan.training.runtime.rng import Chance
from soundgan.training.state.state import Painter

FIRST, GROWTH = 2_000, 1.4  # sounds seen at the first check, and how many times more at every following one
MOST = 384  # sounds compared in a check
NEIGHBOURS = 5
COPYING = 0.3  # share of copies that is told; of recordings themselves, a twentieth counts as a copy of another
LEAST_REACHED = 1e-4  # product of recall and coverage below which the distance alone tells Generators apart
AT_ONCE = 32  # sounds made in one go: more would need much memory where they are long


class Check(NamedTuple):
    """What a check found.

    Attributes:
        seen: sounds seen by then.
        frechet: Fréchet distance of the log-mel statistics; the lower the better.
        precision, recall, coverage: see `soundgan.evaluation.metrics.prdc`.
        copies: share of made sounds that are nearer to a recording than 19 of 20 recordings are to another one.
    """

    seen: int
    frechet: float
    precision: float
    recall: float
    coverage: float
    copies: float

    @property
    def score(self) -> float:
        """The lower the better: the Fréchet distance, worse for a Generator that leaves out part of the recordings.

        The distance alone hardly sees variety: it may lie lowest early, while more and more of them are reached.
        """
        return self.frechet / max(self.recall * self.coverage, LEAST_REACHED) ** 0.5

    @property
    def copying(self) -> bool:
        """Whether the Generator begins to repeat recordings."""
        return self.copies > COPYING


class Examiner:
    """Compares what a Generator makes with the recordings it learns from."""

    def __init__(self, dataset: Dataset, settings: Settings, painter: Painter) -> None:
        rng = np.random.default_rng(settings.seed)
        chosen = np.sort(rng.permutation(len(dataset))[:MOST])
        self._representation = dataset.representation
        self._embedding = LogMelStatistics(seconds=dataset.representation.duration)
        self._labels = torch.from_numpy(np.array(dataset.labels)[chosen])
        self._seed, self._painter = settings.seed, painter
        parts = np.split(chosen, range(AT_ONCE, len(chosen), AT_ONCE))
        self._real = np.concatenate([self._points(np.asarray(dataset.paintings)[part]) for part in parts])
        self._neighbours = min(NEIGHBOURS, len(chosen) - 1)
        apart = cdist(self._real, self._real)
        np.fill_diagonal(apart, np.inf)
        self._near = float(np.quantile(apart.min(axis=1), 0.05))

    @torch.no_grad()
    def check(self, generator: nn.Module, seen: int) -> Check:
        """Judge a Generator; the same one is always judged the same."""
        device = next(generator.parameters()).device
        chance = Chance(self._seed, 0, device)
        made = (self._painter.paint(generator, labels.to(device), chance) for labels in self._labels.split(AT_ONCE))
        points = np.concatenate([self._points(paintings[:, :1].cpu().numpy()) for paintings in made])
        manifold = compare(self._real, points, self._neighbours)
        copies = float((cdist(points, self._real).min(axis=1) < self._near).mean())
        distance = frechet_distance(self._real, points)
        return Check(seen, distance, manifold.precision, manifold.recall, manifold.coverage, copies)

    def _points(self, paintings: Painting) -> NDArray[np.float64]:
        waves = synthesise(paintings, self._representation, quality="fast")
        return self._embedding.embed(list(waves), self._representation.sample_rate)


def due(before: int, now: int) -> bool:
    """Whether a check falls between two numbers of sounds seen: the later, the farther they are apart."""
    return _checks(now) > _checks(before)


def _checks(seen: int) -> int:
    return 0 if seen < FIRST else 1 + math.floor(math.log(seen / FIRST) / math.log(GROWTH))
