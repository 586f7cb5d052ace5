"""Escapes for the terminal: no line ends and no control characters."""


def printable(text: str) -> str:
    r"""Escapes line ends, tabs and other control characters.

    >>> printable("a\x1b[31m\nb")
    'a\\x1b[31m\\nb'
    """
    return "".join(
        character if character.isprintable() else character.encode("unicode_escape").decode()
        for character in text
    )
