"""Contents of training folders, for tests that compare two of them."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import torch
from safetensors import safe_open
from safetensors.torch import load_file

from soundgan.training.monitor.validation import BEST
from soundgan.training.state.train_state import Progress

NAME = "checkpoint.safetensors"


def tensors(folder: Path) -> dict[str, torch.Tensor]:
    return load_file(folder / NAME)


def progress_of(folder: Path) -> Progress:
    with safe_open(folder / NAME, framework="pt") as file:
        return Progress(**json.loads(file.metadata()["progress"]))


def log_of(folder: Path, having: str = "loss_D") -> list[dict[str, float]]:
    """Lines of the log with this key: those of the steps, or those of the validations."""
    lines = (json.loads(line) for line in (folder / "log.jsonl").read_text(encoding="utf-8").splitlines())
    return [line for line in lines if having in line]


def assert_same_bits(folder: Path, other: Path) -> None:
    first, second = tensors(folder), tensors(other)
    assert first.keys() == second.keys()
    assert [name for name in first if not torch.equal(first[name], second[name])] == []
    assert replace(progress_of(folder), seconds=0) == replace(progress_of(other), seconds=0)


def assert_same_best(folder: Path, other: Path) -> None:
    assert (folder / BEST).read_bytes() == (other / BEST).read_bytes()
