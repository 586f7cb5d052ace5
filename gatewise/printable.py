"""What is safe to show: one line, and no control characters for a terminal to obey.

Knows nothing of where it is shown.
"""


def printable(text: str) -> str:
    r"""Escapes what does not show: line ends, tabs, and other control characters.

    >>> printable("a\x1b[31m\nb")
    'a\\x1b[31m\\nb'
    """
    return "".join(
        character if character.isprintable() else character.encode("unicode_escape").decode()
        for character in text
    )
