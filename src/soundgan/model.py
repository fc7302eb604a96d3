"""The player: a trained Generator from a model folder, and the sounds that it makes. ONNX Runtime, no PyTorch."""

from __future__ import annotations

import operator
import re
import secrets
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import onnxruntime
from numpy.typing import NDArray

from soundgan.cpu import cores
from soundgan.errors import ModelError
from soundgan.model_folder import CONFIG, GENERATOR, MAPPING, WEIGHTS, ModelConfig, read_config, resolve_model
from soundgan.sound import Sound, finalize
from soundgan.spectral.noise_texture import NoiseTexture
from soundgan.spectral.phase_retrieval import QUALITIES, Quality
from soundgan.spectral.representation import Representation, synthesize
from soundgan.version import __version__

SEEDS = 2**32

# Execution providers of ONNX Runtime for the classic names of devices; where one is missing, the next is tried.
_PROVIDERS = {"cuda": "CUDAExecutionProvider", "mps": "CoreMLExecutionProvider", "cpu": "CPUExecutionProvider"}


@dataclass(frozen=True)
class GenerationRequest:
    """What a sound is made from: the same order to the same model makes the same sound.

    Attributes:
        seed: 0 to 2³² - 1.
        label: the kind of sound, 3 as well as "3"; None lets the seed choose one.
        truncation: 1 for the full variety, 0 to 2; towards 0, sounds come closer to the typical one (Karras et al.
            2019).
        quality: of the way from spectrogram to sound, "fast", "balanced" or "best"; see `spectrogram.synthesize`.
    """

    seed: int
    label: str | int | None = None
    truncation: float = 1.0
    quality: Quality = "balanced"


class SeedInputs(NamedTuple):
    """What a seed decides, in the order in which it is drawn, whether it is needed or not."""

    z: NDArray[np.float32]
    """(1, nz)"""
    label: int
    """The place of a label, for orders without one; 0 in a model without labels."""
    place: int
    """Where the grain is cut from its tape; 0 in a model without grain."""


