"""The player: a trained Generator from a model folder, and the sounds that it makes. ONNX Runtime, no PyTorch."""

from __future__ import annotations

import secrets
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import onnxruntime
from numpy.typing import NDArray

from soundgan import __version__, audio
from soundgan.errors import ModelError
from soundgan.model_folder import CONFIG, GENERATOR, MAPPING, WEIGHTS, ModelConfig, find, read_config
from soundgan.spectrogram import Representation, synthesise

if TYPE_CHECKING:
    from PIL.Image import Image

SEEDS = 2**32

# Execution providers of ONNX Runtime for the classic names of devices, the wished-for one first.
_PROVIDERS = {"cuda": "CUDAExecutionProvider", "mps": "CoreMLExecutionProvider", "cpu": "CPUExecutionProvider"}


@dataclass(frozen=True)
class Sound:
    """One generated sound.

    Attributes:
        samples: (samples,), float32 within full scale.
        sample_rate: in Hz.
        label: its label, None for a model without.
        seed: makes the same sound again with the same model, label and truncation.
        painting: (bands, frames), float32 in [-1, 1].
    """

    samples: NDArray[np.float32] = field(repr=False)
    sample_rate: int
    label: str | None
    seed: int
    painting: NDArray[np.float32] = field(repr=False)
    tags: dict[str, str] = field(repr=False)

    @property
    def duration(self) -> float:
        """Length in s."""
        return len(self.samples) / self.sample_rate

    def save(self, path: str | Path, *, subtype: audio.Subtype = "PCM_16") -> Path:
        """Write the sound as .wav, .flac or .ogg, tagged with model, label and seed; see `audio.write`."""
        return audio.write(path, self.samples, self.sample_rate, subtype=subtype, tags=self.tags)

    def picture(self, *, zoom: int = 1) -> Image:
        """The painting as a picture of frames × bands pixels, low frequencies at the bottom."""
        from soundgan.picture import picture

        return picture(self.painting, zoom=zoom)


