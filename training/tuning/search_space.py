"""The search space: the settings that are tried, and their values.

Declared in TOML like a config, with choices or a range instead of a value. Every bound and every
choice is checked against the config before anything is trained, without importing Optuna or
TensorFlow.
"""

import json
import math
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Any

from gatewise.training.config.config import (
    CombinationError,
    Config,
    ConfigError,
    read_toml,
    validated,
)

DEFAULT = """\
[network]
cell = ["gru", "lstm"]
units = [32, 64, 128]
embedding_size = [32, 64, 128]
readout = ["max", "max_mean", "attention"]
dropout = {low = 0.1, high = 0.5, step = 0.1}
word_dropout = {low = 0.0, high = 0.2, step = 0.05}

[training]
learning_rate = {low = 5e-4, high = 2e-2, log = true}
batch_size = [32, 64, 128]
weight_decay = {low = 1e-5, high = 1e-1, log = true}
"""
"""The space that is searched when none is given."""

_FIXED = {
    "training.metric": "the trials are compared by it",
    "training.seed": "the trials are compared on the rows that it holds out",
    "training.threads": "TensorFlow reads it once for all trials",
    "training.tensorboard": "it names a place for the logs of the trials",
    "training.mlflow": "it names a place for the logs of the trials",
    "training.calibration": "the trials are compared before it",
    "training.checkpoint_updates": "it says how often a trial is saved",
}
_FIXED_SECTIONS = {
    "corpus": "the trials are compared on the same rows",
    "reject": "the trials are compared on the rows that have a label, before one is refused",
}


@dataclass(frozen=True)
class Choices:
    """Values of which a trial takes one.

    Attributes:
        values: The values, as JSON has them.
    """

    values: tuple[Any, ...]

    def extremes(self) -> tuple[Any, ...]:
        """The values that stand for all of them when they are checked."""
        return self.values


@dataclass(frozen=True)
class Range:
    """Numbers between two ends, both included; integers if both ends are.

    Attributes:
        low: The least.
        high: The greatest.
        step: Distance of the numbers from one another; None if every number will do.
        log: Whether numbers are drawn evenly by their logarithm.
    """

    low: int | float
    high: int | float
    step: int | float | None = None
    log: bool = False

    def extremes(self) -> tuple[Any, ...]:
        """The values that stand for all of them when they are checked."""
        return (self.low, self.high)


@dataclass(frozen=True)
class Space:
    """Settings and the values that they may take in a search.

    Attributes:
        dimensions: By the setting's name, such as `network.units`, in the order declared.
    """

    dimensions: Mapping[str, Choices | Range]

    def as_dict(self) -> dict[str, Any]:
        """The space as a JSON object."""
        return {
            name: list(dimension.values)
            if isinstance(dimension, Choices)
            else {
                "low": dimension.low,
                "high": dimension.high,
                "step": dimension.step,
                "log": dimension.log,
            }
            for name, dimension in self.dimensions.items()
        }


def load(file: Path | None, config: Config) -> Space:
    """The space that a file declares, or the default one.

    Args:
        file: TOML with a table for each section and, for each setting, a list of choices or a
            range such as `{low = 1e-4, high = 1e-2, log = true}`.
        config: The settings that are not searched.

    Raises:
        ConfigError: If the file is no space, or a setting cannot take one of its values.
    """
    where = str(file) if file else "the default space"
    declared = read_toml(file) if file else tomllib.loads(DEFAULT)
    space = Space({name: _dimension(where, name, d) for name, d in _settings(where, declared)})
    if not space.dimensions:
        raise ConfigError(
            f"{where}: expected settings with the values to try, such as network.units = "
            "[32, 64], received none"
        )
    for name, dimension in space.dimensions.items():
        if reason := _fixed(name):
            raise ConfigError(f"{where}: {name} cannot be searched: {reason}")
        for value in dimension.extremes():
            try:
                applied(config, {name: value})
            except CombinationError:
                pass  # other settings of the same trial may make it possible
            except ConfigError as error:
                raise ConfigError(f"{where}: {error}") from None
    return space


