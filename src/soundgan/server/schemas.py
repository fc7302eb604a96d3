"""Bodies of requests and responses."""

from __future__ import annotations

from http import HTTPStatus
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, Field, StrictBool, StrictInt, WithJsonSchema
from pydantic.json_schema import SkipJsonSchema

from soundgan.audio import Format
from soundgan.model import SEEDS
from soundgan.sound import Level
from soundgan.spectral.phase_retrieval import Quality


def _integer(value: object) -> object:
    return int(value) if isinstance(value, float) and value.is_integer() else value


def _integer_as_text(value: object) -> object:
    integer = _integer(value)
    return str(integer) if type(integer) is int else value


# 2.0 is an integer in JSON Schema; "2" and true are not.
Count = Annotated[StrictInt, BeforeValidator(_integer)]
Seed = Annotated[StrictInt, Field(ge=0, lt=SEEDS), BeforeValidator(_integer)]
# Labels that are digits may be sent as numbers.
Label = Annotated[
    str, BeforeValidator(_integer_as_text), WithJsonSchema({"anyOf": [{"type": "string"}, {"type": "integer"}]})
]
# `file` has a single sound, and only `json` has spectrograms.
_CONDITIONAL_RULES: dict[str, Any] = {
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


class InferRequest(BaseModel, extra="forbid"):
    """Body of `POST /infer`."""

    output_file: str = Field(description="Name of the sound in the server's output folder.", examples=["x.wav"])


class InferResponse(BaseModel):
    """Response of `POST /infer`; `error` is empty on success, `output_path` on failure."""

    output_path: str = Field(examples=["x.wav"])
    error: str = Field(examples=[""])


class SoundsRequest(BaseModel, extra="forbid", json_schema_extra=_CONDITIONAL_RULES):
    """Sounds to generate; all fields are optional."""

    n: Count = Field(default=1, ge=1, description="Number of sounds; sound i has the seed `seed + i`.", examples=[1])
    label: Label | None = Field(
        default=None, description='Label of the sounds, 3 as well as "3"; null: chosen by each seed.', examples=["3"]
    )
    seed: Seed | None = Field(default=None, description="Seed of the first sound; null: random.", examples=[7])
    truncation: float = Field(
        default=1.0, strict=True, ge=0, le=2, allow_inf_nan=False,
        description="Truncation psi; 1: full variety; toward 0: more typical.",
    )  # fmt: skip
    quality: Quality = Field(
        default="balanced", description="Quality of phase retrieval; `best` takes up to ten times as long."
    )
    level: Level = Field(
        default="recorded",
        description="Level: `recorded`, as the recordings; `peak`, to -1 dBFS; `loudness`, to -23 LUFS.",
    )
    keep_length: StrictBool = Field(
        default=False, description="Make all sounds as long as the longest, with silence at their ends."
    )
    format: Format = Field(default="wav", description="Format of the sound files.")
    answer: Literal["file", "zip", "json"] | None = Field(
        default=None,
        description="`file` (one sound only), `zip`, or `json` with base64; null: `file` for one sound, else `zip`.",
    )
    spectrogram: StrictBool = Field(default=False, description="Add the spectrogram of each sound to a JSON response.")


class SoundResponse(BaseModel):
    """A sound in a JSON response."""

    name: str = Field(description="File name.", examples=["3_7.wav"])
    label: str | None
    seed: int
    sample_rate: int = Field(description="In Hz.")
    duration: float = Field(description="In s.")
    format: Format
    audio: str = Field(description="The sound file, base64.")
    spectrogram: str | None = Field(description="PNG of bands × frames pixels, base64; null if not requested.")


class SoundsResponse(BaseModel):
    """JSON response."""

    model: str
    sounds: list[SoundResponse]


class ModelSummary(BaseModel):
    """A model."""

    name: str = Field(examples=["digits"])
    labels: list[str] = Field(
        description="Labels of its sounds; empty for a model without labels.", examples=[["0", "1"]]
    )
    sample_rate: int = Field(description="In Hz.", examples=[8000])
    duration: float = Field(description="Duration of the longest sounds, in s.", examples=[1.024])
    bands: int = Field(description="Rows of a spectrogram.", examples=[128])
    frames: int = Field(description="Columns of a spectrogram.", examples=[64])
    license: str = Field(description="License of the training data.", examples=["CC-BY-SA-4.0"])
    attribution: str = Field(description="Attribution of the training data.", examples=["Free Spoken Digit Dataset"])


class ModelDetails(ModelSummary):
    """A model and its card."""

    card: str = Field(description="The model card, Markdown.", examples=["# digits"])


class Models(BaseModel):
    """The models of a server; the first one serves `POST /infer`."""

    models: list[ModelSummary]


def _without_default(schema: dict[str, Any]) -> None:
    del schema["default"]


class ProblemDetails(BaseModel):
    """Reason of an error response (RFC 9457)."""

    type: str = Field(default="about:blank", description="URI of the problem type.")
    title: str = Field(description="Phrase of the HTTP status.", examples=[HTTPStatus(422).phrase])
    status: int = Field(description="HTTP status.", examples=[422])
    detail: str = Field(
        description="Cause, location and remedy.",
        examples=["label = 'bell': not a label of the model digits; it has 0, 1, 2, 3, 4, 5, 6, 7, 8, 9"],
    )
    field: str | SkipJsonSchema[None] = Field(
        default=None,
        description="First invalid field of the request; absent if there is none.",
        examples=["label"],
        json_schema_extra=_without_default,
    )


class Health(BaseModel):
    """State of the server."""

    status: str = Field(examples=["alive"])
