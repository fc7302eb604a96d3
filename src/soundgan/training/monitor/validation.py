"""Validation during training, measured on audio, and the best generator, which is exported rather than the last one.

Sounds from the same few hundred latents every time are compared with as many recordings, synthesized from their
spectrograms in the same way, by the metrics of `soundgan evaluate` on log-mel statistics. Takes a few seconds.
"""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors.torch import save
from scipy.spatial.distance import cdist
from torch import nn

from soundgan.data.dataset import Dataset
from soundgan.evaluation.features.embedding import LogMelStatistics
from soundgan.evaluation.metrics.set_metrics import set_metrics
from soundgan.files import atomic_write
from soundgan.spectral.representation import Spectrogram, synthesize
from soundgan.training.networks.base import Generator
from soundgan.training.runtime.rng import StepRNG
from soundgan.training.state.checkpoint import load_weights, open_checkpoint, read_metadata
from soundgan.training.state.train_state import GeneratorInputs

BEST = "best.safetensors"
MAX_SOUNDS = 384  # compared in a validation
NEAR_QUANTILE = 0.05  # of the distances from recordings to the nearest other one: below it, sounds are near-duplicates
MAX_NEAR_DUPLICATE_RATE = 0.3  # above it, the networks overfit
MIN_OVERLAP = 1e-4  # product of recall and coverage below which only the distance counts
CHUNK_SIZE = 32  # sounds generated together: a limit on memory where they are long


class ValidationResult(NamedTuple):
    """Metrics of the generated sounds.

    Attributes:
        samples_seen: at the time of the validation.
        frechet: Fréchet distance of the log-mel statistics; lower is better.
        precision, recall, coverage: see `soundgan.evaluation.metrics.set_metrics`.
        near_duplicate_rate: fraction of generated sounds that are nearer to a recording than 95 % of the recordings
            are to another one.
    """

    samples_seen: int
    frechet: float
    precision: float
    recall: float
    coverage: float
    near_duplicate_rate: float

    @property
    def score(self) -> float:
        """Fréchet distance over the square root of recall × coverage; lower is better.

        The distance alone is insensitive to diversity: it can be lowest early, while recall still rises.
        """
        return self.frechet / max(self.recall * self.coverage, MIN_OVERLAP) ** 0.5

    @property
    def overfitting(self) -> bool:
        """True if too many generated sounds are close to a recording."""
        return self.near_duplicate_rate > MAX_NEAR_DUPLICATE_RATE


class Validator:
    """Compares the sounds of a generator with the recordings that it is trained on."""

    def __init__(self, dataset: Dataset, seed: int, generator_inputs: GeneratorInputs) -> None:
        rng = np.random.default_rng(seed)
        chosen = np.sort(rng.permutation(len(dataset))[:MAX_SOUNDS])
        self._representation = dataset.representation
        self._embedding = LogMelStatistics(seconds=dataset.representation.duration)
        self._labels = torch.from_numpy(np.array(dataset.labels)[chosen])
        self._seed, self._generator_inputs = seed, generator_inputs
        parts = np.split(chosen, range(CHUNK_SIZE, len(chosen), CHUNK_SIZE))
        self._real = np.concatenate([self._points(np.asarray(dataset.spectrograms)[part]) for part in parts])
        distances = cdist(self._real, self._real)
        np.fill_diagonal(distances, np.inf)
        self._near = float(np.quantile(distances.min(axis=1), NEAR_QUANTILE))

    @torch.no_grad()
    def validate(self, generator: Generator, samples_seen: int) -> ValidationResult:
        """Validate a generator; the result depends on its weights alone."""
        rng = StepRNG(self._seed, 0, next(generator.parameters()).device)
        generated = (
            self._generator_inputs.generate(generator, labels, rng) for labels in self._labels.split(CHUNK_SIZE)
        )
        points = np.concatenate([self._points(spectrograms[:, :1].cpu().numpy()) for spectrograms in generated])
        metrics = set_metrics(self._real, points)
        near_duplicate_rate = float((cdist(points, self._real).min(axis=1) < self._near).mean())
        return ValidationResult(
            samples_seen, metrics.frechet_distance, metrics.precision, metrics.recall, metrics.coverage,
            near_duplicate_rate,
        )  # fmt: skip

    def _points(self, spectrograms: Spectrogram) -> NDArray[np.float64]:
        waves = synthesize(spectrograms, self._representation, quality="fast")
        return self._embedding.embed(list(waves), self._representation.sample_rate)


class BestCheckpoint:
    """Keeps the weights with the lowest `ValidationResult.score` in a file of `folder`.

    Attributes:
        result: validation of those weights; None while there are none.
    """

    def __init__(self, folder: Path, *, reset: bool) -> None:
        """Load the result in `folder`, or delete it with `reset`."""
        self.path = folder / BEST
        if reset:
            self.path.unlink(missing_ok=True)
        self.result = load_best(self.path) if self.path.exists() else None

    def update(self, result: ValidationResult, generator: nn.Module) -> bool:
        """Keep the weights of `generator` if they are the best so far; return True if they are."""
        if not math.isfinite(result.score) or (self.result is not None and result.score >= self.result.score):
            return False
        weights = {name: value.detach().cpu().contiguous() for name, value in generator.state_dict().items()}
        with atomic_write(self.path) as temporary:
            temporary.write_bytes(save(weights, {"validation": json.dumps(result._asdict())}))
        self.result = result
        return True


def load_best(path: Path, generator: nn.Module | None = None) -> ValidationResult:
    """Return the validation of the kept weights, and load them into a generator if one is given.

    Raises:
        TrainingError: the file is damaged, or the weights are of another shape.
    """
    with open_checkpoint(path) as file:
        if generator is not None:
            load_weights(path, generator, {key: file.get_tensor(key) for key in file.keys()})  # noqa: SIM118
        return read_metadata(path, file, "validation", ValidationResult)
