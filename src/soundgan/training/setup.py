"""Setup of a training: device, precision and networks, from the start or from a checkpoint."""

from __future__ import annotations

import json
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import nn

from soundgan.data.dataset import Dataset
from soundgan.errors import TrainingError
from soundgan.settings import Settings, check_settings
from soundgan.training.runtime.device import Compute, select_device, select_precision, select_threads
from soundgan.training.runtime.distributed import Distributed
from soundgan.training.state.checkpoint import CHECKPOINT, load_checkpoint, read_training_config
from soundgan.training.state.pretrained import UNUSED_BY_NETWORK, find_pretrained
from soundgan.training.state.train_state import GeneratorInputs, Progress, TrainState, init_state

# Settings that a resumed run may change. The last line is for recovering from divergence.
CHANGEABLE = {
    "dataroot", "saveroot", "exclude", "license", "attribution", "original_image_size", "init_from",
    "keep_discriminator", "minutes", "max_samples", "num_epochs", "snapshot_minutes", "threads", "precision", "ngpu",
    "lr_G", "lr_D", "gradient_penalty",
}  # fmt: skip
# Layers of a pretrained discriminator that are not trained further, by the beginning of their names.
FROZEN = {"residual": ("from_patch.", "stages.0.", "channel_convs.0."), "dcgan": ("conv1.",)}
ANOTHER_FOLDER_HINT = "another folder (--out, or saveroot in the settings)"


@dataclass
class TrainingSetup:
    """Data, settings, networks and progress of a training.

    Attributes:
        folder: of checkpoint, log, snapshots and report.
        config: configuration that a resumed training must match, threads, and a description of the machine (JSON).
        threads_reason: reason for the number of threads where it needs one.
    """

    dataset: Dataset
    settings: Settings
    folder: Path
    compute: Compute
    train_state: TrainState
    generator_inputs: GeneratorInputs
    progress: Progress
    config: dict[str, Any]
    threads_reason: str


def setup_training(
    dataset: Dataset, settings: Settings, folder: Path, distributed: Distributed, busy_cores: int = 0
) -> TrainingSetup:
    """Set up a training in `folder`, which is created if missing; resume its checkpoint if it has one.

    With `init_from`, a new training starts from the networks of a pretrained model.

    Raises:
        ModelError: the pretrained model is missing or damaged.
        TrainingError: the checkpoint is of other data or settings, or damaged; the batch cannot be split among the
            processes, or these differ in their data, settings or checkpoint.
    """
    if settings.optim.batch_size % (2 * distributed.size):
        raise TrainingError(
            f"batch_size = {settings.optim.batch_size} cannot be split into pairs among {distributed.size} processes: "
            f"set it to a multiple of {2 * distributed.size}, or start another number of processes"
        )
    device = select_device(settings.run)
    checkpoint, progress, previous = folder / CHECKPOINT, Progress(), dict[str, Any]()
    pretrained = find_pretrained(settings.run.init_from, checkpoint)
    if pretrained is not None:
        settings = pretrained.adopt(settings)
    train_state = init_state(dataset, settings, device)
    if pretrained is not None and pretrained.has_discriminator:
        _freeze_lower_layers(train_state.discriminator, settings.model.network)
    config: dict[str, Any] = {"data": dataset.digest, "settings": settings.model_dump(mode="json")}
    config |= {"representation": dataset.representation.model_dump(), "labels": dataset.label_names}
    if pretrained is not None:
        config["pretrained"] = pretrained.to_json()

    folder.mkdir(parents=True, exist_ok=True)
    if distributed.is_rank_zero:
        _remove_stale_files(folder, checkpoint)
    if checkpoint.exists():
        previous = _load_compatible(checkpoint, config)
        progress = load_checkpoint(checkpoint, train_state)
        if settings.run.precision == "auto":  # another benchmark could choose another one, with other results
            settings = settings.with_values(precision=previous.get("precision", "auto"))
    elif pretrained is not None:
        pretrained.load_into(train_state, dataset)
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
    kept = previous.get("threads", torch.get_num_threads()) if previous else None
    threads, reason = select_threads(settings.run, device, kept, busy_cores)
    settings = settings.with_values(threads=threads)
    config |= {"threads": threads, "machine": compute.describe(threads)}
    generator_inputs = GeneratorInputs(settings.model.nz, dataset.representation)
    return TrainingSetup(dataset, settings, folder, compute, train_state, generator_inputs, progress, config, reason)


def _freeze_lower_layers(discriminator: nn.Module, network: str) -> None:
    """Freeze the Discriminator (Mo et al. 2020): its lower layers detect features that other sounds have, too."""
    for name, parameter in discriminator.named_parameters():
        parameter.requires_grad_(not name.startswith(FROZEN[network]))


def _remove_stale_files(folder: Path, checkpoint: Path) -> None:
    """Remove unfinished files of a killed process, and snapshots of a training whose checkpoint was deleted."""
    for unfinished in folder.glob(f".*.tmp{checkpoint.suffix}"):
        unfinished.unlink(missing_ok=True)
    if not checkpoint.exists():
        shutil.rmtree(folder / "snapshots", ignore_errors=True)


def _load_compatible(checkpoint: Path, config: dict[str, Any]) -> dict[str, Any]:
    """Return the `training_config` of a checkpoint, if a run with `config` may resume it.

    Raises:
        TrainingError: its data or settings differ, which the message names, or it is damaged.
    """
    previous = read_training_config(checkpoint)
    way_out = f"choose {ANOTHER_FOLDER_HINT}, or delete {checkpoint.parent.parent} to start anew"
    before, after = (check_settings(values["settings"], str(checkpoint)).flat() for values in (previous, config))
    for key in sorted(after.keys() - CHANGEABLE - UNUSED_BY_NETWORK[after["network"]]):
        if before[key] != after[key]:
            difference = f"was trained with {key} = {_as_json(before[key])}, now it is {_as_json(after[key])}"
            raise TrainingError(f"{checkpoint}: {difference}; {way_out}")
    # After the settings, as a setting that changes the spectrograms changes the digest of the data, too.
    if previous["data"] != config["data"]:
        old, new = _as_json(before["exclude"]), _as_json(after["exclude"])
        reason = f" (exclude = {old}, now it is {new})" if old != new else ", or on these by other names"
        raise TrainingError(f"{checkpoint}: was trained on other sounds{reason}; {way_out}")
    return previous


def _as_json(value: object) -> str:
    """Return a value as in a settings file, strings without quotes."""
    return value if isinstance(value, str) else json.dumps(value)
