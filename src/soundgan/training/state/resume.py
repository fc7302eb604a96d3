"""Compatibility of a checkpoint with the data and settings of the run that resumes it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from soundgan.errors import TrainingError
from soundgan.settings import check_settings
from soundgan.training.state.checkpoint import read_training_config

# Settings that a resumed run may change. The last line is for recovering from divergence.
CHANGEABLE = {
    "dataroot", "saveroot", "exclude", "license", "attribution", "original_image_size",
    "minutes", "max_samples", "num_epochs", "snapshot_minutes", "threads", "precision", "ngpu",
    "lr_G", "lr_D", "gradient_penalty",
}  # fmt: skip
ANOTHER_FOLDER_HINT = "another folder (--out, or saveroot in the settings)"
UNUSED_BY_NETWORK = {"residual": {"ngf", "ndf"}, "dcgan": {"size"}}


def load_compatible(checkpoint: Path, config: dict[str, Any]) -> dict[str, Any]:
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
