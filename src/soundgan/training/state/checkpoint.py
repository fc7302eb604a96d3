"""Checkpoints: everything that training needs to go on as if it had never stopped, in one safetensors file.

No random state is kept: all chance in training is drawn anew from (seed, samples seen).
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, TypeVar

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor, nn

from soundgan.errors import TrainingError
from soundgan.files import atomic_write
from soundgan.training.state.state import TrainState


@dataclass
class Progress:
    """How far training has come: real samples seen, steps made, seconds spent.

    And what adapts as it goes: how often spectrograms are changed, and how varied those of one label lately were.
    """

    samples_seen: int = 0
    steps: int = 0
    seconds: float = 0.0
    augment_p: float = 0.0
    diversity: float = 1.0


CHECKPOINT = "checkpoint.safetensors"
Stored = TypeVar("Stored")


def save_checkpoint(path: Path, train_state: TrainState, progress: Progress, run_config: dict[str, Any]) -> None:
    """Write a checkpoint; the older one stays until the new one is whole and on disk.

    `run_config` (JSON values) says what the run depends on; `read_run_config` gives it back.
    """
    tensors: dict[str, Tensor] = {}
    for name, module in train_state.modules().items():
        tensors |= {f"{name}/{key}": value.detach().cpu().contiguous() for key, value in module.state_dict().items()}
    for name, optimizer in train_state.optimizers().items():
        for index, state in optimizer.state_dict()["state"].items():
            tensors |= {f"{name}/{index}/{key}": value.detach().cpu().contiguous() for key, value in state.items()}
    metadata = {"progress": json.dumps(asdict(progress)), "run_config": json.dumps(run_config)}
    with atomic_write(path) as temporary:
        temporary.write_bytes(save(tensors, metadata))


def read_run_config(path: Path) -> dict[str, Any]:
    """What the run of this checkpoint depends on, as it was given to `save_checkpoint`."""
    with open_audio(path, "progress", "run_config") as file:
        run_config = json.loads(file.metadata()["run_config"])
    if not {"settings", "data", "representation", "labels"} <= run_config.keys():
        raise TrainingError(f"{path}: was written by an older SoundGAN; delete it to start anew")
    return run_config


def load_checkpoint(path: Path, train_state: TrainState) -> Progress:
    """Bring networks and optimizers to the state of a checkpoint, and return its clock.

    Raises:
        TrainingError: the file is damaged or belongs to networks of another shape.
    """
    with open_audio(path, "progress", "run_config") as file:
        tensors = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118 - not a mapping
        progress = stored(path, file, "progress", Progress)
    try:
        for name, module in train_state.modules().items():
            module.load_state_dict(_below(tensors, name))
        for name, optimizer in train_state.optimizers().items():
            parameters = [parameter for group in optimizer.param_groups for parameter in group["params"]]
            state: dict[int, dict[str, Tensor]] = {}
            for key, value in _below(tensors, name).items():
                index, _, field = key.partition("/")
                parameter = parameters[int(index)]
                # The fused Adam walks through weight and moments side by side in memory: they must lie alike there.
                alike = torch.empty_like(parameter).copy_(value) if value.shape == parameter.shape else value
                state.setdefault(int(index), {})[field] = alike
            optimizer.load_state_dict({"state": state, "param_groups": optimizer.state_dict()["param_groups"]})
    except (RuntimeError, ValueError, IndexError) as error:
        raise _misfit(path, error) from error
    return progress


def load_ema(path: Path, generator: nn.Module) -> Progress:
    """Bring a Generator to the averaged weights of a checkpoint, and return its clock."""
    with open_audio(path, "progress", "run_config") as file:
        keys = [key for key in file.keys() if key.startswith("generator_ema/")]  # noqa: SIM118 - not a mapping
        load_weights(path, generator, {key.partition("/")[2]: file.get_tensor(key) for key in keys})
        return stored(path, file, "progress", Progress)


def load_weights(path: Path, network: nn.Module, weights: dict[str, Tensor]) -> None:
    """Give a network the weights read from `path`. Raises `TrainingError` if they are of another shape."""
    try:
        network.load_state_dict(weights)
    except RuntimeError as error:
        raise _misfit(path, error) from error


def stored(path: Path, file: Any, key: str, kind: type[Stored]) -> Stored:
    """What the metadata of a file hold under a key. Raises `TrainingError` if it is not what this SoundGAN writes."""
    try:
        return kind(**json.loads(file.metadata()[key]))
    except (TypeError, ValueError) as error:
        raise TrainingError(f"{path}: was written by another SoundGAN ({error}); delete it to start anew") from error


def _misfit(path: Path, error: Exception) -> TrainingError:
    reason = " ".join(str(error).split())
    found = f"{path}: does not fit these networks ({reason})"
    return TrainingError(
        f"{found}; it is damaged, or of another version of SoundGAN, which goes on with it; delete it to start anew"
    )


def open_audio(path: Path, *needed: str) -> Any:
    """A file of tensors to read from, whose metadata holds all that is needed. Raises `TrainingError` for others."""
    try:
        file: Any = safe_open(path, framework="pt")
    except (SafetensorError, OSError) as error:
        raise TrainingError(f"{path}: not a readable checkpoint ({error}); delete it to start anew") from error
    if not set(needed) <= (file.metadata() or {}).keys():
        raise TrainingError(f"{path}: not a checkpoint of SoundGAN; delete it to start anew")
    return file


def _below(tensors: dict[str, Tensor], name: str) -> dict[str, Tensor]:
    prefix = f"{name}/"
    return {key.removeprefix(prefix): value for key, value in tensors.items() if key.startswith(prefix)}
