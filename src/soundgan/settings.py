"""The settings of SoundGAN: every value of a settings file such as `gan_config.json`, checked strictly.

A settings file is a JSON object with six sections (`data`, `spectrogram`, `model`, `optim`, `losses`, `run`). A setting
may also stand at the top level, as in the classic `gan_config.json`: names are unique over all sections.
"""

from __future__ import annotations

import difflib
import json
import re
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from soundgan.errors import SettingsError

# JSON has no tuples: items are checked strictly, and the list is converted.
Side = Annotated[int, Field(ge=16, le=4096)]
SpectrogramSide = Annotated[int, Field(ge=16, le=4096, multiple_of=16)]
Size = Annotated[tuple[Side, Side], Field(strict=False)]
SpectrogramSize = Annotated[tuple[SpectrogramSide, SpectrogramSide], Field(strict=False)]
Channels = Annotated[int, Field(ge=1, le=512)]
Positive = Annotated[float, Field(gt=0)]
Fraction = Annotated[float, Field(gt=0, le=1)]
Weight = Annotated[float, Field(ge=0)]

# Classic settings that are accepted and ignored, with the reason.
IGNORED = {"workers": "the data is read once, on all cores, and cached"}
MAX_QUOTED = 200  # characters of a value in a message


class Section(BaseModel):
    """A section of the settings; unknown keys are refused, values are never converted."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, allow_inf_nan=False)


class DataSettings(Section):
    """The recordings to train on."""

    dataroot: str = Field(default="./data", description="Folder of sounds to train on; its sub-folders are the labels.")
    exclude: tuple[str, ...] = Field(
        default=(), strict=False, description="Patterns of excluded files (path below dataroot), such as `*_test.wav`."
    )
    level: Literal["peak", "rms", "none"] = Field(
        default="peak", description="Leveling of recordings: to equal peak, to equal RMS, or not at all."
    )
    slice: bool = Field(default=False, description="Cut recordings into slices of `duration`; else use their start.")
    license: str = Field(default="", description="License of the sounds in dataroot, for the model card.")
    attribution: str = Field(default="", description="Authors of the sounds in dataroot, for the model card.")


class SpectrogramSettings(Section):
    """The spectrogram of a sound. `null` values are chosen from the recordings."""

    sample_rate: Literal[8000, 16000, 22050, 44100, 48000] | None = Field(
        default=None, description="Sample rate of the sounds, in Hz; null: the nearest preset to that of the data."
    )
    duration: float | None = Field(
        default=None, ge=0.25, le=10.0, description="Length of a sound, in s; null: from the lengths of the recordings."
    )
    image_size: SpectrogramSize | None = Field(
        default=None,
        description="Size [bands, frames], multiples of 16, such as [64, 64]; null: from sample_rate and duration.",
    )
    original_image_size: Size | None = Field(
        default=None,
        description="Size [bands, frames], such as [64, 64], to which `main.py` and POST /infer stretch a spectrogram "
        "before synthesis (more frames: a slower, longer sound); null: no resizing.",
    )
    range_db: float | None = Field(
        default=None, ge=20, le=120, description="Range of levels of a spectrogram, in dB; null: from the preset."
    )
    scale: Literal["mel", "linear"] | None = Field(
        default=None, description="Spacing of the frequency bands; null: from the preset."
    )
    window: Literal["hann", "gaussian"] = Field(default="hann", description="Window function of the STFT.")
    overlap: Literal[2, 4, 8] | None = Field(
        default=None, description="Overlap factor of the STFT, n_fft / hop_length; null: from the preset."
    )


class ModelSettings(Section):
    """The two networks."""

    network: Literal["residual", "dcgan"] = Field(
        default="residual", description="Architecture: `residual`, or `dcgan`, the classic one."
    )
    size: int = Field(default=32, ge=8, le=512, multiple_of=8, description="Channels of the finest stage (residual).")
    nc: int = Field(default=1, ge=1, le=4, description="Channels of a spectrogram; the first one is the sound.")
    nz: int = Field(default=64, ge=1, le=4096, description="Dimensions of the latent z.")
    ngf: Channels = Field(default=32, description="Channels of the last hidden layer of the dcgan generator.")
    ndf: Channels = Field(default=32, description="Channels of the first layer of the dcgan discriminator.")


class OptimSettings(Section):
    """Batches, Adam, and the EMA of the generator's weights."""

    batch_size: int = Field(default=16, ge=2, le=4096, multiple_of=2, description="Samples in a training step.")
    lr_G: Fraction = Field(
        default=1e-3, description="Learning rate of the generator (Adam); decays as 1/√samples_seen after 1,000 steps."
    )
    lr_D: Fraction = Field(default=1e-3, description="Learning rate of the discriminator (Adam), with the same decay.")
    beta1: float = Field(default=0.0, ge=0, lt=1, description="beta1 of Adam, the decay of the first moment.")
    beta2: float = Field(default=0.99, ge=0, lt=1, description="beta2 of Adam, the decay of the second moment.")
    ema_rampup: Fraction = Field(default=0.05, description="Half-life of the EMA, as a fraction of samples_seen.")


