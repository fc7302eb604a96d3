"""Generation of sounds by the generator of a model folder: ONNX Runtime, no PyTorch."""

from __future__ import annotations

import re
import secrets
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from numbers import Real
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import onnxruntime

from soundgan.cpu import cores
from soundgan.errors import ModelError, check_integer
from soundgan.model_folder import CONFIG, GENERATOR, MAPPING, WEIGHTS, ModelConfig, read_config, resolve_model
from soundgan.sound import LEVELS, Finish, Level, Sound
from soundgan.spectral.noise_texture import NoiseTexture
from soundgan.spectral.phase_retrieval import QUALITIES, Quality
from soundgan.spectral.representation import Representation, synthesize
from soundgan.spectral.stft import Floats
from soundgan.version import __version__

Session = onnxruntime.InferenceSession
Providers = list[str | tuple[str, dict[str, str]]]  # with options
SEEDS = 2**32  # number of seeds

# Execution providers of ONNX Runtime by device; where one is missing, the next is used.
_PROVIDERS = {"cuda": "CUDAExecutionProvider", "mps": "CoreMLExecutionProvider", "cpu": "CPUExecutionProvider"}


@dataclass(frozen=True)
class GenerationRequest:
    """Parameters of a sound: the same request to the same model gives the same sound.

    Attributes:
        seed: 0 to 2³² - 1.
        label: string or integer, as "3" or 3; None lets the seed choose one.
        truncation: psi of the truncation trick (Karras et al. 2019), 0 to 2; 1: full variety, 0: the mean of w.
        quality: of phase retrieval, "fast", "balanced" or "best"; see `soundgan.spectral.representation.synthesize`.
        level: "recorded": the peak of a recording like it, which the model generates; of older models, which know no
            levels of recordings, that of the spectrogram. "peak": -1 dBFS. "loudness": -23 LUFS, see
            `soundgan.sound.leveled`.
        keep_length: the sound is as long as the duration of the model, with silence after its end.
    """

    seed: int
    label: str | int | None = None
    truncation: float = 1.0
    quality: Quality = "balanced"
    level: Level = "recorded"
    keep_length: bool = False


class GeneratorOutputs(NamedTuple):
    """Outputs of the generator for one sound.

    Attributes:
        spectrogram: (bands, frames), float32 in [-1, 1].
        length: in s; None from older models, whose sounds end where they fall silent.
        level: peak in dBFS; None from older models.
    """

    spectrogram: Floats
    length: float | None = None
    level: float | None = None


class SeedInputs(NamedTuple):
    """Random inputs of a seed, in the order in which they are drawn, including those that are not used."""

    z: Floats  # (1, nz)
    label: int  # index of the label, for requests without one; 0 in a model without labels
    noise_offset: int  # start of the crop of the noise texture; 0 in a model without noise


