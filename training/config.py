"""Every setting of a training run, typed, with its default and what it means.

A run is described by one `Config`: defaults, then a TOML file, then `--set key=value`. Knows what
settings there are and which combinations make sense; applies none of them.
"""

import tomllib
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from vocab.dictionary import Unit
from vocab.errors import GatewiseError

Cell = Literal["gru", "lstm", "rnn"]
Direction = Literal["bidirectional", "forward", "backward"]
Readout = Literal["last", "max", "mean", "max_mean"]


class ConfigError(GatewiseError):
    """A setting that does not exist, or a value that it cannot take."""


class _Section(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class CorpusConfig(_Section):
    """Where the rows come from."""

    text_column: str = Field("text", description="Column that holds the text.")
    label_column: str = Field("label", description="Column that holds the label.")
    validation_share: Annotated[float, Field(gt=0, lt=1)] = Field(
        0.1,
        description="Share of each label's rows set aside for validation when no validation "
        "corpus is given.",
    )


class TokensConfig(_Section):
    """How text is cut into tokens."""

    unit: Unit = Field("word", description="What a token is: a word, a piece of one, a character.")
    vocab_size: Annotated[int, Field(ge=10, le=1_000_000)] = Field(
        20_000, description="Most tokens in the dictionary; the most frequent are kept."
    )
    min_frequency: Annotated[int, Field(ge=1)] = Field(
        1,
        description="Tokens seen fewer times in training are left out of the dictionary; a "
        "subword dictionary keeps every single character all the same.",
    )
    max_length: Annotated[int, Field(ge=2, le=100_000)] = Field(
        512, description="Most tokens read of a text, the begin mark included; the tail is cut."
    )
    lowercase: bool = Field(True, description="Whether upper and lower case are one.")

    def dictionary_options(self) -> dict[str, Any]:
        """The settings as the keywords of `vocab.dictionary.train`."""
        return self.model_dump(exclude={"max_length"})


class NetworkConfig(_Section):
    """The shape of the network."""

    cell: Cell = Field("gru", description="The recurrent cell.")
    direction: Direction = Field(
        "bidirectional", description="Which way the text is read; both ways are concatenated."
    )
    layers: Annotated[int, Field(ge=1, le=8)] = Field(1, description="Recurrent layers stacked.")
    units: Annotated[int, Field(ge=1, le=4096)] = Field(
        64, description="Units of each recurrent layer, in each direction."
    )
    embedding_size: Annotated[int, Field(ge=1, le=4096)] = Field(
        64, description="Width of the vector that stands for a token."
    )
    readout: Readout = Field(
        "max_mean",
        description="What of the states goes on: the last one, or the maximum, the mean or both "
        "over all steps.",
    )
    reset_after: bool = Field(
        True,
        description="GRU only: apply the reset gate after the recurrent product (as cuDNN does) "
        "or before it.",
    )
    ngrams: tuple[Annotated[int, Field(ge=1, le=8)], ...] | Literal["auto"] = Field(
        "auto",
        description="Lengths of the n-grams in the linear path beside the recurrent layers; an "
        "empty list leaves the path out. By default 1 and 2, and 3 too when tokens are characters.",
    )
    buckets: Annotated[int, Field(ge=2, le=10_000_000)] = Field(
        50_000, description="Hash buckets of each n-gram length above one."
    )
    dropout: Annotated[float, Field(ge=0, lt=1)] = Field(
        0.3, description="Share of the read-out set to zero at each training step."
    )
    word_dropout: Annotated[float, Field(ge=0, lt=1)] = Field(
        0.1, description="Share of tokens replaced by the unknown one at each training step."
    )

    def ngram_lengths(self, unit: Unit) -> tuple[int, ...]:
        """The n-gram lengths in use, in ascending order, once the unit is known."""
        if self.ngrams == "auto":
            return (1, 2, 3) if unit == "character" else (1, 2)
        return tuple(sorted(set(self.ngrams)))


class TrainingConfig(_Section):
    """How the network is trained."""

    epochs: Annotated[int, Field(ge=1, le=100_000)] = Field(
        12, description="Most passes over the rows."
    )
    batch_size: Annotated[int, Field(ge=1, le=1_000_000)] = Field(
        64, description="Texts of one update."
    )
    learning_rate: Annotated[float, Field(gt=0)] = Field(
        3e-3, description="Peak learning rate of AdamW; warmed up, then lowered by a cosine."
    )
    weight_decay: Annotated[float, Field(ge=0)] = Field(1e-4, description="Weight decay of AdamW.")
    averaging: Annotated[float, Field(ge=0, lt=1)] = Field(
        0.99,
        description="Momentum of the moving average of the weights that is validated and kept; 0 "
        "keeps the weights themselves. In a run of few updates it is lower, so that the average "
        "spans at most an eighth of them.",
    )
    patience: Annotated[int, Field(ge=1, le=100_000)] = Field(
        3, description="Epochs without a better validation accuracy after which training stops."
    )
    seed: Annotated[int, Field(ge=0, lt=2**32)] = Field(
        1, description="Seed of everything random: the same seed gives the same model."
    )


class Config(_Section):
    """Every setting of a training run."""

    corpus: CorpusConfig = CorpusConfig()
    tokens: TokensConfig = TokensConfig()
    network: NetworkConfig = NetworkConfig()
    training: TrainingConfig = TrainingConfig()


def load(
    file: Path | None = None,
    assignments: Iterable[str] = (),
    corpus: Mapping[str, str | None] | None = None,
) -> Config:
    """The config of a run: the defaults, overridden by a TOML file, overridden by assignments.

    Args:
        file: TOML with a table for each section, such as `[network]`.
        assignments: Settings as `section.key=value`; the value as in TOML, or a bare word.
        corpus: Settings of the section `corpus` that win over both; None leaves one as it is.

    Raises:
        ConfigError: If the file cannot be read, a setting is unknown or a value does not fit.
    """
    values = _read(file) if file else {}
    for assignment in assignments:
        key, separator, value = assignment.partition("=")
        section, dot, name = key.strip().partition(".")
        if not (separator and dot):
            raise ConfigError(
                f"--set {assignment}: expected section.key=value, such as network.units=128"
            )
        _table(values, section)[name] = _value(value.strip())
    _table(values, "corpus").update({k: v for k, v in (corpus or {}).items() if v is not None})
    try:
        return Config.model_validate(values)
    except ValidationError as error:
        raise ConfigError(_explain(error)) from None


def _read(file: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(file.read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigError(f"{file}: cannot be read: {error.strerror}") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigError(f"{file}: not valid TOML: {error}") from None


def _table(values: dict[str, Any], section: str) -> dict[str, Any]:
    table = values.setdefault(section, {})
    if not isinstance(table, dict):
        raise ConfigError(f"setting {section}: expected a table of settings, received {table!r}")
    return table


def _value(text: str) -> object:
    try:
        return tomllib.loads(f"value = {text}")["value"]
    except tomllib.TOMLDecodeError:
        return text  # a bare word, such as network.cell=lstm


def _explain(error: ValidationError) -> str:
    first = error.errors(include_url=False)[0]
    # The location of a choice between types ends in the type's name: the setting is what counts.
    place = [str(part) for part in first["loc"]][:2]
    setting = ".".join(place)
    if first["type"] == "extra_forbidden":
        known = _known_names(place)
        return f"unknown setting {setting!r}: expected one of {', '.join(known)}"
    received = first["input"]
    message = first["msg"][0].lower() + first["msg"][1:]
    return f"setting {setting}: {message}; received {received!r}"


def _known_names(place: list[str]) -> list[str]:
    if len(place) == 1:
        return sorted(Config.model_fields)
    section = Config.model_fields[place[0]].annotation
    if not (isinstance(section, type) and issubclass(section, BaseModel)):
        raise TypeError(f"{place[0]} is not a section")
    return sorted(f"{place[0]}.{name}" for name in section.model_fields)
