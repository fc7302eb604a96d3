"""Validation during training: worse sounds score worse, and near-duplicates are detected."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from fixture_types import TinySettings
from sets import LABELS, RATE, SECONDS, Floats, fresh, noisy, one_class
from torch import Tensor, nn

from soundgan.data.dataset import Dataset
from soundgan.spectral.pitch import track
from soundgan.spectral.presets import preset
from soundgan.spectral.representation import analyze
from soundgan.training.monitor import validation
from soundgan.training.monitor.validation import ValidationResult, Validator
from soundgan.training.networks.build import build_generator
from soundgan.training.runtime.rng import StepRNG
from soundgan.training.state.train_state import GeneratorInputs

N = 160
REPRESENTATION = preset(RATE, SECONDS)
UNUSED: Any = nn.Linear(1, 1)  # only its device is asked for


class FixedSounds:
    """Generator inputs that return given sounds one after another."""

    def __init__(self, waves: list[Floats]) -> None:
        self.spectrograms = torch.from_numpy(analyze(np.stack(waves), REPRESENTATION))
        self.labels: list[int] = []

    def generate(self, generator: nn.Module, labels: Tensor, rng: StepRNG) -> Tensor:
        first = len(self.labels)
        self.labels += labels.tolist()
        return self.spectrograms[torch.arange(first, first + len(labels)) % len(self.spectrograms)]


def dataset_of(waves: list[Floats], labels: list[str]) -> Dataset:
    indices = np.array([LABELS.index(label) for label in labels])
    sounds = np.stack(waves)
    return Dataset(
        analyze(sounds, REPRESENTATION),
        track(sounds, REPRESENTATION.sample_rate, REPRESENTATION.hop_length),
        indices,
        list(LABELS),
        REPRESENTATION,
        "",
        "",
    )


@pytest.fixture(scope="module")
def training() -> list[Floats]:
    return fresh(N, seed=0)[0]


@pytest.fixture(scope="module")
def dataset(training: list[Floats]) -> Dataset:
    return dataset_of(training, fresh(N, seed=0)[1])


def check_of(waves: list[Floats], dataset: Dataset) -> ValidationResult:
    generator_inputs: Any = FixedSounds(waves)
    return Validator(dataset, 0, generator_inputs).validate(UNUSED, 5000)


@pytest.fixture(scope="module")
def perfect(dataset: Dataset) -> ValidationResult:
    """Validation of new sounds of the same kinds."""
    return check_of(fresh(N, seed=1)[0], dataset)


def test_recordings_have_no_distance_but_count_as_duplicates(training: list[Floats], dataset: Dataset) -> None:
    check = check_of(training, dataset)
    assert check.samples_seen == 5000
    assert check.frechet == pytest.approx(0, abs=1e-3)
    assert (check.precision, check.recall, check.coverage) == (1, 1, 1)
    assert check.near_duplicate_rate > 0.9 and check.overfitting


def test_new_sounds_of_the_same_kinds_score_well(perfect: ValidationResult, dataset: Dataset) -> None:
    assert min(perfect.precision, perfect.recall, perfect.coverage) > 0.8
    assert perfect.near_duplicate_rate < 0.15 and not perfect.overfitting
    assert perfect.frechet < 0.1 * check_of(one_class(N, seed=2), dataset).frechet


@pytest.mark.parametrize("degraded", ["noise", "noisy", "one label", "the same again"])
def test_degraded_sounds_score_worse(degraded: str, perfect: ValidationResult, dataset: Dataset) -> None:
    rng = np.random.default_rng(0)
    waves = {
        "noise": lambda: [rng.normal(0, 0.1, round(RATE * SECONDS)).astype(np.float32) for _ in range(N)],
        "noisy": lambda: noisy(fresh(N, seed=1)[0]),
        "one label": lambda: one_class(N, seed=1),
        "the same again": lambda: fresh(4, seed=1)[0],
    }[degraded]()
    check = check_of(waves, dataset)
    assert check.frechet > 1.5 * perfect.frechet
    assert check.coverage < 0.7 * perfect.coverage
    assert not check.overfitting


def test_repeated_recordings_count_as_overfitting(training: list[Floats], dataset: Dataset) -> None:
    half_copied = [new if i % 2 else training[i] for i, new in enumerate(fresh(N, seed=1)[0])]
    check = check_of(half_copied, dataset)
    assert check.near_duplicate_rate > 0.45 and check.overfitting
    assert check.frechet < check_of(one_class(N, seed=2), dataset).frechet


def test_labels_are_requested_as_often_as_they_occur(dataset: Dataset, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(validation, "MAX_SOUNDS", 50)
    generator_inputs: Any = FixedSounds(fresh(8, seed=1)[0])
    validator = Validator(dataset, 0, generator_inputs)
    validator.validate(UNUSED, 0)
    assert len(generator_inputs.labels) == 50
    counts = np.bincount(generator_inputs.labels)
    assert len(counts) == len(LABELS) and counts.min() > 5


def test_smallest_trainable_dataset_can_be_validated() -> None:
    waves, labels = fresh(8, seed=0)
    check = check_of(fresh(8, seed=1)[0], dataset_of(waves, labels))
    assert np.isfinite(check.frechet) and 0 <= check.near_duplicate_rate <= 1


def test_same_generator_gives_the_same_result(tiny_dataset: Dataset, tiny_settings: TinySettings) -> None:
    settings = tiny_settings()
    torch.manual_seed(0)
    generators = [build_generator(settings.model, tiny_dataset.representation, 3).eval() for _ in range(2)]
    generator_inputs = GeneratorInputs(settings.model.nz, tiny_dataset.representation)
    validator = Validator(tiny_dataset, settings.run.seed, generator_inputs)
    first = validator.validate(generators[0], 100)
    other = validator.validate(generators[1], 100)
    assert first != other
    # Neither random numbers in between, nor PyTorch's seed, nor another validator changes the result.
    generator_inputs.generate(generators[0], torch.zeros(3, dtype=torch.int64), StepRNG(1, 20_000, torch.device("cpu")))
    torch.manual_seed(7)
    assert validator.validate(generators[0], 100) == first
    anew = Validator(tiny_dataset, settings.run.seed, GeneratorInputs(settings.model.nz, tiny_dataset.representation))
    assert anew.validate(generators[0], 100) == first
