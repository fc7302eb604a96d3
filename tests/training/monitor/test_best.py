"""The generator of the best validation is kept, and no other."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from soundgan.errors import TrainingError
from soundgan.training.monitor.best import BEST, BestCheckpoint, load_best, read_validation
from soundgan.training.monitor.validation import ValidationResult


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
    assert best.result == read_validation(tmp_path / BEST) == result(3, 4)
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
