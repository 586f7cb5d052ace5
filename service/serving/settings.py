"""The settings of the HTTP service, from `GATEWISE_*` variables or by name in Python.

docs/service.md lists them, and is tested against this module.
"""

import difflib
import os
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import Field, ValidationError, field_validator, model_validator
from pydantic_core import PydanticCustomError
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from gatewise.service.serving.batching import Capacity
from gatewise.service.serving.model_sources import ModelSource, sources, split
from gatewise.service.threads import available_cpus
from gatewise.vocab.errors import GatewiseError

PREFIX = "GATEWISE_"

_ORIGIN = re.compile(r"([a-z][a-z0-9+.-]*)://([a-z0-9._-]+|\[[0-9a-f:.]+\])(?::(\d{1,5}))?")
_OWN_PORTS = {"http": 80, "https": 443}
_MAX_PORT = 65535

LogLevel = Literal["debug", "info", "warning", "error"]
LogFormat = Literal["text", "json"]


class SettingsError(GatewiseError):
    """A setting of the service is missing, unknown or invalid."""


class Settings(BaseSettings):
    """The settings of one service; an argument overrides its variable.

    An empty variable counts as unset, so that a compose file can pass variables unconditionally.

    Raises:
        SettingsError: If a value is not valid; names the variable, the value and what is expected.
    """

    model_config = SettingsConfigDict(
        env_prefix=PREFIX, env_ignore_empty=True, extra="forbid", frozen=True
    )

    model: Annotated[tuple[str, ...], NoDecode] = Field(
        (),
        description="Models to serve, with `:` between them: each the path of a model folder, of a "
        "zip of one, or of a folder with a folder per version; `NAME=PATH` names the model.",
    )
    host: str = Field(
        "127.0.0.1", description="Name or address to listen on; `0.0.0.0` for all interfaces."
    )
    port: Annotated[int, Field(ge=0, le=65535)] = Field(
        8000, description="Port to listen on; 0 for any free port."
    )
    workers: Annotated[int, Field(ge=1, le=256)] = Field(
        1, description="Processes that share the port, each with its own copy of the models."
    )
    sessions: Annotated[int, Field(ge=0, le=256)] = Field(
        0,
        description="Batches of a model that run at a time; 0 for the number of CPUs minus one, "
        "which HTTP needs.",
    )
    threads: Annotated[int, Field(ge=1, le=64)] = Field(
        1, description="Threads of each call of onnxruntime."
    )
    cascade: bool = Field(
        False,
        description="Whether the linear path alone classifies the texts that it is sure of; see "
        "[the cascade](scoring.md#the-cascade). A model without one is refused.",
    )
    max_body_bytes: Annotated[int, Field(ge=1)] = Field(
        1024 * 1024, description="Maximum bytes of a request body; else 413."
    )
    max_texts: Annotated[int, Field(ge=1)] = Field(
        128, description="Maximum texts in a request; else 422."
    )
    max_queued_texts: Annotated[int, Field(ge=1)] = Field(
        2048, description="Maximum texts in the queue of a model; else 429."
    )
    max_queued_characters: Annotated[int, Field(ge=1)] = Field(
        16 * 1024 * 1024, description="Maximum characters of the texts in the queue; else 429."
    )
    deadline_seconds: Annotated[float, Field(gt=0, le=86_400)] = Field(
        10, description="Maximum seconds from a request to its answer; else 504."
    )
    max_connections: Annotated[int, Field(ge=1)] = Field(
        4096, description="Maximum connections of a process; else 503."
    )
    max_requests: Annotated[int, Field(ge=1)] = Field(
        1024, description="Maximum requests in flight in a process; else 429."
    )
    max_header_bytes: Annotated[int, Field(ge=256)] = Field(
        32 * 1024, description="Maximum bytes of a request's line and headers; else 431."
    )
    read_seconds: Annotated[float, Field(gt=0, le=86_400)] = Field(
        30,
        description="Maximum seconds to send a request, else 408, or to read an answer.",
    )
    keep_alive_seconds: Annotated[int, Field(ge=1, le=86_400)] = Field(
        75, description="Seconds that a connection may be idle between requests."
    )
    max_streams: Annotated[int, Field(ge=1)] = Field(
        256, description="Maximum open streams of a process; else closed with 1013."
    )
    max_stream_characters: Annotated[int, Field(ge=1)] = Field(
        1_000_000,
        description="Maximum characters of a streamed text, or numbers of a sequence; else closed "
        "with 1009.",
    )
    max_stream_message_bytes: Annotated[int, Field(ge=64)] = Field(
        64 * 1024, description="Maximum bytes of a message in a stream; else closed with 1009."
    )
    stream_idle_seconds: Annotated[float, Field(gt=0, le=86_400)] = Field(
        60, description="Maximum seconds in which the client of a stream sends or reads nothing."
    )
    stream_threads: Annotated[int, Field(ge=1, le=64)] = Field(
        2, description="Messages of streams that a process handles at a time."
    )
    tls_certificate: Path | None = Field(
        None, description="Certificate chain, a PEM file; enables HTTPS."
    )
    tls_key: Path | None = Field(
        None, description="Private key, a PEM file; not needed if the certificate file has it."
    )
    api_keys_file: Path | None = Field(
        None, description="File of API keys; without it, requests need no key."
    )
    key_requests_per_second: Annotated[float, Field(ge=0, le=1_000_000)] = Field(
        0,
        description="Maximum requests a second of each API key, in each process; else 429; 0 for "
        "any number.",
    )
    cors_origins: str | None = Field(
        None,
        description="Origins whose web pages may read answers, such as `https://app.example`, "
        "separated by commas; `*` for all.",
    )
    root_path: str | None = Field(
        None,
        description="Path below which a proxy serves the service, such as `/classify`, whether the "
        "proxy removes it or passes it on.",
    )
    shutdown_seconds: Annotated[int, Field(ge=0, le=86_400)] = Field(
        10, description="Seconds for the requests in flight to finish when the service stops."
    )
    drain_seconds: Annotated[float, Field(ge=0, le=86_400)] = Field(
        0, description="Seconds between the signal to stop, which ends readiness, and stopping."
    )
    watch_seconds: Annotated[float, Field(ge=0, le=86_400)] = Field(
        0, description="Interval in seconds to check for new model versions; 0 for never."
    )
    log_level: LogLevel = Field("info", description="Minimum severity of log lines.")
    log_format: LogFormat = Field("text", description="Format of log lines.")
    access_log: bool = Field(False, description="Whether to log each request.")
    log_texts: bool = Field(False, description="Whether the access log includes the texts.")
    traces: bool = Field(
        False, description="Whether to trace requests with OpenTelemetry, configured by `OTEL_*`."
    )

    @field_validator("model", mode="before")
    @classmethod
    def _several_models(cls, value: Any) -> Any:
        if isinstance(value, str):
            return tuple(split(value))
        if isinstance(value, Path):
            return (str(value),)
        if isinstance(value, list | tuple):
            return tuple(str(item) if isinstance(item, Path) else item for item in value)
        return value

    @field_validator("cors_origins")
    @classmethod
    def _are_origins(cls, value: str | None) -> str | None:
        for origin in _split_list(value):
            if origin != "*" and origin != _as_sent(origin):
                raise PydanticCustomError(
                    "origin",
                    "origins as browsers send them, such as https://app.example, in lower case, "
                    "without a path, a pattern or the scheme's own port, with commas between "
                    "them; or * for all",
                )
        return value

    @field_validator("root_path")
    @classmethod
    def _is_path(cls, value: str | None) -> str | None:
        if value is not None and not re.fullmatch(r"(/[A-Za-z0-9._~-]+)+", value):
            raise PydanticCustomError(
                "root_path", "a path such as /classify, which begins and does not end with a slash"
            )
        return value

    @model_validator(mode="wrap")
    @classmethod
    def _raise_settings_error(cls, data: Any, handler: Callable[[Any], Self]) -> Self:
        # pydantic passes on what is not a ValueError, so that callers get our own error only.
        _check_names(os.environ)
        try:
            return handler(data)
        except ValidationError as error:
            raise SettingsError("; ".join(map(_message, error.errors()))) from None

    def origins(self) -> tuple[str, ...]:
        """Returns the origins whose web pages may read answers."""
        return tuple(_split_list(self.cors_origins))

    def sources(self) -> tuple[ModelSource, ...]:
        """Returns the models."""
        if not self.model:
            raise SettingsError(
                f"{variable('model')} is not set: expected the path of a model folder"
            )
        return sources(self.model)

    def capacity(self) -> Capacity:
        """Returns the limits of each version of a model."""
        return Capacity(
            threads=self.sessions or max(1, available_cpus() - 1),
            max_texts=self.max_queued_texts,
            max_characters=self.max_queued_characters,
            seconds=self.deadline_seconds,
        )


