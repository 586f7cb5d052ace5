"""The search space: the settings that are tried, and their values.

Declared in TOML like a config, with choices or a range instead of a value. Every bound and every
choice is checked against the config before anything is trained, without importing TensorFlow.
"""

import json
import math
import tomllib
import warnings
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

from gatewise.training.config.config import (
    CombinationError,
    Config,
    ConfigError,
    read_toml,
    validated,
)
from gatewise.training.data.settings_check import OF_TEXTS
from gatewise.vocab.corpus.columns import Input

DEFAULT = """\
[network]
cell = ["gru", "lstm"]
units = [32, 64, 128]
embedding_size = [32, 64, 128]
readout = ["max", "max_mean", "attention"]
ngrams = ["auto", [], [1], [1, 2, 3]]
spelling = ["auto", [], [2, 3, 4, 5]]
dropout = {low = 0.1, high = 0.5, step = 0.1}
word_dropout = {low = 0.0, high = 0.2, step = 0.05}

[training]
epochs = ["auto", 6, 24]
learning_rate = {low = 5e-4, high = 2e-2, log = true}
batch_size = [32, 64, 128]
weight_decay = {low = 1e-5, high = 1e-1, log = true}
"""
"""The space that is searched when none is given."""

_FIXED = {
    "network.size": "it stands for network.units and network.embedding_size: search those",
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

_RANGE = ("low", "high", "step", "log")

Distribution = CategoricalDistribution | FloatDistribution | IntDistribution
Space = Mapping[str, Distribution]
"""The values that a setting may take, by its name, such as `network.units`.

Choices are JSON texts, because a choice may be a list, which Optuna does not store.
"""


def load(file: Path | None, config: Config, input_: Input = "text") -> Space:
    """The space that a TOML file declares, or the default one.

    Args:
        file: The TOML file; None for the default space, without the settings of texts where the
            rows are sequences of numbers.
        config: The settings of all trials.
        input_: What the rows are.

    Raises:
        ConfigError: If the file is no space, or a setting cannot take one of its values.
    """
    where = str(file) if file else "the default space"
    declared = read_toml(file) if file else tomllib.loads(DEFAULT)
    left_out = OF_TEXTS if file is None and input_ == "sequence" else ()
    space = {
        name: _distribution(where, name, d)
        for name, d in _settings(where, declared)
        if name not in left_out
    }
    if not space:
        raise ConfigError(
            f"{where}: expected settings with the values to try, such as network.units = "
            "[32, 64], received none"
        )
    for name, distribution in space.items():
        if reason := _fixed(name):
            raise ConfigError(f"{where}: {name} cannot be searched: {reason}")
        for value in _checked_values(distribution):
            try:
                applied(config, {name: value})
            except CombinationError:
                pass  # other settings of the same trial may make it possible
            except ConfigError as error:
                raise ConfigError(f"{where}: {error}") from None
    return space


def applied(config: Config, settings: Mapping[str, Any]) -> Config:
    """A config with some settings changed, given by names such as `network.units`.

    Raises:
        CombinationError: If they make no sense together.
        ConfigError: If a setting is unknown or a value does not fit.
    """
    values = config.model_dump(mode="json")
    for name, value in settings.items():
        section, _, setting = name.partition(".")
        values.setdefault(section, {})[setting] = value
    return validated(values)


def value_of(distribution: Distribution, suggested: Any) -> Any:
    """The value of a setting for what Optuna suggests."""
    if isinstance(distribution, CategoricalDistribution):
        return json.loads(suggested)
    if isinstance(distribution, FloatDistribution) and distribution.step:
        # Twelve digits, because in binary 0.1 + 2 * 0.1 is not 0.3.
        return float(f"{suggested:.12g}")
    return suggested


def as_json(distribution: Distribution) -> list[Any] | dict[str, Any]:
    """A distribution as a space declares it: a list of choices, or a range."""
    if isinstance(distribution, CategoricalDistribution):
        return [json.loads(str(choice)) for choice in distribution.choices]
    return {key: getattr(distribution, key) for key in _RANGE}


def _settings(where: str, declared: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    for section, table in declared.items():
        if not isinstance(table, dict):
            raise ConfigError(
                f"{where}: {section}: expected a table of settings, received {table!r}"
            )
        for name, values in table.items():
            yield f"{section}.{name}", values


def _fixed(name: str) -> str | None:
    """Why a setting must be the same in all trials; None if it need not."""
    return _FIXED_SECTIONS.get(name.partition(".")[0]) or _FIXED.get(name)


def _checked_values(distribution: Distribution) -> list[Any]:
    """The values that stand for all of them when they are checked."""
    declared = as_json(distribution)
    if isinstance(declared, list):
        return declared
    low, step = declared["low"], declared["step"] or 0
    return [low, low + step, declared["high"]]


def _distribution(where: str, name: str, declared: object) -> Distribution:
    if isinstance(declared, list):
        return _choices(f"{where}: {name}", declared)
    if isinstance(declared, dict):
        return _range(f"{where}: {name}", declared)
    raise ConfigError(
        f"{where}: {name}: expected a list of choices or a range such as {{low = 1, high = 4}}, "
        f"received {declared!r}"
    )


def _choices(place: str, declared: list[Any]) -> Distribution:
    if not declared:
        raise ConfigError(f"{place}: expected at least one choice, received none")
    # As text, for 1 and true are equal, and so are 1 and 1.0.
    texts = [json.dumps(value, default=str) for value in declared]
    if twice := next((text for text in texts if texts.count(text) > 1), None):
        raise ConfigError(f"{place}: expected each choice once, received {twice} twice")
    return CategoricalDistribution(texts)


def _range(place: str, declared: dict[str, Any]) -> Distribution:
    if unknown := next((key for key in declared if key not in _RANGE), None):
        raise ConfigError(f"{place}: unknown key {unknown!r}: expected one of {', '.join(_RANGE)}")
    if missing := next((key for key in ("low", "high") if key not in declared), None):
        raise ConfigError(f"{place}: expected a range with low and high, but {missing} is missing")
    numbers = {key: value for key, value in declared.items() if key != "log"}
    for key, value in numbers.items():
        if not _is_number(value):
            raise ConfigError(f"{place}: {key}: expected a number, received {value!r}")
    if not isinstance(declared.get("log", False), bool):
        raise ConfigError(f"{place}: log: expected true or false, received {declared['log']!r}")
    are_integers = all(isinstance(number, int) for number in numbers.values())
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # Optuna lowers a high that is no step, see below
            found = (IntDistribution if are_integers else FloatDistribution)(**declared)
    except ValueError as error:
        raise ConfigError(f"{place}: {error}") from None
    if found.high != declared["high"]:
        raise ConfigError(
            f"{place}: expected high to be low and some steps, received {declared['low']}, "
            f"{declared['high']} and a step of {declared['step']}"
        )
    return found


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
