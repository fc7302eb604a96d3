"""Going on with a checkpoint: only with the data and the settings that it was made with."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from soundgan.errors import TrainingError
from soundgan.settings import check_settings
from soundgan.training.state.checkpoint import read_run_config

# What a resumed run may change; everything else must be as it was. The last line is for getting over a divergence.
CHANGEABLE = {
    "dataroot", "saveroot", "exclude", "license", "attribution", "original_image_size",
    "minutes", "max_samples", "num_epochs", "snapshot_minutes", "threads", "precision", "ngpu",
    "lr_G", "lr_D", "gradient_penalty",
}  # fmt: skip
ANOTHER_FOLDER_HINT = "another folder (--out, or saveroot in the settings)"
OF_THE_OTHER_NETWORK = {"residual": {"ngf", "ndf"}, "dcgan": {"size"}}


def load_compatible(checkpoint: Path, now: dict[str, Any]) -> dict[str, Any]:
    """What a checkpoint was made with, if a run made with `now` may go on from it.

    Raises:
        TrainingError: it was made with other data or settings, or is damaged; the message names what differs.
    """
    was = read_run_config(checkpoint)
    way_out = f"choose {ANOTHER_FOLDER_HINT}, or delete {checkpoint.parent.parent} to start anew"
    before, after = (check_settings(values["settings"], str(checkpoint)).flat() for values in (was, now))
    for key in sorted(after.keys() - CHANGEABLE - OF_THE_OTHER_NETWORK[after["network"]]):
        if before[key] != after[key]:
            told = f"was trained with {key} = {_written(before[key])}, now it is {_written(after[key])}"
            raise TrainingError(f"{checkpoint}: {told}; {way_out}")
    # Afterwards, because a setting that changes the spectrograms is better told by its name.
    if was["data"] != now["data"]:
        then, asked = _written(before["exclude"]), _written(after["exclude"])
        why = f" (exclude = {then}, now it is {asked})" if then != asked else ", or on these by other names"
        raise TrainingError(f"{checkpoint}: was trained on other sounds{why}; {way_out}")
    return was


def _written(value: object) -> str:
    """As a settings file has it."""
    return value if isinstance(value, str) else json.dumps(value)