def applied(config: Config, settings: Mapping[str, Any]) -> Config:
    """A config with some settings changed.

    Args:
        config: The config to begin with.
        settings: Values by the settings' names, such as `network.units`.

    Raises:
        CombinationError: If they make no sense together.
        ConfigError: If a setting is unknown or a value does not fit.
    """
    values = config.model_dump(mode="json")
    for name, value in settings.items():
        section, _, setting = name.partition(".")
        values.setdefault(section, {})[setting] = value
    return validated(values)


def _settings(where: str, declared: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    for section, table in declared.items():
        if not isinstance(table, dict):
            raise ConfigError(
                f"{where}: {section}: expected a table of settings, received {table!r}"
            )
        for name, dimension in table.items():
            yield f"{section}.{name}", dimension


def _fixed(name: str) -> str | None:
    """Why a setting must be the same in all trials; None if it need not."""
    return _FIXED_SECTIONS.get(name.partition(".")[0]) or _FIXED.get(name)


def _dimension(where: str, name: str, declared: object) -> Choices | Range:
    if isinstance(declared, list):
        return _choices(f"{where}: {name}", declared)
    if isinstance(declared, dict):
        return _range(f"{where}: {name}", declared)
    raise ConfigError(
        f"{where}: {name}: expected a list of choices or a range such as {{low = 1, high = 4}}, "
        f"received {declared!r}"
    )


def _choices(place: str, declared: list[Any]) -> Choices:
    if not declared:
        raise ConfigError(f"{place}: expected at least one choice, received none")
    # As text, for 1 and true are equal, and so are 1 and 1.0.
    texts = [json.dumps(value, default=str) for value in declared]
    if twice := next((text for text in texts if texts.count(text) > 1), None):
        raise ConfigError(f"{place}: expected each choice once, received {twice} twice")
    return Choices(tuple(map(json.loads, texts)))


def _range(place: str, declared: dict[str, Any]) -> Range:
    known = ("low", "high", "step", "log")
    if unknown := next((key for key in declared if key not in known), None):
        raise ConfigError(f"{place}: unknown key {unknown!r}: expected one of {', '.join(known)}")
    if missing := next((key for key in ("low", "high") if key not in declared), None):
        raise ConfigError(f"{place}: expected a range with low and high, but {missing} is missing")
    for key in ("low", "high", "step"):
        if key in declared and not _is_number(declared[key]):
            raise ConfigError(f"{place}: {key}: expected a number, received {declared[key]!r}")
    if not isinstance(declared.get("log", False), bool):
        raise ConfigError(f"{place}: log: expected true or false, received {declared['log']!r}")
    found = Range(**declared)
    if found.low >= found.high:
        raise ConfigError(
            f"{place}: expected low below high, received {found.low} and {found.high}"
        )
    if found.log and found.low <= 0:
        raise ConfigError(f"{place}: log: expected low above 0, received {found.low}")
    if found.step is not None:
        _check_step(place, found, found.step)
    return found


def _check_step(place: str, found: Range, step: int | float) -> None:
    if found.log:
        raise ConfigError(f"{place}: expected either step or log, received both")
    if step <= 0:
        raise ConfigError(f"{place}: step: expected a number above 0, received {step}")
    if isinstance(found.low, int) and isinstance(found.high, int) and not isinstance(step, int):
        raise ConfigError(f"{place}: step: expected an integer between integers, received {step}")
    # Decimal, for in binary 0.5 - 0.1 is no multiple of 0.1.
    low, high, by = (Decimal(str(number)) for number in (found.low, found.high, step))
    if (high - low) % by:
        raise ConfigError(
            f"{place}: expected high to be low and some steps, received {found.low}, "
            f"{found.high} and a step of {step}"
        )


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