class LossSettings(Section):
    """Weights of the loss terms, augmentation and instance noise. A weight of 0 removes the term."""

    gradient_penalty: Weight = Field(default=0.1, description="Weight (gamma) of the R1 and R2 gradient penalties.")
    gradient_penalty_sigma: Fraction = Field(default=0.05, description="Step of the penalties' finite difference.")
    label_loss: Weight = Field(default=0.2, description="Weight of the auxiliary classifier's loss on real labels.")
    mode_seeking: Weight = Field(
        default=2.0, description="Weight against mode collapse: generated sounds of a label should differ as real ones."
    )
    imle: Weight = Field(
        default=3.0,
        description="Weight of the IMLE loss; it pulls the generated spectrogram nearest to each recording toward it, "
        "up to the distance of another recording.",
    )
    texture: Weight = Field(default=2.0, description="Weight of the difference in texture from the nearest recording.")
    pitch: Weight = Field(default=1.5, description="Weight of the difference in pitch from the nearest recording.")
    augment_p: Annotated[float, Field(ge=0, le=1)] | None = Field(
        default=None, description="Probability of each augmentation (shift, gain, mask); null: adaptive (ADA)."
    )
    initial_noise_std: float = Field(
        default=0.0, ge=0, le=2, description="Initial standard deviation of the discriminator's instance noise."
    )
    noise_decay_rate: Fraction = Field(default=0.997, description="Factor of the instance noise from step to step.")


class RunSettings(Section):
    """Folder, limits, seed, precision and device of a training; the level of sounds of `main.py` and POST /infer."""

    saveroot: str = Field(default="./save", description="Model folder, with the training's checkpoint and log.")
    init_from: str | None = Field(default=None, description="Model folder or bundled model to fine-tune; null: none.")
    keep_discriminator: bool = Field(default=False, description="Store the discriminator, for fine-tuning of a model.")
    num_epochs: int | None = Field(default=None, ge=1, description="Stop after this many passes over the data.")
    minutes: Positive | Literal["auto"] | None = Field(
        default=None,
        description="Limit in wall-clock minutes; auto: early stopping by validation; null: 60 without another limit.",
    )
    max_samples: int | None = Field(default=None, ge=1, description="Stop after this many real samples (samples_seen).")
    snapshot_minutes: Positive = Field(default=3.0, description="Minutes between checkpoints, with images and sounds.")
    precision: Literal["auto", "bfloat16", "float32"] = Field(
        default="auto", description="Precision of convolutions; auto: bfloat16 if a short benchmark finds it faster."
    )
    seed: int = Field(
        default=0, ge=0, lt=2**32, description="Random seed: same seed, data, machine and samples_seen, same model."
    )
    threads: int = Field(default=0, ge=0, le=256, description="CPU threads of the training; 0: one per free core.")
    ngpu: int = Field(default=1, ge=0, description="0: CPU only; otherwise a GPU is used if there is one.")
    output_level: Literal["recorded", "peak", "loudness"] = Field(
        default="recorded",
        description="Level of sounds of `main.py` and POST /infer: as recordings, peak at -1 dBFS, or at -23 LUFS.",
    )


class Settings(Section):
    """All settings, in sections; each part of the software takes the section that it uses."""

    data: DataSettings = DataSettings()
    spectrogram: SpectrogramSettings = SpectrogramSettings()
    model: ModelSettings = ModelSettings()
    optim: OptimSettings = OptimSettings()
    losses: LossSettings = LossSettings()
    run: RunSettings = RunSettings()

    def with_values(self, **values: Any) -> Settings:
        """Return settings with some values replaced, which are given by their bare names; see `check_settings`."""
        return check_settings({**self.flat(exclude_unset=True), **values})

    def flat(self, *, exclude_unset: bool = False) -> dict[str, Any]:
        """Return all values, or only those that were given, as JSON types under their bare names."""
        sections = self.model_dump(mode="json", exclude_unset=exclude_unset).values()
        return {name: value for section in sections for name, value in section.items()}

    def is_set(self, name: str) -> bool:
        """Return whether a setting was given, rather than left at its default."""
        section = SECTION_OF[name]
        return section in self.model_fields_set and name in getattr(self, section).model_fields_set


SECTIONS: dict[str, type[Section]] = {name: type(field.default) for name, field in Settings.model_fields.items()}
SECTION_OF = {name: section for section, fields in SECTIONS.items() for name in fields.model_fields}


