"""Formats a value as the text of a cell and as JSON."""

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
    """Format a value as a cell: a string unchanged, null as empty text, other values as JSON.

    Example:
        `cell_text([1, "a"])` is `'[1, "a"]'`.
    """
    if isinstance(value, str):
        return value
    if value is None:
        return ""
    text = json_text(value)
    if text == "null":
        # Null in JSON, such as NaN, is an empty cell.
        return ""
    # A value that is a string in JSON, such as a date, has no quotes in a cell.
    parsed = json.loads(text) if isinstance(value, pa.Scalar) else value
    return parsed if isinstance(parsed, str) else text


def json_text(value: object) -> str:
    """Format a value as JSON on one line.

    Raises:
        OutputError: The value cannot be written as JSON, for instance bytes.
    """
    try:
        return json.dumps(value, ensure_ascii=False, allow_nan=False, default=_json_value)
    except ValueError:
        return json.dumps(_finite(value), ensure_ascii=False, default=_json_value)
    except RecursionError:
        raise OutputError("a value is nested too deeply to be written as JSON") from None


def _json_value(value: object) -> object:
    """Convert a value that JSON has no type for."""
    if isinstance(value, pa.Scalar):
        if not value.is_valid:
            return None
        if kinds.is_timestamp(value.type) or kinds.is_date(value.type) or kinds.is_time(value.type):
            # Arrow's format, because Python's has microseconds at most.
            return value.cast(pa.string()).as_py()
        # Python has no nanoseconds, and if pandas is installed the result is a pandas type.
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
