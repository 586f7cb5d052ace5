"""What can be set of the HTTP service, by `GATEWISE_*` variables or by name in Python.

Owns each setting's name, default, bounds and meaning; docs/service.md is checked against it.
Knows neither the command line nor how a setting is used.
"""

import re
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import Field, ValidationError, field_validator, model_validator
from pydantic_core import PydanticCustomError
from pydantic_settings import BaseSettings, SettingsConfigDict

from vocab.errors import GatewiseError

PREFIX = "GATEWISE_"

LogLevel = Literal["debug", "info", "warning", "error"]


class SettingsError(GatewiseError):
    """A setting of the service that is missing, misspelt or out of bounds."""


class Settings(BaseSettings):
    """The settings of one service; an argument wins over its variable.

    An empty variable counts as unset, so that a compose file may pass variables on unconditionally.

    Raises:
        SettingsError: If a value is not valid; names the variable, the value and what is expected.
    """

    model_config = SettingsConfigDict(
        env_prefix=PREFIX, env_ignore_empty=True, extra="forbid", frozen=True
    )

    model: Path | None = Field(
        None, description="Path of the model folder to serve, or of a zip of one."
    )
    host: str = Field("127.0.0.1", description="Name or address to listen on; `0.0.0.0` is all.")
    port: Annotated[int, Field(ge=0, le=65535)] = Field(
        8000, description="Port to listen on; 0 takes any free one."
    )
    max_body_bytes: Annotated[int, Field(ge=1)] = Field(
        1024 * 1024, description="Largest request body; a larger one is refused with 413."
    )
    max_texts: Annotated[int, Field(ge=1)] = Field(
        128, description="Most texts in one request; more are refused with 422."
    )
    threads: Annotated[int, Field(ge=1, le=64)] = Field(
        1, description="Threads that one call of onnxruntime may use."
    )
    log_level: LogLevel = Field("info", description="Least severity that is logged.")
    access_log: bool = Field(False, description="Whether each request is logged as a line.")
    api_keys_file: Path | None = Field(
        None, description="File of API keys; without one the service asks nobody for a key."
    )
    cors_origins: str | None = Field(
        None,
        description="Origins whose web pages may read answers, such as `https://app.example`, with "
        "commas between them; `*` is all.",
    )
    shutdown_seconds: Annotated[int, Field(ge=0, le=86_400)] = Field(
        10, description="Seconds that requests under way are given to finish when stopped."
    )

    @field_validator("cors_origins")
    @classmethod
    def _are_origins(cls, value: str | None) -> str | None:
        for origin in _listed(value):
            # A browser sends them so, without a path or a slash at the end, and compares letters.
            if not re.fullmatch(r"\*|[a-z][a-z0-9+.-]*://[^\s/?#@]+", origin):
                raise PydanticCustomError(
                    "origin", "origins such as https://app.example with commas between them, or *"
                )
        return value

    @model_validator(mode="wrap")
    @classmethod
    def _told_in_one_line(cls, data: Any, handler: Callable[[Any], Self]) -> Self:
        # Anything but a ValueError leaves pydantic as it is, so callers meet our own error only.
        try:
            return handler(data)
        except ValidationError as error:
            raise SettingsError("; ".join(map(_complaint, error.errors()))) from None

    def origins(self) -> tuple[str, ...]:
        """The origins whose web pages may read answers."""
        return tuple(_listed(self.cors_origins))

    def model_folder(self) -> Path:
        """The model folder, which has no default.

        Raises:
            SettingsError: If none was given.
        """
        if self.model is None:
            raise SettingsError(
                f"{variable('model')} is not set: expected the path of a model folder"
            )
        return self.model


def variable(name: str) -> str:
    """The environment variable of a setting.

    >>> variable("port")
    'GATEWISE_PORT'
    """
    return PREFIX + name.upper()


def _listed(value: str | None) -> list[str]:
    return [part.strip() for part in (value or "").split(",") if part.strip()]


def _complaint(error: Any) -> str:
    """One line on one invalid value, from what pydantic says of it."""
    name = str(error["loc"][0])
    if error["type"] == "extra_forbidden":
        return f"{name!r} is not a setting: expected one of {', '.join(Settings.model_fields)}"
    reason = error["msg"].removeprefix("Input should be ").split(", unable")[0]
    return f"{variable(name)} is {error['input']!r}: expected {reason}"