class SoundGAN:
    """Trained generator of sounds; see `SoundGAN.load`."""

    def __init__(self, config: ModelConfig, mapping: Session, generator: Session, threads: int = 1) -> None:
        self.config = config
        self._mapping, self._generator, self._threads = mapping, generator, threads
        self._uses_noise = any(node.name == "noise" for node in generator.get_inputs())
        names = [node.name for node in generator.get_outputs()]
        self._outputs = [name for name in GeneratorOutputs._fields if name in names]
        self._noise_texture: NoiseTexture | None = None  # created on first use

    def __repr__(self) -> str:
        rep, labels = self.representation, ", ".join(self.labels) or "no labels"
        return f"<SoundGAN {self.config.name}: {labels}; {rep.duration:.2f} s at {rep.sample_rate} Hz>"

    @classmethod
    def load(cls, path_or_name: str | Path, *, device: object = "cpu", threads: int | None = None) -> SoundGAN:
        """Load a model folder or a bundled model.

        Args:
            path_or_name: a folder, or a name that `soundgan models` lists.
            device: `cuda`, `mps` or `cpu`, or an object with such a text, as a `torch.device`; `cuda:1` is the second
                GPU. The next one is used if it is missing. The sound of a seed is the same on the same device, and
                nearly the same on another.
            threads: of the generation; None: one per core, at most 16. They do not change the sounds.

        Raises:
            ModelError: the model or device does not exist, or the model is damaged.
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
            # The number of labels of a graph shows only when it runs.
            model._map(np.zeros((1, config.nz), np.float32), max(len(config.labels) - 1, 0), 1.0)
        except Exception as error:  # ONNX Runtime raises a class of its own for every kind of damage
            message = f"the generator does not have all of its {len(config.labels)} labels"
            raise ModelError(f"{folder / CONFIG}: {message}; copy or export the model again") from error
        return model

    @property
    def labels(self) -> tuple[str, ...]:
        """The labels of the model; empty for an unlabeled one."""
        return self.config.labels

    @property
    def representation(self) -> Representation:
        """Representation of the spectrograms: STFT, bands and levels."""
        return self.config.representation

    def generate(
        self,
        n: int = 1,
        *,
        label: str | int | None = None,
        seed: int | None = None,
        truncation: float = 1.0,
        quality: Quality = "balanced",
        level: Level = "recorded",
        keep_length: bool = False,
    ) -> list[Sound]:
        """Generate sounds; number i has the seed `seed + i`, independent of `n`.

        Args:
            n: number of sounds.
            seed: 0 to 2³² - 1; None: a random one.
            label, truncation, quality, level, keep_length: as in `GenerationRequest`.

        Raises:
            ModelError: the model does not have the label, or an argument is out of range.
        """
        n = check_integer("n", n, range(1, SEEDS + 1), ModelError)
        first = secrets.randbelow(SEEDS) if seed is None else check_integer("seed", seed, range(SEEDS), ModelError)
        seeds = [(first + i) % SEEDS for i in range(n)]
        return self.generate_batch(
            [GenerationRequest(seed, label, truncation, quality, level, keep_length) for seed in seeds]
        )

    def generate_batch(self, requests: Sequence[GenerationRequest]) -> list[Sound]:
        """Generate the sounds of requests; each sound is independent of the others in the batch.

        Raises:
            ModelError: as `check`, before any sound is generated.
        """
        for request in requests:
            self.check(request)
        inputs = self._draw_inputs(request.seed for request in requests)
        indices = [
            seed_inputs.label if request.label is None else self.labels.index(str(request.label))
            for seed_inputs, request in zip(inputs, requests, strict=True)
        ]
        truncations = [request.truncation for request in requests]
        with ThreadPoolExecutor(self._threads) as pool:
            run = map if len(requests) < 2 or self._threads == 1 else pool.map
            outputs = list(run(self._run_generator, inputs, indices, truncations))
        waves: dict[int, Floats] = {}
        qualities: set[Quality] = {request.quality for request in requests}
        for quality in qualities:
            rows = [row for row, request in enumerate(requests) if request.quality == quality]
            batch = np.stack([outputs[row].spectrogram for row in rows])
            batch_waves = synthesize(batch, self.representation, quality=quality, threads=self._threads)
            waves |= zip(rows, batch_waves, strict=True)
        return [
            self._sound(waves[row], outputs[row], self.labels[index] if self.labels else None, request)
            for row, (request, index) in enumerate(zip(requests, indices, strict=True))
        ]

    def check(self, request: GenerationRequest) -> None:
        """Raise `ModelError` if the model does not have the label, or another value of a request is out of range."""
        check_integer("seed", request.seed, range(SEEDS), ModelError)
        if request.label is not None and str(request.label) not in self.labels:
            known = f"it has {', '.join(self.labels)}" if self.labels else "it has no labels"
            raise ModelError(f"label = {request.label!r}: not a label of the model {self.config.name}; {known}")
        if not (isinstance(request.truncation, Real) and 0 <= request.truncation <= 2):
            raise ModelError(f"truncation = {request.truncation!r}: must be from 0 to 2")
        if request.quality not in list(QUALITIES):  # a list has no hash
            raise ModelError(f"quality = {request.quality!r}: must be one of {', '.join(QUALITIES)}")
        if request.level not in LEVELS:
            raise ModelError(f"level = {request.level!r}: must be one of {', '.join(LEVELS)}")

    def spectrogram(self, seed: int, label_index: int = 0, truncation: float = 1.0) -> Floats:
        """Return the spectrogram of a seed: (bands, frames), float32 in [-1, 1].

        The generator runs with a batch size of 1: kernels for another batch size round differently.

        Args:
            label_index: index into `labels`; 0 for a model without labels.
            seed, truncation: as in `GenerationRequest`.

        Raises:
            ModelError: an argument is out of range.
        """
        self.check(GenerationRequest(seed, truncation=truncation))
        label_index = check_integer("label_index", label_index, range(max(len(self.labels), 1)), ModelError)
        return self._run_generator(self._draw_inputs([seed])[0], label_index, truncation).spectrogram

    def _run_generator(self, seed_inputs: SeedInputs, label_index: int, truncation: float) -> GeneratorOutputs:
        inputs = {"w": self._map(seed_inputs.z, label_index, truncation)}
        if self._noise_texture:
            inputs["noise"] = self._noise_texture.crop(seed_inputs.noise_offset)
        spectrogram, *length_and_level = (
            np.asarray(output)[0] for output in self._generator.run(self._outputs, inputs)
        )
        return GeneratorOutputs(np.clip(spectrogram[0], -1, 1), *map(float, length_and_level))

    def _map(self, z: Floats, label_index: int, truncation: float) -> Any:
        """Return the mapped latent w, (1, …)."""
        inputs = {"z": z, "label": np.array([label_index]), "truncation": np.array([truncation], np.float32)}
        return self._mapping.run(["w"], inputs)[0]

    def _draw_inputs(self, seeds: Iterable[int]) -> list[SeedInputs]:
        """Draw the inputs of seeds. NumPy guarantees that the stream of `RandomState` never changes."""
        if self._uses_noise and self._noise_texture is None:
            self._noise_texture = NoiseTexture(self.representation)
        stream = np.random.RandomState(0)  # creating one takes longer than all draws from it
        inputs = []
        for seed in seeds:
            stream.seed(seed)
            z = stream.standard_normal(self.config.nz).astype(np.float32)[None]
            label = int(stream.randint(max(len(self.labels), 1)))
            noise_offset = int(stream.randint(self._noise_texture.num_offsets)) if self._noise_texture else 0
            inputs.append(SeedInputs(z, label, noise_offset))
        return inputs

    def _sound(self, wave: Floats, outputs: GeneratorOutputs, label: str | None, request: GenerationRequest) -> Sound:
        rep, end = self.representation, None
        if outputs.length is not None:
            end = rep.fade_in_samples + round(outputs.length * rep.sample_rate)
        finish = Finish(end, request.level, outputs.level, request.keep_length)
        wave = finish(wave, rep.sample_rate)
        labeled = self.config.name if label is None else f"{self.config.name} label={label}"
        values = f"seed={request.seed} truncation={request.truncation} quality={request.quality} level={request.level}"
        comment = f"generated by SoundGAN: model={labeled} {values}{' keep_length' if request.keep_length else ''}"
        tags = {"software": f"SoundGAN {__version__}", "comment": comment}
        if self.config.license:
            tags["copyright"] = f"model trained on data under {self.config.license}"
        return Sound(wave, rep.sample_rate, label, request.seed, outputs.spectrogram, tags, finish)


def _providers(device: str) -> Providers:
    """Return the execution providers for a device, in the order cuda, mps, cpu, starting with the requested one."""
    requested = re.fullmatch(rf"({'|'.join(_PROVIDERS)})(?::(\d+))?", device, re.ASCII)
    if not requested:
        raise ModelError(f"device = {device!r}: must be {', '.join(_PROVIDERS)}, or one with a number, as cuda:0")
    kinds, available = list(_PROVIDERS), onnxruntime.get_available_providers()
    usable = [kind for kind in kinds[kinds.index(requested[1]) :] if _PROVIDERS[kind] in available]
    number = {"device_id": requested[2] or "0"}
    return [(_PROVIDERS[kind], number) if kind == "cuda" else _PROVIDERS[kind] for kind in usable]


def _session(path: Path, providers: Providers, threads: int) -> Session:
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4  # errors are raised; the log would repeat them
    options.intra_op_num_threads = threads
    # Threads that spin while they wait for the next graph would take cores from phase retrieval.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    try:
        return onnxruntime.InferenceSession(path, options, providers=providers)
    except Exception as error:  # ONNX Runtime raises a class of its own for every kind of damage
        reason = str(error).splitlines()[0][:200]
        raise ModelError(f"{path}: cannot be loaded ({reason}); copy or export the model again") from error
