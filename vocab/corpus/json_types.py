"""The Arrow types of JSON values: those of a column of records, and whether a value fits one.

JSON Lines have no schema, so it is found in the first records. A column with values of several
kinds, such as numbers and strings, is one of text.
"""

from collections.abc import Iterable, Mapping

import pyarrow as pa
import pyarrow.types as kinds

_MAX_INTEGER = 2**63
_EXACT_INTEGERS = 2**53
"""Integers up to this are exact in a double."""


class _MixedError(Exception):
    """Values of several kinds, which only text can hold."""


def column_types(records: Iterable[Mapping[str, object]]) -> dict[str, pa.DataType]:
    """The type of each column of some records.

    A boolean is `bool`, a number `int64` or `double`, a list a `list`, an object a `struct`; a
    column of strings, of nulls alone or of several kinds is `string`.

    >>> column_types([{"n": 1, "tags": ["a"]}, {"n": 1.5}])
    {'n': DataType(double), 'tags': ListType(list<item: string>)}

    Args:
        records: Mappings of column to JSON value.
    """
    rows = list(records)
    names = dict.fromkeys(name for row in rows for name in row)
    return {name: _type_of_column([row.get(name) for row in rows]) for name in names}


def fits(value: object, kind: pa.DataType) -> bool:
    """Whether a JSON value can be written as a type without a loss; null always can.

    >>> fits(2, pa.int64()), fits(2.5, pa.int64()), fits("2", pa.int64())
    (True, False, False)
    """
    if isinstance(value, list) and kinds.is_list(kind):
        return all(fits(item, kind.value_type) for item in value)
    if isinstance(value, dict) and kinds.is_struct(kind):
        types = {field.name: field.type for field in kind}
        return all(name in types and fits(item, types[name]) for name, item in value.items())
    if isinstance(value, bool) or kinds.is_boolean(kind):
        return value is None or (isinstance(value, bool) and bool(kinds.is_boolean(kind)))
    if isinstance(value, int) and kinds.is_floating(kind):
        return abs(value) <= _EXACT_INTEGERS
    try:
        pa.scalar(value, type=kind)
    except (pa.ArrowException, OverflowError, TypeError, ValueError):
        return False
    return not (isinstance(value, float) and kinds.is_integer(kind))


def _type_of_column(values: list[object]) -> pa.DataType:
    try:
        found = pa.null()
        for value in values:
            found = _common(found, _type_of(value))
        kind = _known(found)
    except _MixedError:
        return pa.string()
    return kind if all(fits(value, kind) for value in values) else pa.string()


def _type_of(value: object) -> pa.DataType:
    if isinstance(value, list):
        item = pa.null()
        for each in value:
            item = _common(item, _type_of(each))
        return pa.list_(item)
    if isinstance(value, dict):
        if not value:
            # Parquet has no struct without a field.
            raise _MixedError
        return pa.struct([(name, _type_of(inner)) for name, inner in value.items()])
    if isinstance(value, int) and not -_MAX_INTEGER <= value < _MAX_INTEGER:
        raise _MixedError
    of_kind = {bool: pa.bool_(), int: pa.int64(), float: pa.float64(), str: pa.string()}
    return of_kind.get(type(value), pa.null())


def _common(one: pa.DataType, other: pa.DataType) -> pa.DataType:
    if one == other or kinds.is_null(other):
        return one
    if kinds.is_null(one):
        return other
    if {str(one), str(other)} == {"int64", "double"}:
        return pa.float64()
    if kinds.is_list(one) and kinds.is_list(other):
        return pa.list_(_common(one.value_type, other.value_type))
    if kinds.is_struct(one) and kinds.is_struct(other):
        fields = {field.name: field.type for field in one}
        for field in other:
            fields[field.name] = _common(fields.get(field.name, pa.null()), field.type)
        return pa.struct(list(fields.items()))
    raise _MixedError


def _known(kind: pa.DataType) -> pa.DataType:
    """The type with strings for what is null in all records."""
    if kinds.is_null(kind):
        return pa.string()
    if kinds.is_list(kind):
        return pa.list_(_known(kind.value_type))
    if kinds.is_struct(kind):
        return pa.struct([(field.name, _known(field.type)) for field in kind])
    return kind
