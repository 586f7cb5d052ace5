"""Names of anyone's choosing in Markdown. Knows nothing of what they name."""

import re
from collections.abc import Sequence

_SHOWN = 30


def listed(names: Sequence[str]) -> str:
    """The first of some names as code, and how many there are more.

    >>> listed(["a", "b"])
    '`a`, `b`'
    """
    shown = ", ".join(map(as_code, names[:_SHOWN]))
    return shown if len(names) <= _SHOWN else f"{shown} and {len(names) - _SHOWN} more"


def as_code(label: str) -> str:
    """A label as code, on one line, whatever characters it holds.

    >>> as_code("a`b")
    '``a`b``'
    """
    shown = " ".join(label.split())
    longest = max((len(run) for run in re.findall("`+", shown)), default=0)
    fence = "`" * (longest + 1)
    padding = " " if shown.startswith("`") or shown.endswith("`") else ""
    return f"{fence}{padding}{shown}{padding}{fence}"