class SoundGAN:
    """A trained Generator that turns noise into sounds; see `SoundGAN.load`."""

    def __init__(
        self,
        config: ModelConfig,
        mapping: onnxruntime.InferenceSession,
        generator: onnxruntime.InferenceSession,
        threads: int = 1,
    ) -> None:
        self.config = config
        self._mapping = mapping
        self._generator = generator
        self._threads = threads
        self._uses_noise = any(one.name == "noise" for one in generator.get_inputs())
        self._noise_texture: NoiseTexture | None = None  # made for the first spectrogram that takes some

    def __repr__(self) -> str:
        rep, labels = self.representation, ", ".join(self.labels) or "no labels"
        return f"<SoundGAN {self.config.name}: {labels}; {rep.duration:.2f} s at {rep.sample_rate} Hz>"

    @classmethod
    def load(cls, path_or_name: str | Path, *, device: object = "cpu", threads: int | None = None) -> SoundGAN:
        """Load a model folder or a bundled model.

        Args:
            path_or_name: a folder, or a name that `soundgan models` lists.
            device: `cuda`, `mps` or `cpu`, where the next one plays if it is missing, or anything whose text is so,
                such as a `torch.device`; `cuda:1` is the second GPU. The sound of a seed is the same on the same
                device, and nearly the same on another.
            threads: that make the sounds; one for each core, but no more than 16, if left out. They change no sound.

        Raises:
            ModelError: there is no such model or device, or the model is damaged.
        """
        providers, threads = _providers(str(device)), threads or min(cores(), 16)
        folder = resolve_model(path_or_name)
        config = read_config(folder)
        for name in (MAPPING, GENERATOR, WEIGHTS):
            if not (folder / name).is_file():
                raise ModelError(f"{folder / name}: is missing; copy or export the model again")
        mapping, generator = (_session(folder / name, providers, threads) for name in (MAPPING, GENERATOR))
        z, spectrogram = mapping.get_inputs()[0], generator.get_outputs()[0]
        if z.shape[1:] != [config.nz] or tuple(spectrogram.shape[2:]) != config.representation.shape:
            raise ModelError(f"{folder}: {CONFIG} and the ONNX files are of different models; copy or export it again")
        model = cls(config, mapping, generator, threads)
        try:
            # How many labels a graph knows shows when it is asked.
            model._map(np.zeros((1, config.nz), np.float32), max(len(config.labels) - 1, 0), 1.0)
        except Exception as error:  # ONNX Runtime raises a class of its own for every kind of damage
            told = f"the Generator does not know all of its {len(config.labels)} labels"
            raise ModelError(f"{folder / CONFIG}: {told}; copy or export the model again") from error
        return model

    @property
    def labels(self) -> tuple[str, ...]:
        """The labels that can be asked for; empty for a model without."""
        return self.config.labels

    @property
    def representation(self) -> Representation:
        """How the spectrograms of this model become sound."""
        return self.config.representation

    def generate(
        self,
        n: int = 1,
        *,
        label: str | int | None = None,
        seed: int | None = None,
        truncation: float = 1.0,
        quality: Quality = "balanced",
    ) -> list[Sound]:
        """Make new sounds. Sound number i is that of `seed + i`, whatever `n` is.

        Args:
            n: how many.
            seed: 0 to 2³² - 1; None takes a new one.
            label, truncation, quality: as in `GenerationRequest`.

        Raises:
            ModelError: the model does not know the label, or an argument is out of range.
        """
        n = _whole("n", n, range(1, SEEDS + 1))
        first = secrets.randbelow(SEEDS) if seed is None else _whole("seed", seed, range(SEEDS))
        return self.generate_batch(
            [GenerationRequest((first + i) % SEEDS, label, truncation, quality) for i in range(n)]
        )

    def generate_batch(self, requests: Sequence[GenerationRequest]) -> list[Sound]:
        """Make the sounds of any requests; each is the same whatever it is made together with.

        Raises:
            ModelError: as `check` does; no sound is made then.
        """
        for request in requests:
            self.check(request)
        drawn = self._drawn(request.seed for request in requests)
        indices = [
            one.label if request.label is None else self.labels.index(str(request.label))
            for one, request in zip(drawn, requests, strict=True)
        ]
        truncations = [request.truncation for request in requests]
        if len(requests) < 2 or self._threads == 1:
            spectrograms = list(map(self._spectrogram, drawn, indices, truncations))
        else:
            with ThreadPoolExecutor(self._threads) as pool:
                spectrograms = list(pool.map(self._spectrogram, drawn, indices, truncations))
        waves: dict[int, NDArray[np.float32]] = {}
        qualities: set[Quality] = {request.quality for request in requests}
        for quality in qualities:
            places = [place for place, request in enumerate(requests) if request.quality == quality]
            chosen = np.stack([spectrograms[i] for i in places])
            made = synthesize(chosen, self.representation, quality=quality, threads=self._threads)
            waves |= zip(places, made, strict=True)
        return [
            self._sound(waves[place], spectrograms[place], self.labels[index] if self.labels else None, request)
            for place, (request, index) in enumerate(zip(requests, indices, strict=True))
        ]

    def check(self, request: GenerationRequest) -> None:
        """Raise `ModelError` if the model does not know the label, or another part of a request is out of range."""
        _whole("seed", request.seed, range(SEEDS))
        if request.label is not None and str(request.label) not in self.labels:
            known = f"it knows {', '.join(self.labels)}" if self.labels else "it has no labels"
            raise ModelError(f"label = {request.label!r}: not a label of the model {self.config.name}; {known}")
        _check_truncation(request.truncation)
        if request.quality not in QUALITIES:
            raise ModelError(f"quality = {request.quality!r}: must be one of {', '.join(QUALITIES)}")

    def spectrogram(self, seed: int, label_index: int = 0, truncation: float = 1.0) -> NDArray[np.float32]:
        """The spectrogram of a seed: (bands, frames), float32 in [-1, 1].

        Latents are drawn one at a time and painted one at a time: kernels for another batch size round differently.

        Args:
            seed: 0 to 2³² - 1.
            label_index: place of the label in `labels`; 0 for a model without.
            truncation: as in `generate`.

        Raises:
            ModelError: an argument is out of range.
        """
        seed = _whole("seed", seed, range(SEEDS))
        label_index = _whole("label_index", label_index, range(max(len(self.labels), 1)))
        _check_truncation(truncation)
        (drawn,) = self._drawn([seed])
        return self._spectrogram(drawn, label_index, truncation)

    def _spectrogram(self, drawn: SeedInputs, label_index: int, truncation: float) -> NDArray[np.float32]:
        inputs = {"w": self._map(drawn.z, label_index, truncation)}
        if self._noise_texture:
            inputs["noise"] = self._noise_texture.crop(drawn.place)
        (spectrogram,) = self._generator.run(["spectrogram"], inputs)
        return np.clip(np.asarray(spectrogram)[0, 0], -1, 1)

    def _map(self, z: NDArray[np.float32], label_index: int, truncation: float) -> Any:
        """The mapped latent w, (1, …), as the graph gives it."""
        inputs = {"z": z, "label": np.array([label_index]), "truncation": np.array([truncation], np.float32)}
        return self._mapping.run(["w"], inputs)[0]

    def _drawn(self, seeds: Iterable[int]) -> list[SeedInputs]:
        """What some seeds decide. NumPy promises that the stream of its old generator never changes."""
        if self._uses_noise and self._noise_texture is None:
            self._noise_texture = NoiseTexture(self.representation)
        stream = np.random.RandomState(0)  # to make one takes longer than all that is drawn from it
        drawn = []
        for seed in seeds:
            stream.seed(seed)
            z = stream.standard_normal(self.config.nz).astype(np.float32)[None]
            label = int(stream.randint(max(len(self.labels), 1)))
            drawn.append(
                SeedInputs(z, label, int(stream.randint(self._noise_texture.num_offsets)) if self._noise_texture else 0)
            )
        return drawn

    def _sound(
        self, wave: NDArray[np.float32], spectrogram: NDArray[np.float32], label: str | None, order: GenerationRequest
    ) -> Sound:
        wave = finalize(wave, self.representation.sample_rate)
        comment = {
            "model": self.config.name, "label": label, "seed": order.seed, "truncation": order.truncation,
            "quality": order.quality,
        }  # fmt: skip
        told = " ".join(f"{key}={value}" for key, value in comment.items() if value is not None)
        tags = {"software": f"SoundGAN {__version__}", "comment": f"generated by SoundGAN: {told}"}
        if self.config.license:
            tags["copyright"] = f"model trained on data under {self.config.license}"
        return Sound(wave, self.representation.sample_rate, label, order.seed, spectrogram, tags)


