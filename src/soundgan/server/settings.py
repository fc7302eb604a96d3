"""What a server may be told: where classic sounds go, who may ask, how much at once, and how slowly."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    SecretStr,
    ValidationError,
    field_validator,
    model_validator,
)

from soundgan.errors import SettingsError

_TOKEN = re.compile("[!-~]+")
MOST_PROCESSES = 16  # that make sounds: the one that answers does not keep up with more


class ServerSettings(BaseModel):
    """Limits and places of a server; unknown keys are refused."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    output_folder: Path = Field(default=Path("."), description="Folder into which `POST /infer` writes.")
    image_size: tuple[int, int] | None = Field(
        default=None,
        description="Bands and frames to which `POST /infer` brings a spectrogram; null: it keeps its size.",
    )
    token: SecretStr | None = Field(default=None, description="What clients must send as bearer token; null: nothing.")
    hosts: tuple[str, ...] | None = Field(
        default=None, description="Names of this server, besides localhost, that requests may be sent to; null: any."
    )
    origins: tuple[str, ...] = Field(
        default=(), description="Sites whose pages may ask as well (CORS), such as https://example.org."
    )
    most_per_minute: int | None = Field(default=None, ge=1, description="Sounds a minute for one client; null: any.")
    most_sounds: int = Field(default=64, ge=1, le=1024, description="Sounds in one request.")
    max_queue: int = Field(
        default=256, ge=1, description="Sounds that may wait for one model; beyond, requests are answered with 503."
    )
    max_batch: int = Field(default=4, ge=1, description="Sounds made together, whoever asked for them.")
    processes: int | None = Field(
        default=1,
        ge=1,
        le=MOST_PROCESSES,
        description="That make sounds, beside the one that answers; 1: that one makes them itself; null: one a core.",
    )
    most_bytes: int = Field(default=65_536, ge=1, description="Size of the body of a request.")
    most_connections: int = Field(default=512, ge=1, description="Connections at a time.")
    head_seconds: float = Field(default=10.0, gt=0, description="Time in which the head of a request must be there.")
    body_seconds: float = Field(default=10.0, gt=0, description="Time in which the body of a request must be there.")
    answer_seconds: float = Field(
        default=30.0, gt=0, description="Time in which 64 KiB of an answer must be read, or all that is left of it."
    )

    @property
    def max_sounds_per_request(self) -> int:
        """Sounds in one request that this server ever takes."""
        return min(self.most_sounds, self.most_per_minute or self.most_sounds)

    @field_validator("token")
    @classmethod
    def _can_be_sent(cls, token: SecretStr | None) -> SecretStr | None:
        if token is not None and not _TOKEN.fullmatch(token.get_secret_value()):
            raise ValueError("it may have ASCII letters, digits and signs, but no spaces: browsers can send no other")
        return token

    @field_validator("hosts")
    @classmethod
    def _as_compared(cls, hosts: tuple[str, ...] | None) -> tuple[str, ...] | None:
        return None if hosts is None else tuple(host.lower().rstrip(".") for host in hosts)

    @field_validator("origins")
    @classmethod
    def _as_browsers_say(cls, origins: tuple[str, ...]) -> tuple[str, ...]:
        return tuple(origin.lower().rstrip("/") for origin in origins)

    @model_validator(mode="after")
    def _all_can_wait(self) -> ServerSettings:
        if self.most_sounds > self.max_queue:
            raise ValueError("most_sounds must not be above most_waiting: such a request could never be taken")
        return self


def check_server_settings(values: Mapping[str, Any]) -> ServerSettings:
    """Check `values` as settings. Raises `SettingsError`, which does not tell the values: one of them is a secret."""
    try:
        return ServerSettings.model_validate(values)
    except ValidationError as error:
        first = error.errors(include_input=False)[0]
        where = ".".join(map(str, first["loc"])) or "settings"
        raise SettingsError(f"{where}: {first['msg'].removeprefix('Value error, ')}") from None
