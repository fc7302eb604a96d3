"""Pretrained model that a training starts from: fine-tuning of the networks in a model folder.

Its generator is read from the weights that the player uses, its discriminator from a file of its own, if it has one.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import ValidationError
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn

from soundgan.data.dataset import Dataset
from soundgan.errors import ModelError, TrainingError
from soundgan.model_folder import DISCRIMINATOR, WEIGHTS, ModelConfig, bundled, read_config, resolve_model
from soundgan.settings import ModelSettings, Settings
from soundgan.training.networks.build import build_generator
from soundgan.training.state.checkpoint import read_training_config
from soundgan.training.state.train_state import TrainState
from soundgan.training.state.transfer import Adaptation, transfer_discriminator, transfer_generator

FEW_SOUNDS = 100  # up to which fine-tuning is suggested
FROM_SCRATCH = "train from scratch without --from (init_from)"
UNUSED_BY_NETWORK = {"residual": {"ngf", "ndf"}, "dcgan": {"size"}}


@dataclass(frozen=True)
class PretrainedModel:
    """Model that a training starts from.

    Attributes:
        config: its `config.json`.
        digest: of its weights.
        has_discriminator: the model folder holds its discriminator.
        folder: of the model; None in a resumed training, which does not need it.
    """

    config: ModelConfig
    digest: str
    has_discriminator: bool
    folder: Path | None = None

    def adopt(self, settings: Settings) -> Settings:
        """Return settings with the networks, the spectrograms and the leveling of this model.

        Raises:
            TrainingError: the settings contain other values for networks or spectrograms; the message has all of them.
        """
        network, representation = self._network(), self.config.representation
        values: dict[str, Any] = network.model_dump(exclude=UNUSED_BY_NETWORK[network.network])
        values |= representation.model_dump(include={"sample_rate", "scale", "window"})
        values["overlap"] = representation.n_fft // representation.hop_length
        values["range_db"] = representation.ceiling_db - representation.floor_db
        given = {key: value for key, value in settings.flat(exclude_unset=True).items() if value is not None}
        differing = [key for key, value in values.items() if given.get(key, value) != value]
        problems = [f"{key} = {values[key]}, not {given[key]}" for key in differing]
        bands, frames = given.get("image_size", (representation.bands, None))
        if bands != representation.bands:
            problems.append(f"image_size = [{representation.bands}, {frames}], not [{bands}, {frames}]")
        if problems:
            raise TrainingError(
                f"{self.config.name}: a training from this model has its {', '.join(problems)}; remove them from "
                f"settings and flags, or {FROM_SCRATCH}"
            )
        if not settings.is_set("level"):
            values["level"] = self.config.settings.get("data", {}).get("level", settings.data.level)
        return settings.with_values(**values)

    def load_into(self, train_state: TrainState, dataset: Dataset) -> None:
        """Copy the weights of this model into the networks of a training, see `soundgan.training.state.transfer`.

        Raises:
            ModelError: the model folder has no weights of these networks.
            TrainingError: they do not fit the dataset.
        """
        assert self.folder is not None, "only a new training loads weights"
        config, path = self.config, self.folder / WEIGHTS
        if config.representation.with_changes(frames=dataset.representation.frames) != dataset.representation:
            raise TrainingError(
                f"{config.name}: the dataset has other spectrograms than this model; prepare it with the representation"
                " of the model as `base`"
            )
        frames = config.representation.frames, dataset.representation.frames
        adaptation = Adaptation(config.labels, dataset.label_names, *frames)
        generator = build_generator(self._network(), config.representation, len(config.labels))
        weights = {name.removeprefix("generator."): value for name, value in _read(path).items()}
        _check_complete(path, generator, weights)
        try:
            for network in (train_state.generator, train_state.generator_ema):
                transfer_generator(weights, network, adaptation)
            if self.has_discriminator:
                path = self.folder / DISCRIMINATOR
                transfer_discriminator(_read(path), train_state.discriminator, adaptation)
        except ValueError as error:
            seconds = f"{config.representation.duration:.2f} s"
            raise TrainingError(
                f"{path}: does not fit spectrograms of this size ({error}); set the duration to that of the model, "
                f"{seconds}, or {FROM_SCRATCH}"
            ) from error

    def to_json(self) -> dict[str, Any]:
        """Return all that a resumed training needs to know of this model, as JSON types."""
        values = {"digest": self.digest, "has_discriminator": self.has_discriminator}
        return {"config": self.config.model_dump(mode="json"), **values}

    def _network(self) -> ModelSettings:
        try:
            return ModelSettings.model_validate(self.config.settings["model"])
        except (KeyError, ValidationError):
            raise ModelError(
                f"{self.config.name}: its config.json lacks the settings of its networks, or is of another SoundGAN; "
                f"choose another model, or {FROM_SCRATCH}"
            ) from None


def find_pretrained(init_from: str | None, checkpoint: Path) -> PretrainedModel | None:
    """Return the model that a training starts or has started from; None for a training from scratch.

    Args:
        init_from: path or name of a model; None resumes the checkpoint of a training from any model.

    Raises:
        ModelError: `init_from` is no model folder.
        TrainingError: the checkpoint is of a training from another model, or from scratch.
    """
    requested = _open(init_from) if init_from is not None else None
    if not checkpoint.exists():
        return requested
    values = read_training_config(checkpoint).get("pretrained")
    previous = PretrainedModel(**{**values, "config": ModelConfig(**values["config"])}) if values else None
    if requested is not None and (previous is None or previous.digest != requested.digest):
        start = f"from another model, {previous.config.name}" if previous else "from scratch"
        raise TrainingError(
            f"{checkpoint}: its training started {start}; resume it without --from (init_from), or choose another "
            "folder (--out, or saveroot in the settings)"
        )
    return previous


def suggestion(sounds: int) -> str:
    """Return the advice to fine-tune one of the bundled models on a few sounds; empty if there is none to give."""
    names = [name for name, folder in bundled().items() if (folder / DISCRIMINATOR).exists()]
    if sounds > FEW_SOUNDS or not names:
        return ""
    options = " or ".join(f"`--from {name}`" for name in names)
    return f"Note: {sounds} sounds: fine-tuning from a model of similar sounds, {options}, needs less data and time"


def _open(path_or_name: str) -> PretrainedModel:
    folder = resolve_model(path_or_name)
    try:
        digest = hashlib.blake2b((folder / WEIGHTS).read_bytes(), digest_size=12).hexdigest()
    except OSError as error:
        raise ModelError(
            f"{folder / WEIGHTS}: cannot be read ({error.strerror}); copy the model folder again"
        ) from error
    return PretrainedModel(read_config(folder), digest, (folder / DISCRIMINATOR).exists(), folder)


def _read(path: Path) -> dict[str, Tensor]:
    try:
        return {name: value.float() for name, value in load_file(path).items()}
    except (OSError, SafetensorError) as error:
        raise ModelError(f"{path}: cannot be read ({error}); copy the model folder again") from error


def _check_complete(path: Path, generator: nn.Module, weights: dict[str, Tensor]) -> None:
    """Raise `ModelError` unless the weights are those of a generator."""
    shapes = {name: value.shape for name, value in generator.state_dict().items()}
    for name, shape in shapes.items():
        if name not in weights or weights[name].shape != shape:
            problem = f"{name} of its generator is {'missing' if name not in weights else 'of another shape'}"
            raise ModelError(
                f"{path}: {problem}: the model is converted, or of another SoundGAN; fine-tune a model that this "
                f"SoundGAN has trained, or {FROM_SCRATCH}"
            )
