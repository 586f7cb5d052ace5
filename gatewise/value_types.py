"""Option values with units: durations such as `1h30m`, sizes such as `500KB`."""

import re

import typer
from pydantic import ByteSize, TypeAdapter, ValidationError

_UNITS = {"d": 86_400, "h": 3_600, "m": 60, "s": 1}
_DURATION = re.compile(r"(?:\d+(?:\.\d+)?[dhms])+")


def seconds(text: str) -> float:
    """Parses a duration.

    >>> seconds("1h30m")
    5400.0

    Raises:
        typer.BadParameter: If the text is not a duration.
    """
    if not _DURATION.fullmatch(text):
        raise typer.BadParameter(f"expected a time such as 90s, 30m or 1h30m, received {text!r}")
    parts = re.findall(r"([\d.]+)([dhms])", text)
    return float(sum(float(number) * _UNITS[unit] for number, unit in parts))


def in_bytes(text: str) -> int:
    """Parses a size.

    >>> in_bytes("1.5MB"), in_bytes("1MiB"), in_bytes("800")
    (1500000, 1048576, 800)

    Raises:
        typer.BadParameter: If the text is not a positive size.
    """
    try:
        size = int(TypeAdapter(ByteSize).validate_python(text))
    except ValidationError:
        size = 0
    if size <= 0:
        raise typer.BadParameter(f"expected a size such as 500KB or 1MB, received {text!r}")
    return size
