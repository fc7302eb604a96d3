"""What lies in the folder of a training, for the tests that compare two of them."""

from __future__ import annotations

import json
from pathlib import Path

import torch
from safetensors import safe_open
from safetensors.torch import load_file

from soundgan.training.checkpoint import Clock

NAME = "checkpoint.safetensors"


def tensors(folder: Path) -> dict[str, torch.Tensor]:
    return load_file(folder / NAME)


def clock_of(folder: Path) -> Clock:
    with safe_open(folder / NAME, framework="pt") as file:
        return Clock(**json.loads(file.metadata()["clock"]))


def log_of(folder: Path) -> list[dict[str, float]]:
    return [json.loads(line) for line in (folder / "log.jsonl").read_text(encoding="utf-8").splitlines()]


def assert_same_bits(one: Path, other: Path) -> None:
    first, second = tensors(one), tensors(other)
    assert first.keys() == second.keys()
    different = [name for name in first if not torch.equal(first[name], second[name])]
    assert not different
    assert clock_of(one).seen == clock_of(other).seen
    assert clock_of(one).steps == clock_of(other).steps
