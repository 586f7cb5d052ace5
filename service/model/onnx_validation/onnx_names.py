"""The names in an ONNX file: those that may be in it, and how one that may not is shown."""

from gatewise.service.model.errors import NetworkError

_LONGEST = 200


def name_of(name: memoryview) -> str:
    """A name as text.

    Raises:
        NetworkError: If it is empty, long, or not of plain characters.
    """
    text = shown(name)
    if not 0 < len(name) <= _LONGEST or text.encode() != name:
        raise NetworkError(
            f"expected names of 1 to {_LONGEST} plain characters, found {text[:40]!r}"
        )
    return text


def shown(name: memoryview) -> str:
    """A name with nothing left of it but what every terminal shows as it is."""
    text = bytes(name[:_LONGEST]).decode("ascii", "replace")
    if text.isprintable() and text.isascii():
        return text
    return "".join(each if " " <= each <= "~" else "?" for each in text)
