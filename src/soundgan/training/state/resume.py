"""Going on with a checkpoint: only with the data and the settings that it was made with."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from soundgan.errors import TrainingError
from soundgan.settings import Settings
from soundgan.training.state.checkpoint import read_made_with

# What a resumed run may change; everything else must be as it was. The last line is for getting over a divergence.
CHANGEABLE = {
    "dataroot", "saveroot", "exclude", "licence", "attribution", "original_image_size",
    "minutes", "sounds", "num_epochs", "snapshot_minutes", "threads", "workers", "precision", "ngpu",
    "lr_G", "lr_D", "penalty",
}  # fmt: skip
ANOTHER = "another folder (--out, or saveroot in the settings)"
OF_THE_OTHER_NETWORK = {"residual": {"ngf", "ndf"}, "dcgan": {"size"}}


def read_before(checkpoint: Path, now: dict[str, Any]) -> dict[str, Any]:
    """What a checkpoint was made with, if a run made with `now` may go on from it.

    Raises:
        TrainingError: it was made with other data or settings, or is damaged; the message names what differs.
    """
    was = read_made_with(checkpoint)
    way_out = f"choose {ANOTHER}, or delete {checkpoint.parent.parent} to start anew"
    for key in sorted(now["settings"].keys() - CHANGEABLE - OF_THE_OTHER_NETWORK[now["settings"]["network"]]):
        # A setting that the checkpoint does not know yet had what is now its default.
        before, after = was["settings"].get(key, Settings.model_fields[key].default), now["settings"][key]
        if before != after:
            told = f"was trained with {key} = {_written(before)}, now it is {_written(after)}"
            raise TrainingError(f"{checkpoint}: {told}; {way_out}")
    # Afterwards, because a setting that changes the paintings is better told by its name.
    if was["data"] != now["data"]:
        then, asked = (_written(values["settings"].get("exclude", [])) for values in (was, now))
        why = f" (exclude = {then}, now it is {asked})" if then != asked else ", or on these by other names"
        raise TrainingError(f"{checkpoint}: was trained on other sounds{why}; {way_out}")
    return was


def _written(value: object) -> str:
    """As a settings file has it."""
    return value if isinstance(value, str) else json.dumps(value)
