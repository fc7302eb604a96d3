"""Setup of a training: device, precision and networks, from the start or from a checkpoint."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from soundgan.data.dataset import Dataset
from soundgan.errors import TrainingError
from soundgan.settings import Settings
from soundgan.training.runtime.compute import Compute
from soundgan.training.runtime.device import select_device, select_precision
from soundgan.training.runtime.distributed import Distributed
from soundgan.training.state.checkpoint import CHECKPOINT, load_checkpoint
from soundgan.training.state.progress import Progress
from soundgan.training.state.resume import load_compatible
from soundgan.training.state.train_state import GeneratorInputs, TrainState, init_state


@dataclass
class TrainingSetup:
    """Data, settings, networks and progress of a training.

    Attributes:
        folder: of checkpoint, log, snapshots and report.
        config: configuration that a resumed training must match, and the machine (JSON values).
        machine: description of the device and precision.
    """

    dataset: Dataset
    settings: Settings
    folder: Path
    compute: Compute
    train_state: TrainState
    generator_inputs: GeneratorInputs
    progress: Progress
    config: dict[str, Any]

    @property
    def machine(self) -> str:
        return self.config["machine"]


def setup_training(dataset: Dataset, settings: Settings, folder: Path, distributed: Distributed) -> TrainingSetup:
    """Set up a training in `folder`, which is created if missing; resume its checkpoint if it has one.

    Raises:
        TrainingError: the checkpoint is of other data or settings, or damaged; the batch cannot be split among the
            processes, or these differ in their data, settings or checkpoint.
    """
    if settings.optim.batch_size % (2 * distributed.size):
        raise TrainingError(
            f"batch_size = {settings.optim.batch_size} cannot be split into pairs among {distributed.size} processes: "
            f"set it to a multiple of {2 * distributed.size}, or start another number of processes"
        )
    device = select_device(settings.run)
    train_state = init_state(dataset, settings, device)
    config: dict[str, Any] = {"data": dataset.digest, "settings": settings.model_dump(mode="json")}
    config |= {"representation": dataset.representation.model_dump(), "labels": dataset.label_names}

    folder.mkdir(parents=True, exist_ok=True)
    checkpoint, progress = folder / CHECKPOINT, Progress()
    if distributed.is_rank_zero:
        _remove_stale_files(folder, checkpoint)
    if checkpoint.exists():
        previous = load_compatible(checkpoint, config)
        progress = load_checkpoint(checkpoint, train_state)
        if settings.run.precision == "auto":  # another benchmark could choose another one, with other results
            settings = settings.with_values(precision=previous.get("precision", "auto"))
    if not distributed.all_ranks_equal(f"{progress} {config}"):
        raise TrainingError(
            f"{checkpoint}: the processes differ in their checkpoint, data or settings; "
            "start the same command everywhere, with folders that all machines share"
        )

    precision = select_precision(settings.run, device)
    if distributed.any_rank(precision == torch.float32):
        precision = torch.float32
    compute = Compute(device, precision, distributed)
    config["precision"] = str(precision).removeprefix("torch.")
    config["machine"] = compute.describe(settings.run.threads or torch.get_num_threads())
    generator_inputs = GeneratorInputs(settings.model.nz, dataset.representation)
    return TrainingSetup(dataset, settings, folder, compute, train_state, generator_inputs, progress, config)


def _remove_stale_files(folder: Path, checkpoint: Path) -> None:
    """Remove unfinished files of a killed process, and snapshots of a training whose checkpoint was deleted."""
    for unfinished in folder.glob(f".*.tmp{checkpoint.suffix}"):
        unfinished.unlink(missing_ok=True)
    if not checkpoint.exists():
        shutil.rmtree(folder / "snapshots", ignore_errors=True)
