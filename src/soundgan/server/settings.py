"""Settings of the server: output folder, access, limits and timeouts."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic import BaseModel, Field, SecretStr, ValidationError, field_validator, model_validator

from soundgan.errors import SettingsError
from soundgan.sound import Level

MAX_PROCESSES = 16  # the process that answers does not keep up with more workers


class ServerSettings(BaseModel, extra="forbid", frozen=True):
    """Access, limits and timeouts of a server; unknown keys are refused."""

    output_folder: Path = Field(default=Path("."), description="Folder into which `POST /infer` writes.")
    image_size: tuple[int, int] | None = Field(
        default=None, description="Bands and frames to which `POST /infer` resizes a spectrogram; null: unchanged."
    )
    output_level: Level = Field(default="recorded", description="Level of the sounds of `POST /infer`.")
    token: SecretStr | None = Field(default=None, description="Bearer token required of clients; null: none.")
    allowed_hosts: tuple[str, ...] | None = Field(
        default=None, description="Accepted host names besides localhost; null: any."
    )
    allowed_origins: tuple[str, ...] = Field(
        default=(), description="Allowed CORS origins, such as https://example.org."
    )
    rate_limit: int | None = Field(default=None, ge=1, description="Sounds per minute and client; null: unlimited.")
    max_sounds_per_request: int = Field(default=64, ge=1, le=1024, description="Sounds in one request.")
    max_queue: int = Field(default=256, ge=1, description="Sounds queued for one model; further requests get 503.")
    max_batch: int = Field(default=4, ge=1, description="Sounds generated together, of one request or several.")
    processes: int | None = Field(
        default=1, ge=1, le=MAX_PROCESSES, description="Worker processes; 1: the server itself; null: one per core."
    )
    max_body_bytes: int = Field(default=65_536, ge=1, description="Size of a request body, in bytes.")
    max_connections: int = Field(default=512, ge=1, description="Open connections.")
    header_timeout: float = Field(default=10.0, gt=0, description="Time until the headers of a request are read, in s.")
    body_timeout: float = Field(default=10.0, gt=0, description="Time until the body of a request is read, in s.")
    response_timeout: float = Field(
        default=30.0, gt=0, description="Maximum time for a client to read 64 KiB of a response, in s."
    )

    @property
    def largest_request(self) -> int:
        """Maximum of sounds in one request, within the rate limit."""
        return min(self.max_sounds_per_request, self.rate_limit or self.max_sounds_per_request)

    @field_validator("token")
    @classmethod
    def _sendable(cls, token: SecretStr | None) -> SecretStr | None:
        if token is not None and not re.fullmatch("[!-~]+", token.get_secret_value()):
            raise ValueError("must be printable ASCII without spaces, since browsers can send nothing else")
        return token

    @field_validator("allowed_hosts")
    @classmethod
    def _normalized_hosts(cls, hosts: tuple[str, ...] | None) -> tuple[str, ...] | None:
        return None if hosts is None else tuple(host.lower().rstrip(".") for host in hosts)

    @field_validator("allowed_origins")
    @classmethod
    def _normalized_origins(cls, origins: tuple[str, ...]) -> tuple[str, ...]:
        return tuple(origin.lower().rstrip("/") for origin in origins)

    @model_validator(mode="after")
    def _request_fits_queue(self) -> ServerSettings:
        if self.max_sounds_per_request > self.max_queue:
            raise ValueError("max_sounds_per_request is above max_queue: such a request would always be refused")
        return self


def check_server_settings(values: Mapping[str, Any]) -> ServerSettings:
    """Validate `values`. Raises `SettingsError`, which leaves the values out: one of them is a secret."""
    try:
        return ServerSettings.model_validate(values)
    except ValidationError as error:
        first = error.errors(include_input=False)[0]
        field = ".".join(map(str, first["loc"])) or "settings"
        raise SettingsError(f"{field}: {first['msg'].removeprefix('Value error, ')}") from None