def _whole(name: str, value: object, allowed: range) -> int:
    """A whole number of Python or NumPy as an int; `ModelError` if it is none, or out of range."""
    try:
        number = operator.index(value)  # type: ignore[arg-type]
    except TypeError:
        number = None
    if number is None or number not in allowed:
        raise ModelError(f"{name} = {value!r}: must be a whole number from {allowed[0]} to {allowed[-1]}")
    return number


def _check_truncation(truncation: object) -> None:
    try:
        possible = 0 <= truncation <= 2  # type: ignore[operator]
    except TypeError:
        possible = False
    if not possible:
        raise ModelError(f"truncation = {truncation!r}: must be from 0 to 2")


def _providers(device: str) -> list[str | tuple[str, dict[str, str]]]:
    """The execution providers to try for a device, in order: cuda, mps, cpu, from the wished-for one on."""
    wished = re.fullmatch(rf"({'|'.join(_PROVIDERS)})(?::(\d+))?", device, re.ASCII)
    if not wished:
        raise ModelError(f"device = {device!r}: must be {', '.join(_PROVIDERS)}, or one with a number, as cuda:0")
    kinds, available = list(_PROVIDERS), onnxruntime.get_available_providers()
    usable = [kind for kind in kinds[kinds.index(wished[1]) :] if _PROVIDERS[kind] in available]
    number = {"device_id": wished[2] or "0"}
    return [(_PROVIDERS[kind], number) if kind == "cuda" else _PROVIDERS[kind] for kind in usable]


def _session(
    path: Path, providers: list[str | tuple[str, dict[str, str]]], threads: int
) -> onnxruntime.InferenceSession:
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4  # what goes wrong is raised; the log would tell it once more
    options.intra_op_num_threads = threads
    # Threads that wait in a loop for the next graph would keep their cores from the search for phases.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    try:
        return onnxruntime.InferenceSession(path, options, providers=providers)
    except Exception as error:  # ONNX Runtime raises a class of its own for every kind of damage
        reason = str(error).splitlines()[0][:200]
        raise ModelError(f"{path}: cannot be loaded ({reason}); copy or export the model again") from error
