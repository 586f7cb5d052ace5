"""JSON as its standard has it: what Python's `json` takes or changes silently is refused.

That is `NaN` and `Infinity`, numbers beyond a double, and keys that occur twice.
"""

import json
import math
from typing import NoReturn


def decoder() -> json.JSONDecoder:
    """A decoder that raises `ValueError` for all of these."""
    return json.JSONDecoder(
        object_pairs_hook=_unique, parse_float=_finite, parse_constant=no_constant
    )


def no_constant(name: str) -> NoReturn:
    """A `parse_constant` of `json` that refuses `NaN` and `Infinity`."""
    raise ValueError(f"{name} is not JSON")


def _unique(pairs: list[tuple[str, object]]) -> dict[str, object]:
    # Another reader may take the other value of a key that occurs twice.
    values = dict(pairs)
    if len(values) < len(pairs):
        keys = [key for key, _ in pairs]
        twice = next(key for key in keys if keys.count(key) > 1)
        raise ValueError(f"the key {twice!r} occurs twice")
    return values


def _finite(digits: str) -> float:
    number = float(digits)
    if math.isinf(number):
        raise ValueError(f"the number {digits[:40]} is beyond the range of a double")
    return number
