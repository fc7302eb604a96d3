"""What a server may be told: where classic sounds go, who may ask, and how much at once."""

from __future__ import annotations

from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field, SecretStr, model_validator

MOST_PROCESSES = 16  # that make sounds: the one that answers does not keep up with more


class ServerSettings(BaseModel):
    """Limits and places of a server; unknown keys are refused."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    output_folder: Path = Field(default=Path("."), description="Folder into which `POST /infer` writes.")
    token: SecretStr | None = Field(default=None, description="What clients must send as bearer token; null: nothing.")
    most_sounds: int = Field(default=64, ge=1, le=1024, description="Sounds in one request.")
    most_waiting: int = Field(
        default=256, ge=1, description="Sounds that may wait for one model; beyond, requests are answered with 503."
    )
    most_at_once: int = Field(default=16, ge=1, description="Sounds made together, whoever asked for them.")
    processes: int | None = Field(
        default=1,
        ge=1,
        le=MOST_PROCESSES,
        description="That make sounds, beside the one that answers; 1: that one makes them itself; null: one a core.",
    )
    most_bytes: int = Field(default=65_536, ge=1, description="Size of the body of a request.")
    body_seconds: float = Field(default=10.0, gt=0, description="Time in which the body of a request must be there.")

    @model_validator(mode="after")
    def _all_can_wait(self) -> ServerSettings:
        if self.most_sounds > self.most_waiting:
            raise ValueError("most_sounds must not be above most_waiting: such a request could never be taken")
        return self
