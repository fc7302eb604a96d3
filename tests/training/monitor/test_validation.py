"""Validation during training: worse sounds score worse, near-duplicates are detected, and the best is kept."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from fixture_types import TinySettings
from safetensors.torch import save_file
from sets import LABELS, RATE, SECONDS, Floats, fresh, noisy, one_class
from torch import Tensor, nn

from soundgan.data.dataset import Dataset
from soundgan.errors import TrainingError
from soundgan.spectral.pitch import track
from soundgan.spectral.presets import preset
from soundgan.spectral.representation import analyze
from soundgan.training.monitor import validation
from soundgan.training.monitor.validation import BEST, BestCheckpoint, ValidationResult, Validator, load_best
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
        np.full(len(waves), REPRESENTATION.duration, np.float32),
        np.zeros(len(waves), np.float32),
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


# The best generator


def result(frechet: float, samples_seen: int = 2000, *, recall: float = 0.6, coverage: float = 0.5) -> ValidationResult:
    return ValidationResult(
        samples_seen, frechet, precision=0.7, recall=recall, coverage=coverage, near_duplicate_rate=0.1
    )


def network(value: float) -> nn.Module:
    linear = nn.Linear(3, 2)
    with torch.no_grad():
        for parameter in linear.parameters():
            parameter.fill_(value)
    return linear


def kept(folder: Path) -> float:
    """The weights that are kept: all are this number."""
    generator = network(-1)
    load_best(folder / BEST, generator)
    (value,) = torch.cat([parameter.flatten() for parameter in generator.parameters()]).unique().tolist()
    return value


def test_lowest_distance_is_kept(tmp_path: Path) -> None:
    best = BestCheckpoint(tmp_path, reset=True)
    assert best.result is None
    taken = [
        best.update(result(frechet, samples_seen), network(frechet))
        for samples_seen, frechet in enumerate([9, 5, 7, 5, 3, 4])
    ]
    assert taken == [True, True, False, False, True, False]
    assert kept(tmp_path) == 3
    assert best.result == load_best(tmp_path / BEST) == result(3, 4)
    assert [path.name for path in tmp_path.iterdir()] == [BEST]


def test_recall_and_coverage_count_as_well(tmp_path: Path) -> None:
    """As in a training on drums: the distance was lowest early, and rose by a tenth while recall still increased."""
    best = BestCheckpoint(tmp_path, reset=True)
    assert best.update(result(3.97, recall=0.66, coverage=0.90), network(1))
    assert best.update(result(4.39, recall=0.87, coverage=0.93), network(2))
    assert not best.update(result(4.30, recall=0.66, coverage=0.90), network(3))
    assert not best.update(result(7.00, recall=0.95, coverage=0.95), network(4)) and kept(tmp_path) == 2


def test_distance_decides_without_recall_and_coverage(tmp_path: Path) -> None:
    best = BestCheckpoint(tmp_path, reset=True)
    taken = [best.update(result(frechet, recall=0, coverage=0), network(frechet)) for frechet in (9, 8, 8.5)]
    assert taken == [True, True, False]


def test_best_is_loaded_after_a_restart(tmp_path: Path) -> None:
    BestCheckpoint(tmp_path, reset=True).update(result(3), network(3))
    again = BestCheckpoint(tmp_path, reset=False)
    assert again.result == result(3)
    assert not again.update(result(4), network(4)) and kept(tmp_path) == 3
    assert again.update(result(2), network(2)) and kept(tmp_path) == 2


def test_reset_deletes_the_best_of_an_older_training(tmp_path: Path) -> None:
    BestCheckpoint(tmp_path, reset=True).update(result(3), network(3))
    best = BestCheckpoint(tmp_path, reset=True)
    assert best.result is None and not (tmp_path / BEST).exists()
    assert best.update(result(8), network(8)) and kept(tmp_path) == 8


def half(path: Path) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def foreign(path: Path) -> None:
    save_file({"weight": torch.zeros(3)}, path)


@pytest.mark.parametrize("damage", [half, foreign, lambda path: path.write_bytes(b"")])
def test_damaged_file_is_named_with_the_way_out(damage, tmp_path: Path) -> None:
    BestCheckpoint(tmp_path, reset=True).update(result(3), network(3))
    damage(tmp_path / BEST)
    for use in (lambda: BestCheckpoint(tmp_path, reset=False), lambda: load_best(tmp_path / BEST, network(0))):
        with pytest.raises(TrainingError, match="delete it") as caught:
            use()
        assert str(tmp_path / BEST) in str(caught.value)


def test_weights_of_another_shape_are_refused(tmp_path: Path) -> None:
    BestCheckpoint(tmp_path, reset=True).update(result(3), network(3))
    with pytest.raises(TrainingError, match=r"best\.safetensors: does not fit"):
        load_best(tmp_path / BEST, nn.Linear(4, 2))
