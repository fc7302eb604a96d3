"""The settings: what `gan_config.json` may say, checked strictly, with every value's meaning and unit."""

from __future__ import annotations

import difflib
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from soundgan.errors import SettingsError

# JSON has lists, not tuples: strict about what is in them, not about what they are.
Side = Annotated[int, Field(ge=16, le=4096)]
PaintedSide = Annotated[int, Field(ge=16, le=4096, multiple_of=16)]
Size = Annotated[tuple[Side, Side], Field(strict=False)]
PaintedSize = Annotated[tuple[PaintedSide, PaintedSide], Field(strict=False)]


class Settings(BaseModel):
    """Everything that can be set, with defaults that follow the data; unknown keys are refused.

    Fields that are `null` are chosen from the folder of sounds. The classic keys keep their classic names.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, allow_inf_nan=False)

    # Where things are.
    dataroot: str = Field(default="./data", description="Folder of sounds to train on; its sub-folders are the labels.")
    saveroot: str = Field(default="./save", description="Folder of the trained model, its checkpoint and its log.")

    licence: str = Field(default="", description="Licence of the sounds in dataroot; it goes into the model card.")
    attribution: str = Field(default="", description="Whom the model card names for the sounds in dataroot.")

    # What a painting is.
    sample_rate: Literal[8000, 16000, 22050, 44100] | None = Field(
        default=None, description="Sample rate of the sounds made, in Hz; null: the nearest preset to the data's own."
    )
    duration: float | None = Field(
        default=None, ge=0.25, le=10.0, description="Length of a sound, in s; null: from the lengths found in the data."
    )
    image_size: PaintedSize | None = Field(
        default=None,
        description="Size of a painting as [bands, frames], both multiples of 16; null: from sample_rate and duration.",
    )
    original_image_size: Size | None = Field(
        default=None,
        description="Size as [bands, frames] to which the classic inference resizes a painting before it is made "
        "into sound (more frames: a slower, longer sound); null: the painting keeps its size.",
    )
    nc: int = Field(default=1, ge=1, le=4, description="Channels of a painting; the first one is the sound.")
    range_db: float | None = Field(
        default=None, ge=20, le=120, description="Range of levels that a painting spans, in dB; null: from the preset."
    )
    scale: Literal["mel", "linear"] | None = Field(
        default=None, description="Spacing of a painting's bands over frequency; null: from the preset."
    )
    window: Literal["hann", "gaussian"] = Field(default="hann", description="Shape of the window of the STFT.")
    redundancy: Literal[2, 4, 8] | None = Field(
        default=None, description="Windows over every sample: more frames a second; null: from the preset."
    )
    level: Literal["peak", "rms", "none"] = Field(
        default="peak",
        description="How recordings are levelled before training: to equal peak, to equal RMS, or not at all.",
    )
    slice: bool = Field(
        default=False,
        description="Cut long recordings into slices of `duration`; otherwise only their beginning is used.",
    )

    exclude: Annotated[tuple[str, ...], Field(strict=False)] = Field(
        default=(),
        description="Patterns of files that are left out, such as `*_test.wav`; matched with the name in the folder.",
    )

    # The networks.
    network: Literal["residual", "dcgan"] = Field(
        default="residual", description="Shape of the networks: `residual`, or `dcgan`, the classic one."
    )
    size: int = Field(
        default=32,
        ge=8,
        le=512,
        multiple_of=8,
        description="Size dial of the residual networks: channels of the finest stage.",
    )
    nz: int = Field(
        default=64, ge=1, le=4096, description="Numbers in the latent z, the noise that a sound is made from."
    )
    ngf: int = Field(default=32, ge=1, le=512, description="Channels of the last hidden layer of the dcgan Generator.")
    ndf: int = Field(default=32, ge=1, le=512, description="Channels of the first layer of the dcgan Discriminator.")

    # The training.
    batch_size: int = Field(default=16, ge=2, le=4096, multiple_of=2, description="Sounds in one training step.")
    lr_G: float = Field(
        default=1e-3,
        gt=0,
        le=1,
        description="Learning rate of the Generator (Adam) at the start; from 1,000 steps on it falls with the square "
        "root of the sounds seen.",
    )
    lr_D: float = Field(
        default=1e-3, gt=0, le=1, description="Learning rate of the Discriminator (Adam), in the same way."
    )
    beta1: float = Field(default=0.0, ge=0, lt=1, description="Adam's decay of the mean of the gradients.")
    beta2: float = Field(default=0.99, ge=0, lt=1, description="Adam's decay of the mean of their squares.")
    penalty: float = Field(default=0.1, ge=0, description="Strength (gamma) of the R1 and R2 gradient penalties.")
    penalty_sigma: float = Field(
        default=0.05, gt=0, le=1, description="Step of the finite difference that measures the gradient penalties."
    )
    ema: float = Field(
        default=0.05,
        gt=0,
        le=1,
        description="Half-life of the averaged Generator, as a share of the sounds seen so far.",
    )
    initial_noise_std: float = Field(
        default=0.0,
        ge=0,
        le=2,
        description="Standard deviation of the noise added to paintings that the Discriminator sees.",
    )
    noise_decay_rate: float = Field(
        default=0.997, gt=0, le=1, description="Factor by which that noise shrinks with every training step."
    )
    augment: float | None = Field(
        default=None,
        ge=0,
        le=1,
        description="Probability of each change (shift, gain, blank) to a painting that the Discriminator sees; null: "
        "adapted, so that few recordings are not learnt by heart.",
    )
    recognition: float = Field(
        default=0.2,
        ge=0,
        description="Strength with which the Discriminator also learns which label a recording has.",
    )
    variety: float = Field(
        default=2.0,
        ge=0,
        description="Strength that drives made sounds of a label apart while they are more alike than recordings are.",
    )
    imle: float = Field(
        default=3.0,
        ge=0,
        description="Strength that draws the made sound nearest to each recording towards it, so that none is left "
        "out, until it is as near as another recording.",
    )
    texture: float = Field(
        default=2.0,
        ge=0,
        description="Strength that teaches made sounds the texture (noise, stripes) of the recordings nearest to them.",
    )
    pitch: float = Field(
        default=1.5,
        ge=0,
        description="Strength that teaches made sounds the pitch of the recordings nearest to them.",
    )
    num_epochs: int | None = Field(
        default=None,
        ge=1,
        description="Train for this many passes over the data; null: until `minutes` or `sounds` is reached.",
    )
    minutes: Annotated[float, Field(gt=0)] | Literal["auto"] | None = Field(
        default=None,
        description="Train for this long, in minutes of wall-clock time; auto: until the sounds get no better.",
    )
    sounds: int | None = Field(default=None, ge=1, description="Train until this many real sounds have been seen.")
    snapshot_minutes: float = Field(
        default=3.0,
        gt=0,
        description="Minutes between two checkpoints, each with a grid of paintings and a few WAV files.",
    )
    precision: Literal["auto", "bfloat16", "float32"] = Field(
        default="auto",
        description="Arithmetic of the convolutions; auto: bfloat16 where a short trial shows that it is faster.",
    )
    seed: int = Field(
        default=0,
        ge=0,
        lt=2**32,
        description="Seed of the training: same seed, data, machine and number of sounds seen, same model.",
    )
    threads: int = Field(default=0, ge=0, le=256, description="Threads that train on the CPU; 0: all cores.")
    workers: int = Field(
        default=0, ge=0, le=256, description="Classic, without effect: data is read once, on all cores, and cached."
    )
    ngpu: int = Field(default=1, ge=0, description="0 keeps to the CPU; otherwise a GPU is used if there is one.")


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
        raise SettingsError(f"{path}: cannot be read: {reason}; --config names another settings file") from error
    try:
        values = json.loads(text)
    except json.JSONDecodeError as error:
        raise SettingsError(f"{path}: not JSON: {error.msg} at line {error.lineno}, column {error.colno}") from error
    except (ValueError, RecursionError) as error:
        raise SettingsError(f"{path}: not settings: a number in it is too long or it is nested too deeply") from error
    if not isinstance(values, dict):
        raise SettingsError(f"{path}: must hold one JSON object of settings, not {type(values).__name__}")
    return check_settings(values, source=str(path))


def check_settings(
    values: Mapping[str, Any], source: str = "settings", names: Mapping[str, str] | None = None
) -> Settings:
    """Check `values` as settings.

    Args:
        source, names: where they are from, and what some of them are called there, for the message of a
            `SettingsError`, which tells of all that is wrong.
    """
    try:
        return Settings.model_validate(values)
    except ValidationError as error:
        problems: dict[str, list[Any]] = {}
        for problem in sorted(error.errors(), key=lambda problem: problem["type"] != "extra_forbidden"):
            problems.setdefault(str(problem["loc"][0]), []).append(problem)
        told = "; ".join(_describe(key, some, names or {}) for key, some in problems.items())
        raise SettingsError(f"{source}: {told}") from None


def with_options(settings: Settings, options: Mapping[str, Any]) -> Settings:
    """Settings with the options of a command line in place of theirs, where one was given (is not None), checked."""
    given = {key: value for key, value in options.items() if value is not None}
    flags = {key: f"--{key.replace('_', '-')}" for key in given} | {"dataroot": "FOLDER", "saveroot": "--out"}
    return check_settings({**settings.model_dump(), **given}, source="command line", names=flags)


def settings_schema() -> dict[str, Any]:
    """The JSON Schema of `gan_config.json`, with the description and unit of every key."""
    return Settings.model_json_schema()


def _describe(key: str, problems: Sequence[Any], names: Mapping[str, str]) -> str:
    """What is wrong with the first wrong value of a key; it may be wrong for each of several types it could have."""
    first = problems[0]
    if first["type"] == "extra_forbidden":
        near = difflib.get_close_matches(key, Settings.model_fields, n=1, cutoff=0.4)
        hint = f"did you mean {near[0]}?" if near else "see `soundgan config --schema` for all settings"
        return f"{json.dumps(key)} is not a setting; {hint}"
    field = Settings.model_fields.get(key)
    meaning = f" ({field.description.rstrip('.')})" if field and field.description else ""
    value = json.dumps(first["input"], default=str)
    same = (one["msg"] for one in problems if json.dumps(one["input"], default=str) == value)
    allowed = " or ".join(dict.fromkeys(same)).lower().replace("tuple", "list").replace(" or input should be", " or")
    return f"{names.get(key, key)} = {value}: {allowed}{meaning}"
