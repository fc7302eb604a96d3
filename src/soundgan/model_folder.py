"""The model folder, which a training writes, inference reads and users share.

`config.json` (this module), `mapping.onnx` and `generator.onnx` (the two parts of the generator), `model.safetensors`
(their weights, stored once, in half precision), `README.md` (the model card) and `samples/`. A model to start other
trainings from also has `discriminator.safetensors`. Nothing in a model folder is executed.
"""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError

from soundgan.errors import ModelError
from soundgan.files import check_name, write_text
from soundgan.spectral.representation import Representation

SCHEMA = 1
CONFIG, MAPPING, GENERATOR, WEIGHTS = "config.json", "mapping.onnx", "generator.onnx", "model.safetensors"
DISCRIMINATOR = "discriminator.safetensors"  # in half precision; the player does not read it
TRAINING = "training"  # sub-folder with checkpoint and log, if the model was trained here
DEFAULT_MODEL = "digits"  # the bundled model that is used when none is named


def _check_unique(labels: tuple[str, ...]) -> tuple[str, ...]:
    if twice := [label for label, count in Counter(labels).items() if count > 1]:
        raise ValueError(f"{twice[0]!r} is given twice")
    return labels


_Name = Annotated[str, AfterValidator(check_name)]


class ModelConfig(BaseModel):
    """Content of `config.json` of a model folder."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    schema_version: int = Field(default=SCHEMA, description="Version of this layout.")
    name: _Name = Field(description="Name of the model.")
    representation: Representation = Field(description="STFT, bands and levels of its spectrograms.")
    nz: int = Field(ge=1, description="Dimensions of the latent z.")
    labels: Annotated[tuple[_Name, ...], AfterValidator(_check_unique)] = Field(
        default=(), description="Its labels in the order of their indices; empty for none."
    )
    settings: dict[str, Any] = Field(default={}, description="The settings of its training.")
    training: dict[str, Any] = Field(default={}, description="samples_seen, steps, minutes, machine, parameters.")
    fine_tuned_from: str = Field(default="", description="Name of the model that it was fine-tuned from; empty: none.")
    license: str = Field(
        default="", description="License of its training data, and of the model that it was fine-tuned from."
    )
    attribution: str = Field(default="", description="Authors of that data.")
    onnx_difference: float = Field(
        default=0.0, ge=0, description="Largest difference between ONNX and PyTorch spectrograms, in a range of 2."
    )


def read_config(folder: Path) -> ModelConfig:
    """Read the `config.json` of a model folder; raise `ModelError` if it is missing, damaged or of a later version."""
    path = folder / CONFIG
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise _no_model(folder) from None
    except (OSError, ValueError, RecursionError) as error:
        raise ModelError(f"{path}: cannot be read ({error})") from error
    version = values.get("schema_version") if isinstance(values, dict) else None
    if isinstance(version, int) and version > SCHEMA:
        raise ModelError(f"{path}: has schema_version {version}, this SoundGAN reads {SCHEMA}; update SoundGAN")
    try:
        return ModelConfig.model_validate(values)
    except ValidationError as error:
        problem = error.errors()[0]
        field, value = ".".join(map(str, problem["loc"])), problem["input"]
        if isinstance(value, str):
            field += f" = {value!r:.100}"
        message = problem["msg"].removeprefix("Value error, ")
        raise ModelError(f"{path}: {field}: {message[:1].lower()}{message[1:]}; export the model again") from None


def write_config(folder: Path, config: ModelConfig) -> None:
    """Write the `config.json` of a model folder."""
    write_text(folder / CONFIG, config.model_dump_json(indent=2) + "\n")


def bundled() -> dict[str, Path]:
    """Return the folders of the bundled models by name; an installation may have none."""
    return _folders_in(Path(__file__).parent / "pretrained")


def models_in(folder: Path) -> dict[str, Path]:
    """Return the model folders in a folder, which may be one, by name; raise `ModelError` if it does not exist."""
    if not folder.is_dir():
        raise ModelError(f"{folder}: no such folder; name one that holds model folders")
    folders = _folders_in(folder)
    return {folder.resolve().name: folder, **folders} if (folder / CONFIG).is_file() else folders


def resolve_model(path_or_name: str | Path) -> Path:
    """Return the model folder of a path, or else of a bundled name; raise `ModelError` if neither exists."""
    folder = Path(path_or_name)
    if (folder / CONFIG).is_file():
        return folder
    models = bundled()
    if str(path_or_name) in models:
        return models[str(path_or_name)]
    if folder.is_dir():
        raise _no_model(folder)
    raise ModelError(f"{path_or_name}: neither a model folder nor a bundled model ({', '.join(models) or 'none'})")


def _folders_in(folder: Path) -> dict[str, Path]:
    return {path.parent.name: path.parent for path in sorted(folder.glob(f"*/{CONFIG}"))}


def _no_model(folder: Path) -> ModelError:
    if (folder / TRAINING).is_dir():
        return ModelError(f"{folder}: its training has written no model yet; `soundgan export {folder}` writes one")
    return ModelError(f"{folder}: not a model folder: it has no {CONFIG}")
