"""What requests say and what answers hold."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, StrictInt

from soundgan.audio import Format
from soundgan.model import SEEDS
from soundgan.phase import Quality


class Request(BaseModel):
    """Base of what clients send: unknown fields are refused."""

    model_config = ConfigDict(extra="forbid")


class InferRequest(Request):
    """The classic request."""

    output_file: str = Field(description="Name of the sound in the server's output folder.", examples=["x.wav"])


class InferAnswer(BaseModel):
    """The classic answer: one of both is empty."""

    output_path: str = Field(examples=["x.wav"])
    error: str = Field(examples=[""])


class SoundsRequest(Request):
    """Sounds to be made; all fields may be left out."""

    n: StrictInt = Field(default=1, ge=1, description="How many; sound number i is that of `seed + i`.", examples=[1])
    label: str | None = Field(default=None, description="The kind of sound; null: every seed chooses.", examples=["3"])
    seed: StrictInt | None = Field(
        default=None, ge=0, lt=SEEDS, description="Of the first sound; null: a new one.", examples=[7]
    )
    truncation: float = Field(
        default=1.0, ge=0, le=2, allow_inf_nan=False, description="1: full variety; towards 0: more typical."
    )
    quality: Quality = Field(default="balanced", description="Of phases; `best` takes up to ten times as long.")
    format: Format = Field(default="wav", description="Of the sound files.")
    answer: Literal["file", "zip", "json"] | None = Field(
        default=None, description="`file` (one sound only), `zip`, or `json` with base64; null: file for one, else zip."
    )
    painting: bool = Field(default=False, description="Whether a JSON answer also holds the spectrogram of each sound.")


class SoundAnswer(BaseModel):
    """One sound in a JSON answer."""

    name: str = Field(description="For a file of it.", examples=["3_7.wav"])
    label: str | None
    seed: int
    sample_rate: int = Field(description="In Hz.")
    duration: float = Field(description="In s.")
    format: Format
    audio: str = Field(description="The sound file, base64.")
    painting: str | None = Field(description="Its spectrogram as PNG of bands × frames pixels, base64; if asked for.")


class SoundsAnswer(BaseModel):
    """A JSON answer."""

    model: str
    sounds: list[SoundAnswer]


class ModelSummary(BaseModel):
    """What a model makes."""

    name: str = Field(examples=["digits"])
    labels: list[str]
    sample_rate: int = Field(description="In Hz.")
    duration: float = Field(description="Of a sound, in s.")
    bands: int = Field(description="Rows of a painting.")
    frames: int = Field(description="Columns of a painting.")
    licence: str = Field(description="Of the data that it was trained on.")
    attribution: str


class ModelDetails(ModelSummary):
    """What a model makes, and its card."""

    card: str = Field(description="The model card, Markdown.")


class Models(BaseModel):
    """The models of a server; the first one serves `POST /infer`."""

    models: list[ModelSummary]


class Health(BaseModel):
    """How a server is."""

    status: str = Field(examples=["alive"])
