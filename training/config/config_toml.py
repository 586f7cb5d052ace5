"""A config as a TOML file, as `--config` reads it."""

import json

from gatewise.training.config.config import Config


def to_toml(config: Config) -> str:
    r"""Every setting of a config as TOML; a setting that is None is left out.

    >>> print(to_toml(Config()).partition("\n")[0])
    [corpus]
    """
    sections = []
    for section, settings in config.model_dump(mode="json").items():
        lines = [
            f"{name} = {_value(value)}" for name, value in settings.items() if value is not None
        ]
        sections.append("\n".join([f"[{section}]", *lines]))
    return "\n\n".join(sections) + "\n"


def _value(value: object) -> str:
    if isinstance(value, dict):
        return "{" + ", ".join(f"{_value(key)} = {_value(of)}" for key, of in value.items()) + "}"
    # JSON and TOML agree on numbers, booleans, lists, and strings except for one character.
    return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
