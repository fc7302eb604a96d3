"""Copies of model folders with other configurations, and the sizes of the pictures that models draw."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

from PIL import Image

from soundgan.model_folder import CONFIG


def copy_model(source: Path, target: Path) -> Path:
    """Copy a model without its training."""
    return Path(shutil.copytree(source, target, ignore=shutil.ignore_patterns("training")))


def read_config(folder: Path) -> dict[str, Any]:
    return json.loads((folder / CONFIG).read_text(encoding="utf-8"))


def edit_config(folder: Path, **changes: Any) -> None:
    (folder / CONFIG).write_text(json.dumps({**read_config(folder), **changes}), encoding="utf-8")


def picture_size(path: Path) -> tuple[int, int]:
    with Image.open(path) as image:
        return image.size
