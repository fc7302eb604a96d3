"""Checkpoints: all that a training needs to resume bit-exactly, in one safetensors file.

No random state is stored: random numbers are drawn from (seed, samples_seen).
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any, TypeVar

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor, nn

from soundgan.errors import TrainingError
from soundgan.files import atomic_write
from soundgan.training.state.train_state import Progress, TrainState

CHECKPOINT = "checkpoint.safetensors"
Stored = TypeVar("Stored")


def save_checkpoint(path: Path, train_state: TrainState, progress: Progress, training_config: dict[str, Any]) -> None:
    """Write a checkpoint atomically.

    Args:
        training_config: configuration that a resumed training must match (JSON values).
    """
    tensors: dict[str, Tensor] = {}
    for name, module in train_state.modules().items():
        tensors |= {f"{name}/{key}": value.detach().cpu().contiguous() for key, value in module.state_dict().items()}
    for name, optimizer in train_state.optimizers().items():
        for index, state in optimizer.state_dict()["state"].items():
            tensors |= {f"{name}/{index}/{key}": value.detach().cpu().contiguous() for key, value in state.items()}
    metadata = {"progress": json.dumps(asdict(progress)), "training_config": json.dumps(training_config)}
    with atomic_write(path) as temporary:
        temporary.write_bytes(save(tensors, metadata))


def read_training_config(path: Path) -> dict[str, Any]:
    """Return the `training_config` of a checkpoint."""
    with open_checkpoint(path) as file:
        training_config = read_metadata(path, file, "training_config", dict)
    if not {"settings", "data", "representation", "labels"} <= training_config.keys():
        raise TrainingError(f"{path}: was written by an older SoundGAN; delete it to start anew")
    return training_config


def load_checkpoint(path: Path, train_state: TrainState) -> Progress:
    """Load networks and optimizers from a checkpoint, and return its progress.

    Raises:
        TrainingError: the file is damaged or belongs to networks of another shape.
    """
    with open_checkpoint(path) as file, _misfits(path):
        progress = read_metadata(path, file, "progress", Progress)
        for name, module in train_state.modules().items():
            module.load_state_dict(_tensors(file, name))
        for name, optimizer in train_state.optimizers().items():
            parameters = [parameter for group in optimizer.param_groups for parameter in group["params"]]
            state: dict[int, dict[str, Tensor]] = {}
            for key, value in _tensors(file, name).items():
                index, _, field = key.partition("/")
                parameter = parameters[int(index)]
                # The fused Adam needs moments in the memory format of their parameter.
                same_format = torch.empty_like(parameter).copy_(value) if value.shape == parameter.shape else value
                state.setdefault(int(index), {})[field] = same_format
            optimizer.load_state_dict({"state": state, "param_groups": optimizer.state_dict()["param_groups"]})
    return progress


def load_networks(path: Path, generator: nn.Module, discriminator: nn.Module) -> Progress:
    """Load the EMA weights of a checkpoint into a generator, its discriminator, and return the progress."""
    with open_checkpoint(path) as file:
        load_weights(path, generator, _tensors(file, "generator_ema"))
        load_weights(path, discriminator, _tensors(file, "discriminator"))
        return read_metadata(path, file, "progress", Progress)


def load_weights(path: Path, network: nn.Module, weights: dict[str, Tensor]) -> None:
    """Load weights that were read from `path`. Raises `TrainingError` if they are of another shape."""
    with _misfits(path):
        network.load_state_dict(weights)


def open_checkpoint(path: Path) -> Any:
    """Open a safetensors file. Raises `TrainingError` if it is not one."""
    try:
        return safe_open(path, framework="pt")
    except (SafetensorError, OSError) as error:
        raise TrainingError(f"{path}: not a readable checkpoint ({error}); delete it to start anew") from error


def read_metadata(path: Path, file: Any, key: str, kind: type[Stored]) -> Stored:
    """Return an object from the metadata of a file. Raises `TrainingError` if it is missing or has unknown fields."""
    metadata = file.metadata() or {}
    if key not in metadata:
        raise TrainingError(f"{path}: not a checkpoint of SoundGAN; delete it to start anew")
    try:
        return kind(**json.loads(metadata[key]))
    except (TypeError, ValueError) as error:
        raise TrainingError(f"{path}: was written by another SoundGAN ({error}); delete it to start anew") from error


@contextmanager
def _misfits(path: Path) -> Iterator[None]:
    """Raise a `TrainingError` that names the file if its tensors do not fit."""
    try:
        yield
    except (RuntimeError, ValueError, IndexError) as error:
        reason = " ".join(str(error).split())
        raise TrainingError(
            f"{path}: does not fit these networks ({reason}): it is damaged, or written by another version of "
            "SoundGAN; resume it with that version, or delete it to start anew"
        ) from error


def _tensors(file: Any, name: str) -> dict[str, Tensor]:
    """Return the tensors of a network or optimizer by their names in it."""
    keys = [key for key in file.keys() if key.startswith(f"{name}/")]  # noqa: SIM118 - not a mapping
    return {key.removeprefix(f"{name}/"): file.get_tensor(key) for key in keys}