class SoundGAN:
    """A trained Generator that turns noise into sounds; see `SoundGAN.load`."""

    def __init__(
        self, config: ModelConfig, mapping: onnxruntime.InferenceSession, generator: onnxruntime.InferenceSession
    ) -> None:
        self.config = config
        self._mapping = mapping
        self._generator = generator

    @classmethod
    def load(cls, path_or_name: str | Path, *, device: str = "cpu") -> SoundGAN:
        """Load a model folder or a bundled model.

        Args:
            path_or_name: a folder, or a name that `soundgan models` lists.
            device: `cpu`, `cuda` or `mps`; where that is missing, the CPU serves. The sound of a seed is the same on
                the same device, and nearly the same on another.

        Raises:
            ModelError: there is no such model, or it is damaged.
        """
        folder = find(path_or_name)
        config = read_config(folder)
        for name in (MAPPING, GENERATOR, WEIGHTS):
            if not (folder / name).is_file():
                raise ModelError(f"{folder / name}: is missing; copy or export the model again")
        mapping, generator = (_session(folder / name, device) for name in (MAPPING, GENERATOR))
        z, painting = mapping.get_inputs()[0], generator.get_outputs()[0]
        if z.shape[1:] != [config.nz] or tuple(painting.shape[2:]) != config.representation.shape:
            raise ModelError(f"{folder}: {CONFIG} and the ONNX files are of different models; copy or export it again")
        return cls(config, mapping, generator)

    @property
    def labels(self) -> tuple[str, ...]:
        """The labels that can be asked for; empty for a model without."""
        return self.config.labels

    @property
    def representation(self) -> Representation:
        """How the paintings of this model become sound."""
        return self.config.representation

    def generate(
        self, n: int = 1, *, label: str | None = None, seed: int | None = None, truncation: float = 1.0
    ) -> list[Sound]:
        """Make new sounds. Sound number i is that of `seed + i`, whatever `n` is.

        Args:
            n: how many.
            label: the kind of sound; None lets every seed choose one.
            seed: 0 to 2³² - 1; None takes a new one.
            truncation: 1 for the full variety; towards 0, sounds come closer to the typical one (Karras et al. 2019).

        Raises:
            ModelError: the model does not know the label, or an argument is out of range.
        """
        if n < 1:
            raise ModelError(f"n = {n}: at least 1 sound must be asked for")
        seed = secrets.randbelow(SEEDS) if seed is None else seed
        if not 0 <= seed < SEEDS:
            raise ModelError(f"seed = {seed}: must be from 0 to {SEEDS - 1}")
        seeds = [(int(seed) + i) % SEEDS for i in range(n)]
        indices = [self._label_index(label, one) for one in seeds]
        paintings = [self.paint(one, index, truncation) for one, index in zip(seeds, indices, strict=True)]
        waves = synthesise(np.stack(paintings), self.representation)
        return [
            self._sound(wave, painting, self.labels[index] if self.labels else None, one, truncation)
            for wave, painting, index, one in zip(waves, paintings, indices, seeds, strict=True)
        ]

    def paint(self, seed: int, label_index: int = 0, truncation: float = 1.0) -> NDArray[np.float32]:
        """The painting of a seed: (bands, frames), float32 in [-1, 1].

        Latents are drawn one at a time and painted one at a time: kernels for another batch size round differently.
        """
        if not 0 <= truncation <= 2:
            raise ModelError(f"truncation = {truncation}: must be from 0 to 2")
        z = _stream(seed).standard_normal(self.config.nz).astype(np.float32)[None]
        inputs = {"z": z, "label": np.array([label_index]), "truncation": np.array([truncation], np.float32)}
        (w,) = self._mapping.run(["w"], inputs)
        (painting,) = self._generator.run(["painting"], {"w": w})
        return np.clip(np.asarray(painting)[0, 0], -1, 1)

    def _label_index(self, label: str | None, seed: int) -> int:
        if label is not None and label not in self.labels:
            known = f"it knows {', '.join(self.labels)}" if self.labels else "it has no labels"
            raise ModelError(f"label = {label}: not a label of the model {self.config.name}; {known}")
        if label is not None:
            return self.labels.index(label)
        if not self.labels:
            return 0
        stream = _stream(seed)
        stream.standard_normal(self.config.nz)  # the latent of this seed comes first, with and without a label
        return int(stream.randint(len(self.labels)))

    def _sound(
        self, wave: NDArray[np.float32], painting: NDArray[np.float32], label: str | None, seed: int, truncation: float
    ) -> Sound:
        wave = wave / max(1.0, float(np.abs(wave).max()))  # too loud a sound is turned down as a whole
        comment = {"model": self.config.name, "label": label, "seed": seed, "truncation": truncation}
        told = " ".join(f"{key}={value}" for key, value in comment.items() if value is not None)
        tags = {"software": f"SoundGAN {__version__}", "comment": f"generated by SoundGAN: {told}"}
        if self.config.licence:
            tags["copyright"] = f"model trained on data under {self.config.licence}"
        return Sound(wave, self.representation.sample_rate, label, seed, painting, tags)


def _stream(seed: int) -> np.random.RandomState:
    """The random numbers of a seed. NumPy promises that this old generator's stream never changes."""
    return np.random.RandomState(seed)


def _session(path: Path, device: str) -> onnxruntime.InferenceSession:
    wished = [_PROVIDERS.get(device.split(":")[0], _PROVIDERS["cpu"]), _PROVIDERS["cpu"]]
    available = onnxruntime.get_available_providers()
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    try:
        providers = [provider for provider in dict.fromkeys(wished) if provider in available]
        return onnxruntime.InferenceSession(path, options, providers=providers)
    except Exception as error:  # ONNX Runtime raises a class of its own for every kind of damage
        reason = str(error).splitlines()[0][:200]
        raise ModelError(f"{path}: cannot be loaded ({reason}); copy or export the model again") from error
