"""What can be set of the HTTP service, by `GATEWISE_*` variables or by name in Python.

Owns each setting's name, default, bounds and meaning; docs/service.md is checked against it.
Knows neither the command line nor how a setting is used.
"""

import re
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from gatewise.service.serving.batching import Capacity
from gatewise.service.serving.model_sources import ModelSource, sources, split
from gatewise.service.threads import available_cpus
from gatewise.vocab.errors import GatewiseError
from pydantic import Field, ValidationError, field_validator, model_validator
from pydantic_core import PydanticCustomError
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

PREFIX = "GATEWISE_"

LogLevel = Literal["debug", "info", "warning", "error"]
LogFormat = Literal["text", "json"]


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

    model: Annotated[tuple[str, ...], NoDecode] = Field(
        (),
        description="The models to serve: each the path of a model folder, of a zip of one, or of "
        "a folder with one folder a version; `NAME=PATH` names it. Several are divided by `:`.",
    )
    host: str = Field("127.0.0.1", description="Name or address to listen on; `0.0.0.0` is all.")
    port: Annotated[int, Field(ge=0, le=65535)] = Field(
        8000, description="Port to listen on; 0 takes any free one."
    )
    workers: Annotated[int, Field(ge=1, le=256)] = Field(
        1, description="Processes that serve the same port, each with its own copy of the models."
    )
    sessions: Annotated[int, Field(ge=0, le=256)] = Field(
        0,
        description="Batches of a model that are run at a time; 0 is one for each processor but "
        "the one that HTTP takes.",
    )
    threads: Annotated[int, Field(ge=1, le=64)] = Field(
        1, description="Threads that one call of onnxruntime may use."
    )
    max_body_bytes: Annotated[int, Field(ge=1)] = Field(
        1024 * 1024, description="Largest request body; a larger one is refused with 413."
    )
    max_texts: Annotated[int, Field(ge=1)] = Field(
        128, description="Most texts in one request; more are refused with 422."
    )
    max_queued_texts: Annotated[int, Field(ge=1)] = Field(
        2048, description="Most texts of a model that wait; more are refused with 429."
    )
    max_queued_characters: Annotated[int, Field(ge=1)] = Field(
        16 * 1024 * 1024, description="Most characters that these may have together."
    )
    deadline_seconds: Annotated[float, Field(gt=0, le=86_400)] = Field(
        10, description="Seconds after which a request is no longer worth an answer but 504."
    )
    max_connections: Annotated[int, Field(ge=1)] = Field(
        4096, description="Most connections of a process; more are refused with 503."
    )
    max_requests: Annotated[int, Field(ge=1)] = Field(
        1024, description="Most requests that a process has under way; more are refused with 429."
    )
    max_header_bytes: Annotated[int, Field(ge=256)] = Field(
        32 * 1024, description="Most bytes of a request's line and headers; else 431."
    )
    read_seconds: Annotated[float, Field(gt=0, le=86_400)] = Field(
        30, description="Seconds a client may take to send a request, or to take an answer."
    )
    keep_alive_seconds: Annotated[int, Field(ge=1, le=86_400)] = Field(
        75, description="Seconds that a connection may be idle between two requests."
    )
    max_streams: Annotated[int, Field(ge=1)] = Field(
        256, description="Most streams that a process has open; more are closed with 1013."
    )
    max_stream_characters: Annotated[int, Field(ge=1)] = Field(
        1_000_000, description="Most characters of a text that comes by a stream; else 1009."
    )
    max_stream_message_bytes: Annotated[int, Field(ge=64)] = Field(
        64 * 1024, description="Largest message of a stream; a larger one closes it with 1009."
    )
    stream_idle_seconds: Annotated[float, Field(gt=0, le=86_400)] = Field(
        60, description="Seconds that a stream's client may send nothing, or take nothing."
    )
    stream_threads: Annotated[int, Field(ge=1, le=64)] = Field(
        2, description="Messages of streams that a process reads at a time."
    )
    tls_certificate: Path | None = Field(
        None, description="Certificate chain in PEM; the service then speaks HTTPS."
    )
    tls_key: Path | None = Field(
        None, description="Its private key in PEM, unless it is in the same file."
    )
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
    drain_seconds: Annotated[float, Field(ge=0, le=86_400)] = Field(
        0, description="Seconds between being told to stop, and so no longer ready, and stopping."
    )
    watch_seconds: Annotated[float, Field(ge=0, le=86_400)] = Field(
        0, description="How often to look for new versions of the models; 0 is never."
    )
    log_level: LogLevel = Field("info", description="Least severity that is logged.")
    log_format: LogFormat = Field("text", description="Whether a log line is a text or JSON.")
    access_log: bool = Field(False, description="Whether each request is logged as a line.")
    log_texts: bool = Field(
        False, description="Whether the lines of `GATEWISE_ACCESS_LOG` hold the texts themselves."
    )
    traces: bool = Field(
        False, description="Whether requests are traced by OpenTelemetry, as `OTEL_*` say."
    )

    @field_validator("model", mode="before")
    @classmethod
    def _several_models(cls, value: Any) -> Any:
        if isinstance(value, str):
            return tuple(split(value))
        if isinstance(value, Path):
            return (str(value),)
        if isinstance(value, list | tuple):
            return tuple(str(one) if isinstance(one, Path) else one for one in value)
        return value

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

    def sources(self) -> tuple[ModelSource, ...]:
        """The models, of which there must be one.

        Raises:
            SettingsError: If none was given.
            SourceError: If a name is not valid, or given twice.
        """
        if not self.model:
            raise SettingsError(
                f"{variable('model')} is not set: expected the path of a model folder"
            )
        return sources(self.model)

    def capacity(self) -> Capacity:
        """What each version of a model may take at a time."""
        return Capacity(
            threads=self.sessions or max(1, available_cpus() - 1),
            max_texts=self.max_queued_texts,
            max_characters=self.max_queued_characters,
            seconds=self.deadline_seconds,
        )


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