def load_settings(path: str | Path) -> Settings:
    """Read and check a settings file.

    Raises:
        SettingsError: the file cannot be read, is not JSON, or a key or value in it is wrong. The message is one line
            that names the file, the key, the value and what is allowed.
    """
    try:
        text = Path(path).read_text(encoding="utf-8-sig")  # some editors begin a file with a byte order mark
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not UTF-8 text"
        raise SettingsError(f"{path}: cannot be read: {reason}; name another settings file with --config") from error
    try:
        values = json.loads(text, object_pairs_hook=partial(_checked_object, source=str(path)))
    except json.JSONDecodeError as error:
        raise SettingsError(f"{path}: not JSON: {error.msg} at line {error.lineno}, column {error.colno}") from error
    except (ValueError, RecursionError) as error:
        raise SettingsError(f"{path}: not settings: a number in it is too long or it is nested too deeply") from error
    if not isinstance(values, dict):
        raise SettingsError(f"{path}: must hold one JSON object of settings, not {type(values).__name__}")
    return check_settings(values, source=str(path))


def check_settings(values: Mapping[str, Any], source: str = "settings", names: Mapping[str, str] = {}) -> Settings:
    """Return `values`, in sections or flat, as checked settings.

    Args:
        source: of the values, for error messages.
        names: of settings in that source, such as flags, for error messages.

    Raises:
        SettingsError: keys or values are wrong; the message names all of them.
    """
    nested = _nested(values, source)
    try:
        return Settings.model_validate(nested)
    except ValidationError as error:
        problems: dict[str, list[Any]] = {}
        for problem in sorted(error.errors(), key=lambda problem: problem["type"] != "extra_forbidden"):
            problems.setdefault(str((source, *problem["loc"][:2])[-1]), []).append(problem)
        message = "; ".join(_describe(key, group, names) for key, group in problems.items())
        raise SettingsError(f"{source}: {message}") from None


def with_options(settings: Settings, options: Mapping[str, Any]) -> Settings:
    """Replace values by the options of a command line that were given (are not None); see `check_settings`."""
    given = {name: value for name, value in options.items() if value is not None}
    flags = {name: f"--{name.replace('_', '-')}" for name in given}
    flags |= {"dataroot": "FOLDER", "saveroot": "--out", "init_from": "--from"}
    return check_settings({**settings.flat(exclude_unset=True), **given}, source="command line", names=flags)


def _checked_object(pairs: list[tuple[str, Any]], source: str) -> dict[str, Any]:
    """Return a JSON object; refuse repeated keys, which `dict` would hide, and text that no file can hold."""
    checked: dict[str, Any] = {}
    for key, value in pairs:
        if key in checked:
            raise SettingsError(f"{source}: {_quoted(key)} is given twice; delete one")
        checked[key] = value
        for text in (key, *(value if isinstance(value, list) else [value])):
            if isinstance(text, str) and re.search("[\0\ud800-\udfff]", text):
                raise SettingsError(f"{source}: {_quoted(text)} holds a zero character or half of a surrogate pair")
    return checked


def _quoted(value: object) -> str:
    """Return a value as JSON, cut to a length for a message."""
    text = json.dumps(value, default=str)
    return text if len(text) <= MAX_QUOTED else f"{text[:MAX_QUOTED]} …"


def _nested(values: Mapping[str, Any], source: str) -> dict[str, Any]:
    """Return values with every bare name moved into its section."""
    nested: dict[str, Any] = {
        key: dict(value) if isinstance(value, Mapping) else value
        for key, value in values.items()
        if key not in SECTION_OF and key not in IGNORED
    }
    for name in [name for name in values if name in SECTION_OF]:
        section = nested.setdefault(SECTION_OF[name], {})
        if isinstance(section, dict):  # otherwise the error is that of the section
            if name in section:
                raise SettingsError(f"{source}: {name} is given twice, at the top level and in {SECTION_OF[name]}")
            section[name] = values[name]
    return nested


def _describe(key: str, problems: Sequence[Any], names: Mapping[str, str]) -> str:
    """Describe the first wrong value of a key, which may have a problem for each type that it may have."""
    first = problems[0]
    if first["type"] == "extra_forbidden":
        if key in SECTION_OF:  # in another section than its own
            section = first["loc"][0]
            return f"{_quoted(key)} is not a setting of {section}; did you mean {SECTION_OF[key]}.{key}?"
        near = difflib.get_close_matches(key, [*SECTION_OF, *SECTIONS, *IGNORED], n=1)
        known = near and near[0] != key  # an ignored key may be in a section
        hint = f"did you mean {near[0]}?" if known else "see `soundgan config --schema` for all settings"
        return f"{_quoted(key)} is not a setting; {hint}"
    if key in SECTIONS:
        return f"{key} = {_quoted(first['input'])}: must be a JSON object of settings"
    field = SECTIONS[SECTION_OF[key]].model_fields.get(key) if key in SECTION_OF else None
    meaning = f" ({field.description.rstrip('.')})" if field and field.description else ""
    value = _quoted(first["input"])
    same = (problem["msg"] for problem in problems if _quoted(problem["input"]) == value)
    allowed = " or ".join(dict.fromkeys(same)).lower().replace("tuple", "list").replace(" or input should be", " or")
    return f"{names.get(key, key)} = {value}: {allowed}{meaning}"
