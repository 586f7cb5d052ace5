"""How a value looks in a cell of text and in JSON. Knows neither rows nor files."""

import datetime
import decimal
import json
import math
from collections.abc import Mapping
from contextlib import suppress

import pyarrow as pa
import pyarrow.types as kinds
from gatewise.vocab.errors import OutputError


def cell_text(value: object) -> str:
    """Write a value into a cell of text: a string as it is, null as nothing, the rest as JSON.

    Example:
        `cell_text([1, "a"])` is `'[1, "a"]'`.

    Raises:
        OutputError: JSON cannot hold the value.
    """
    if isinstance(value, str):
        return value
    if value is None:
        return ""
    text = json_text(value)
    if text == "null":
        # Nothing to JSON, such as NaN: so it is to a cell.
        return ""
    # What JSON can only hold as a string needs no quotes in a cell.
    bare = json.loads(text) if isinstance(value, pa.Scalar) else value
    return bare if isinstance(bare, str) else text


def json_text(value: object) -> str:
    """Write a value as JSON on one line.

    Raises:
        OutputError: JSON cannot hold the value, for instance bytes.
    """
    try:
        return json.dumps(value, ensure_ascii=False, allow_nan=False, default=_json_value)
    except ValueError:
        return json.dumps(_finite(value), ensure_ascii=False, default=_json_value)
    except RecursionError:
        raise OutputError("a value is nested too deeply to be written as JSON") from None


def _json_value(value: object) -> object:
    """Find the nearest thing in JSON to a value that has no form of its own there."""
    if isinstance(value, pa.Scalar):
        if not value.is_valid:
            return None
        if kinds.is_timestamp(value.type) or kinds.is_date(value.type) or kinds.is_time(value.type):
            # Arrow's own spelling, for Python's stops at microseconds.
            return value.cast(pa.string()).as_py()
        # Of nanoseconds Python knows nothing, and pandas, where it is installed, something else.
        if not (kinds.is_duration(value.type) and value.type.unit == "ns"):
            with suppress(ValueError, ArithmeticError):
                return _finite(value.as_py())
    if isinstance(value, datetime.datetime | datetime.date | datetime.time):
        return value.isoformat()
    if isinstance(value, decimal.Decimal | datetime.timedelta):
        return str(value)
    kind = value.type if isinstance(value, pa.Scalar) else type(value).__name__
    raise OutputError(f"a value of type {kind} cannot be written as text; write .parquet instead")


def _finite(value: object) -> object:
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return {key: _finite(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(inner) for inner in value]
    return value
