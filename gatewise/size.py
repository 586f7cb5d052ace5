"""A number of bytes as it is typed: `500KB`, `1MB`, `1.5MiB`. Knows nothing of what it is for."""

import typer
from pydantic import ByteSize, TypeAdapter, ValidationError


def in_bytes(text: str) -> int:
    """The bytes of a size.

    >>> in_bytes("1.5MB"), in_bytes("1MiB"), in_bytes("800")
    (1500000, 1048576, 800)

    Raises:
        typer.BadParameter: If it is none.
    """
    try:
        size = int(TypeAdapter(ByteSize).validate_python(text))
    except ValidationError:
        size = 0
    if size <= 0:
        raise typer.BadParameter(f"expected a size such as 500KB or 1MB, received {text!r}")
    return size
