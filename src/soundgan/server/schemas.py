"""What requests say and what answers hold."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, StrictBool, StrictInt, WithJsonSchema
from pydantic.json_schema import SkipJsonSchema

from soundgan.audio import Format
from soundgan.model import SEEDS
from soundgan.spectral.phase_retrieval import Quality


def _whole(value: object) -> object:
    return int(value) if isinstance(value, float) and value.is_integer() else value


Whole = Annotated[
    StrictInt, BeforeValidator(_whole)
]  # 2.0 as well, an integer to JSON Schema; but neither "2" nor true


def _word(value: object) -> object:
    whole = _whole(value)
    return str(whole) if isinstance(whole, int) and not isinstance(whole, bool) else value


Label = Annotated[
    str, BeforeValidator(_word), WithJsonSchema({"anyOf": [{"type": "string"}, {"type": "integer"}]})
]  # a number is the word for it

Seed = Annotated[StrictInt, Field(ge=0, lt=SEEDS), BeforeValidator(_whole)]
# A file holds one sound, and only JSON a spectrogram beside it.
_TOGETHER: dict[str, Any] = {
    "allOf": [
        {
            "if": {"properties": {"answer": {"const": "file"}}, "required": ["answer"]},
            "then": {"properties": {"n": {"maximum": 1}}},
        },
        {
            "if": {"properties": {"spectrogram": {"const": True}}, "required": ["spectrogram"]},
            "then": {"properties": {"answer": {"const": "json"}}, "required": ["answer"]},
        },
    ]
}


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

    model_config = ConfigDict(json_schema_extra=_TOGETHER)

    n: Whole = Field(default=1, ge=1, description="How many; sound number i is that of `seed + i`.", examples=[1])
    label: Label | None = Field(
        default=None, description='The kind of sound, 3 as well as "3"; null: every seed chooses.', examples=["3"]
    )
    seed: Seed | None = Field(default=None, description="Of the first sound; null: a new one.", examples=[7])
    truncation: float = Field(
        default=1.0,
        strict=True,
        ge=0,
        le=2,
        allow_inf_nan=False,
        description="1: full variety; towards 0: more typical.",
    )
    quality: Quality = Field(default="balanced", description="Of phases; `best` takes up to ten times as long.")
    format: Format = Field(default="wav", description="Of the sound files.")
    answer: Literal["file", "zip", "json"] | None = Field(
        default=None, description="`file` (one sound only), `zip`, or `json` with base64; null: file for one, else zip."
    )
    spectrogram: StrictBool = Field(
        default=False, description="Whether a JSON answer also holds the spectrogram of each sound."
    )


class SoundAnswer(BaseModel):
    """One sound in a JSON answer."""

    name: str = Field(description="For a file of it.", examples=["3_7.wav"])
    label: str | None
    seed: int
    sample_rate: int = Field(description="In Hz.")
    duration: float = Field(description="In s.")
    format: Format
    audio: str = Field(description="The sound file, base64.")
    spectrogram: str | None = Field(
        description="Its spectrogram as PNG of bands × frames pixels, base64; if asked for."
    )


class SoundsAnswer(BaseModel):
    """A JSON answer."""

    model: str
    sounds: list[SoundAnswer]


class ModelSummary(BaseModel):
    """What a model makes."""

    name: str = Field(examples=["digits"])
    labels: list[str] = Field(description="Kinds of sound to ask for; none: it makes one kind.", examples=[["0", "1"]])
    sample_rate: int = Field(description="In Hz.", examples=[8000])
    duration: float = Field(description="Of a sound, in s.", examples=[1.024])
    bands: int = Field(description="Rows of a spectrogram.", examples=[128])
    frames: int = Field(description="Columns of a spectrogram.", examples=[64])
    license: str = Field(description="Of the data that it was trained on.", examples=["CC-BY-SA-4.0"])
    attribution: str = Field(description="Whose data it was trained on.", examples=["Free Spoken Digit Dataset"])


class ModelDetails(ModelSummary):
    """What a model makes, and its card."""

    card: str = Field(description="The model card, Markdown.", examples=["# digits"])


class Models(BaseModel):
    """The models of a server; the first one serves `POST /infer`."""

    models: list[ModelSummary]


def _without_default(schema: dict[str, Any]) -> None:
    del schema["default"]


class ProblemDetails(BaseModel):
    """Why a request was not answered as asked (RFC 9457)."""

    type: str = Field(default="about:blank", description="A URI for the kind of problem.")
    title: str = Field(description="The problem in a word or two.", examples=["Not possible with this model"])
    status: int = Field(description="The status of the answer.", examples=[422])
    detail: str = Field(
        description="What is wrong, where, and the way out.",
        examples=["label = 'bell': not a label of the model digits; it knows 0, 1, 2, 3, 4, 5, 6, 7, 8, 9"],
    )
    field: str | SkipJsonSchema[None] = Field(
        default=None,
        description="The first field of the request that is to blame; left out if none is.",
        examples=["label"],
        json_schema_extra=_without_default,
    )


class Health(BaseModel):
    """How a server is."""

    status: str = Field(examples=["alive"])
