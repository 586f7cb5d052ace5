"""The config of a training run: defaults, overridden by a TOML file, then by `--set key=value`."""

import json
import tomllib
from collections.abc import Iterable, Mapping, Sequence
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ValidationError

from gatewise.training.config.corpus_section import CorpusConfig
from gatewise.training.config.network_section import NetworkConfig, with_size
from gatewise.training.config.reject_section import RejectConfig
from gatewise.training.config.section import Section
from gatewise.training.config.sequence_section import SequenceConfig
from gatewise.training.config.teacher_section import TeacherConfig, is_url
from gatewise.training.config.tokens_section import TokensConfig
from gatewise.training.config.training_section import TrainingConfig
from gatewise.vocab.errors import GatewiseError


class ConfigError(GatewiseError, ValueError):
    """An unknown setting, or a value that it cannot have; also a `ValueError`."""


class CombinationError(ConfigError):
    """Settings that are valid but not together."""


class Config(Section):
    """Every setting of a training run."""

    corpus: CorpusConfig = CorpusConfig()
    tokens: TokensConfig = TokensConfig()
    sequence: SequenceConfig = SequenceConfig()
    network: NetworkConfig = NetworkConfig()
    training: TrainingConfig = TrainingConfig()
    reject: RejectConfig = RejectConfig()
    teacher: TeacherConfig = TeacherConfig()

    def value_of(self, name: str) -> object:
        """The value of a setting.

        >>> Config().value_of("tokens.max_length")
        512
        """
        section, _, setting = name.partition(".")
        return getattr(getattr(self, section), setting)

    def changed(self, section: str, **values: object) -> "Config":
        """The config with other values, which are not checked, in a section.

        >>> Config().changed("training", epochs=3).training.epochs
        3
        """
        settings: Section = getattr(self, section)
        return self.model_copy(update={section: settings.model_copy(update=values)})

    def taught_by(
        self, teachers: Sequence[str | Path] | None, unlabelled: Sequence[Path] | None = None
    ) -> "Config":
        """The config of the same run with other teachers or unlabelled texts, if any are given.

        Args:
            teachers: Folders, and the URL of one endpoint at most.
            unlabelled: Files of texts.

        Raises:
            ConfigError: If there are several URLs.
        """
        update: dict[str, Any] = {}
        if teachers:
            urls = [teacher for teacher in map(str, teachers) if is_url(teacher)]
            if len(urls) > 1:
                raise ConfigError("teacher: expected one endpoint at most, received two")
            update["url"] = urls[0] if urls else None
            update["folders"] = tuple(Path(each) for each in teachers if str(each) not in urls)
        if unlabelled:
            update["unlabelled"] = tuple(unlabelled)
        return self.changed("teacher", **update)

    def without_teacher(self) -> "Config":
        """The config of the same run without a teacher."""
        return self.model_copy(update={"teacher": TeacherConfig()})

    def without_places(self) -> "Config":
        """The config without the addresses of logs and endpoints, which may hold secrets."""
        logs = self.changed("training", tensorboard=None, mlflow=None)
        return logs.changed("teacher", url=None)


def load(
    file: Path | None = None,
    assignments: Iterable[str] = (),
    corpus: Mapping[str, str | None] | None = None,
) -> Config:
    """The config of a run: the defaults, overridden by a TOML file, overridden by assignments.

    Args:
        file: TOML with a table for each section, such as `[network]`.
        assignments: Settings as `section.key=value`; the value as in TOML, or a bare word.
        corpus: Settings of the section `corpus` that override both, except those that are None.

    Raises:
        ConfigError: If the file cannot be read, a setting is unknown or a value is invalid.
    """
    values = read_toml(file) if file else {}
    for assignment in assignments:
        key, separator, value = assignment.partition("=")
        section, dot, name = key.strip().partition(".")
        if not (separator and dot):
            raise ConfigError(
                f"{assignment}: expected section.key=value, such as network.units=128",
                option="set",
            )
        _table(values, section)[name] = _value(value.strip())
    _table(values, "corpus").update({k: v for k, v in (corpus or {}).items() if v is not None})
    return validated(values)


