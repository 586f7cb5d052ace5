"""Formats a value of any type as the text of a cell and as JSON."""

import base64
import datetime
import json
import math
import uuid
from collections.abc import Mapping, Sequence

import pyarrow as pa
import pyarrow.types as kinds

from gatewise.vocab.corpus.label_lists import is_list
from gatewise.vocab.corpus.label_values import SEPARATOR
from gatewise.vocab.errors import OutputError

_NANOSECONDS = {"s": 10**9, "ms": 10**6, "us": 10**3, "ns": 1}


def cell_text(value: object) -> str:
    """Format a value as a cell: a string unchanged, null as empty text, other values as JSON.

    Example:
        `cell_text([1, "a"])` is `'[1, "a"]'`.
    """
    if isinstance(value, str):
        return value
    if value is None:
        return ""
    if isinstance(value, pa.Scalar) and kinds.is_floating(value.type):
        value = value.as_py()
    if isinstance(value, float) and math.isinf(value):
        # A cell can hold it, unlike JSON.
        return str(value)
    plain = _json_value(value) if not isinstance(value, list | dict | int | float) else value
    if isinstance(plain, str):
        # A value that is a string in JSON, such as a date, has no quotes in a cell.
        return plain
    text = json_text(plain)
    # Null in JSON, such as NaN, is an empty cell.
    return "" if text == "null" else text


def labels_text(value: object) -> str:
    """Format the labels of a row as a cell, as corpora have them: `a|b`, empty for none.

    A list that would be read otherwise then, such as one of a label with a vertical bar, is JSON.

    Example:
        `labels_text(["joy", "love"])` is `"joy|love"`.
    """
    labels = value.as_py() if isinstance(value, pa.Scalar) else value
    if not isinstance(labels, list):
        return cell_text(value)
    names = [
        str(label) for label in labels if isinstance(label, str | int) and type(label) is not bool
    ]
    text = SEPARATOR.join(names)
    is_plain = len(names) == len(labels) and not any(
        SEPARATOR in name or not name.strip() for name in names
    )
    return text if is_plain and not is_list(text) else cell_text(value)


def json_text(value: object) -> str:
    """Format a value as JSON on one line; NaN and infinity become null.

    Raises:
        OutputError: The value is nested too deeply.
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
        return _of_arrow(value)
    if isinstance(value, datetime.datetime | datetime.date | datetime.time):
        return value.isoformat()
    if isinstance(value, datetime.timedelta):
        return _duration(value // datetime.timedelta(microseconds=1) * _NANOSECONDS["us"])
    if isinstance(value, bytes):
        return base64.b64encode(value).decode()
    if isinstance(value, Mapping | Sequence) and not isinstance(value, str):
        return _finite(value)
    return str(value)


def _of_arrow(value: pa.Scalar) -> object:
    """The value of a scalar as JSON has it, of whatever type and depth."""
    if not value.is_valid:
        return None
    kind = value.type
    if isinstance(value, pa.ExtensionScalar):
        plain = value.as_py()
        return str(plain) if isinstance(plain, uuid.UUID) else _of_arrow(value.value)
    if kinds.is_dictionary(kind) or kinds.is_union(kind) or kinds.is_run_end_encoded(kind):
        return _of_arrow(value.value)
    if kinds.is_map(kind):
        return [[_of_arrow(pair[0]), _of_arrow(pair[1])] for pair in value.values]
    if kinds.is_struct(kind):
        return {field.name: _of_arrow(value[number]) for number, field in enumerate(kind)}
    return list(map(_of_arrow, value.values)) if is_list_type(kind) else _of_flat(value)


def _of_flat(value: pa.Scalar) -> object:
    kind = value.type
    if kinds.is_timestamp(kind) or kinds.is_date(kind) or kinds.is_time(kind):
        # Arrow's format, because Python's has microseconds at most.
        return value.cast(pa.string()).as_py()
    if kinds.is_duration(kind):
        return _duration(value.value * _NANOSECONDS[kind.unit])
    plain = value.as_py()
    return _finite(plain) if isinstance(plain, str | int | float) else _json_value(plain)


def is_list_type(kind: pa.DataType) -> bool:
    """Whether the values of a type are lists, in any of Arrow's layouts."""
    return bool(
        kinds.is_list(kind)
        or kinds.is_large_list(kind)
        or kinds.is_fixed_size_list(kind)
        or kinds.is_list_view(kind)
        or kinds.is_large_list_view(kind)
    )


def _duration(nanoseconds: int) -> str:
    """A duration in the format of ISO 8601, in seconds.

    >>> _duration(-1_500_000_000), _duration(60_000_000_001)
    ('-PT1.5S', 'PT60.000000001S')
    """
    seconds, rest = divmod(abs(nanoseconds), 10**9)
    fraction = f".{rest:09}".rstrip("0") if rest else ""
    return f"{'-' if nanoseconds < 0 else ''}PT{seconds}{fraction}S"


def _finite(value: object) -> object:
    # Scalars of structs and maps are mappings too.
    if isinstance(value, pa.Scalar):
        return _of_arrow(value)
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return {key: _finite(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(inner) for inner in value]
    return value