def variable(name: str) -> str:
    """Returns the environment variable of a setting.

    >>> variable("port")
    'GATEWISE_PORT'
    """
    return PREFIX + name.upper()


def _split_list(value: str | None) -> list[str]:
    return [part.strip() for part in (value or "").split(",") if part.strip()]


def _as_sent(origin: str) -> str:
    """Returns an origin as a browser sends it, or nothing if none sends one like it.

    >>> _as_sent("https://App.example:443"), _as_sent("https://*.example")
    ('https://app.example', '')
    """
    found = _ORIGIN.fullmatch(origin.lower())
    if found is None:
        return ""
    scheme, host, port = found.groups()
    if port is None or int(port) == _OWN_PORTS.get(scheme):
        return f"{scheme}://{host}"
    return f"{scheme}://{host}:{int(port)}" if int(port) <= _MAX_PORT else ""


def _check_names(environment: Mapping[str, str]) -> None:
    """Refuses variables with our prefix that no setting has: a typing error would do nothing."""
    known = {variable(name) for name in Settings.model_fields}
    unknown = [
        name
        for name, value in environment.items()
        if value  # an empty variable counts as unset
        and name.upper().startswith(PREFIX)
        and name.upper() not in known
        and not _is_service_link(name, value)
    ]
    if unknown:
        nearest = (
            difflib.get_close_matches(name.upper(), known, n=1, cutoff=0.0)[0] for name in unknown
        )
        messages = (
            f"{name} is not a setting: the nearest is {near}"
            for name, near in zip(unknown, nearest, strict=True)
        )
        raise SettingsError("; ".join(messages))


def _is_service_link(name: str, value: str) -> bool:
    """Whether Kubernetes sets a variable for a service whose name begins like ours."""
    return bool(
        re.search(r"_SERVICE_(HOST|PORT(_\w+)?)$|_PORT_\d+_(TCP|UDP|SCTP)(_\w+)?$", name)
        or (name.endswith("_PORT") and re.match(r"(tcp|udp|sctp)://", value))
    )


def _message(error: Any) -> str:
    """Returns one line about an invalid value, from an error of pydantic."""
    name = str(error["loc"][0])
    if error["type"] == "extra_forbidden":
        return f"{name!r} is not a setting: expected one of {', '.join(Settings.model_fields)}"
    reason = error["msg"].removeprefix("Input should be ").split(", unable")[0]
    return f"{variable(name)} is {error['input']!r}: expected {reason}"
