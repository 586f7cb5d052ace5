"""A length of time as it is typed: `90s`, `30m`, `1h30m`. Knows nothing of what it is for."""

import re

import typer

_UNITS = {"d": 86_400, "h": 3_600, "m": 60, "s": 1}
_DURATION = re.compile(r"(?:\d+(?:\.\d+)?[dhms])+")


def seconds(text: str) -> float:
    """The seconds of a length of time.

    >>> seconds("1h30m")
    5400.0

    Raises:
        typer.BadParameter: If it is none.
    """
    if not _DURATION.fullmatch(text):
        raise typer.BadParameter(f"expected a time such as 90s, 30m or 1h30m, received {text!r}")
    parts = re.findall(r"([\d.]+)([dhms])", text)
    return float(sum(float(number) * _UNITS[unit] for number, unit in parts))