def of_settings(settings: Mapping[str, object], file: Path | None = None) -> Config:
    """A config of some settings by name, the others from a file or at their defaults.

    >>> of_settings({"units": 8, "training": {"epochs": 3}}).network.units
    8

    Args:
        settings: Values by their names alone, by `section.name`, or in a mapping for each section.
        file: TOML with a table for each section, which the settings override.

    Raises:
        ConfigError: If the file cannot be read, a setting is unknown, has two values, or a value is
            invalid.
    """
    values = read_toml(file) if file else {}
    for section, table in placed(settings).items():
        _table(values, section).update(table)
    return validated(values)


def placed(settings: Mapping[str, object]) -> dict[str, dict[str, Any]]:
    """Settings by section and name; their values are not checked.

    >>> placed({"units": 8, "training.epochs": 3, "network": {"cell": "lstm"}})
    {'network': {'units': 8, 'cell': 'lstm'}, 'training': {'epochs': 3}}

    Raises:
        ConfigError: If a name is unknown or occurs twice.
    """
    given: dict[str, dict[str, Any]] = {}
    for key, value in settings.items():
        section, name = _place_of(key)
        entries: Mapping[str, Any]
        if name is not None:
            entries = {name: value}
        elif isinstance(value, Mapping):
            entries = value
        else:
            raise ConfigError(f"setting {key}: expected a dict of settings, received {value!r}")
        table = given.setdefault(section, {})
        for setting, chosen in entries.items():
            if setting in table:
                raise ConfigError(f"setting {section}.{setting}: expected one value, received two")
            table[setting] = chosen
    return given


def sections_of(name: str) -> list[str]:
    """The sections that have a setting of this name.

    >>> sections_of("units")
    ['network']
    """
    fields = ((section, field.annotation) for section, field in Config.model_fields.items())
    return [section for section, model in fields if name in getattr(model, "model_fields", ())]


def _place_of(key: str) -> tuple[str, str | None]:
    """The section and the name of a setting, or a section alone."""
    section, _, name = key.partition(".")
    if name:
        return section, name
    if key in Config.model_fields:
        return key, None
    sections = sections_of(key)
    if len(sections) != 1:
        names = sorted({name for each in Config.model_fields for name in _names_in(each)})
        alike = get_close_matches(key, names, 3) or ["units", "epochs", "seed"]
        known = ", ".join(f"{each}.{key}" for each in sections) or f"{', '.join(alike)}, …"
        raise ConfigError(f"unknown setting {key!r}: expected one of {known}")
    return sections[0], key


def _names_in(section: str) -> list[str]:
    return list(getattr(Config.model_fields[section].annotation, "model_fields", ()))


def validated(values: Mapping[str, Any]) -> Config:
    """A config of some settings, the others at their defaults.

    Args:
        values: A mapping for each section, as in TOML or from `Config.model_dump(mode="json")`.

    Raises:
        CombinationError: If every setting is valid, but not together with the others.
        ConfigError: If a setting is unknown or a value is invalid.
    """
    try:
        if isinstance(network := values.get("network"), Mapping):
            values = {**values, "network": with_size(network)}
        # As JSON, so that strict types take a list for a tuple and a string for a path.
        return Config.model_validate_json(json.dumps(values, default=_plain))
    except ValidationError as error:
        combination = next((e for e in error.errors() if e["type"] == "value_error"), None)
        if combination and len(combination["loc"]) < 2:
            raise CombinationError(str(combination["ctx"]["error"])) from None
        raise ConfigError(_explain(error)) from None


def _plain(value: Any) -> object:
    """A scalar of NumPy as a number; a path and the like as a string."""
    return value.item() if hasattr(value, "item") else str(value)


def read_toml(file: Path) -> dict[str, Any]:
    """The contents of a TOML file.

    Raises:
        ConfigError: If it cannot be read, or is not TOML.
    """
    try:
        return tomllib.loads(file.read_text(encoding="utf-8-sig"))
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
    if text == "null":  # TOML has no such value
        return None
    try:
        return tomllib.loads(f"value = {text}")["value"]
    except tomllib.TOMLDecodeError:
        return text  # a bare word, such as network.cell=lstm


def _explain(error: ValidationError) -> str:
    first = error.errors(include_url=False)[0]
    # The location of a choice between types ends in the name of a type: drop it.
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
