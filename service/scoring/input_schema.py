"""The schema of an input: the columns of all its files, with types that hold every value.

Types are those of Parquet and Arrow files and of the values of JSON Lines; the other formats are
text.
"""

from collections.abc import Mapping, Sequence

import pyarrow as pa
import pyarrow.types as kinds

from gatewise.vocab.corpus import json_records
from gatewise.vocab.corpus.arrow_records import METADATA, schema_of
from gatewise.vocab.corpus.cell_values import is_list_type
from gatewise.vocab.corpus.data_files import Format
from gatewise.vocab.corpus.json_types import column_types
from gatewise.vocab.corpus.record_stream import RecordStream, Table
from gatewise.vocab.errors import CorpusError

_TYPED = (Format.PARQUET, Format.ARROW)
_RECORDS_AHEAD, _CHARACTERS_AHEAD = 10_000, 16 * 1024 * 1024
"""How much of a JSON Lines file its types are found in."""


def input_schema(records: RecordStream, columns: Sequence[str]) -> pa.Schema:
    """The types of an input's columns; metadata of Parquet, such as that of pandas, is kept.

    A column that a file lacks is null in its rows, even if another file declares it not null. A
    column is text if one of the files holds it as text, or if JSON Lines differ from other files.

    Args:
        records: The input.
        columns: Its columns.

    Raises:
        CorpusError: Files of Parquet or Arrow have types that cannot be united, or a file cannot be
            read.
    """
    tables = [table for table in records.tables if table.columns]
    named = has_named_labels(records, Format.PARQUET)
    schemas = [_named(table, _schema(table)) if named else _schema(table) for table in tables]
    fields = []
    for name in columns:
        found = [
            (table, schema.field(name))
            for table, schema in zip(tables, schemas, strict=True)
            if name in schema.names
        ]
        nullable = len(found) < len(tables) or any(field.nullable for _, field in found)
        kept = found[0][1].with_type(_united(name, found)).with_nullable(nullable)
        fields.append(kept)
    is_typed = bool(tables) and all(table.file.format in _TYPED for table in tables)
    return pa.schema(fields, metadata=schemas[0].metadata if is_typed else None)


def has_named_labels(records: RecordStream, output: Format) -> bool:
    """Whether class labels get their names in an output.

    In Parquet they stay numbers if its metadata, that of the first file, has the names of all.

    Raises:
        CorpusError: A file cannot be read.
    """
    tables = [table for table in records.tables if table.columns]
    if not any(table.class_names for table in tables):
        return False
    first = tables[0]
    is_described = first.file.format in _TYPED and METADATA in (
        schema_of(first.file).metadata or ()
    )
    is_of_all = all(table.class_names == first.class_names for table in tables)
    return output is not Format.PARQUET or not (is_described and is_of_all)


def json_columns(records: RecordStream, schema: pa.Schema) -> Mapping[str, pa.DataType]:
    """The columns of JSON Lines that are no text; a later record may hold another kind of value."""
    names = {
        name
        for table in records.tables
        if table.file.format is Format.JSON_LINES
        for name in table.columns
    }
    return {
        name: schema.field(name).type
        for name in names
        if name in schema.names and not kinds.is_string(schema.field(name).type)
    }


def _schema(table: Table) -> pa.Schema:
    if table.file.format in _TYPED:
        return schema_of(table.file)
    if table.file.format is not Format.JSON_LINES:
        return pa.schema([(name, pa.string()) for name in table.columns])
    types = dict(table.types)
    if table.file.pipe is None:
        ahead = json_records.first_records(table.file, _RECORDS_AHEAD, _CHARACTERS_AHEAD)
        types = column_types(ahead)
    return pa.schema([(name, types[name]) for name in table.columns])


def _named(table: Table, schema: pa.Schema) -> pa.Schema:
    """A schema with strings for the numbers of class labels."""
    for column in table.class_names:
        number = schema.get_field_index(column)
        field = schema.field(number)
        is_list = is_list_type(field.type)
        kind = pa.list_(pa.string()) if is_list else pa.string()
        schema = schema.set(number, field.with_type(kind))
    metadata = {key: each for key, each in (schema.metadata or {}).items() if key != METADATA}
    return schema.with_metadata(metadata or None)


def _united(name: str, found: Sequence[tuple[Table, pa.Field]]) -> pa.DataType:
    first, kind = found[0][0], found[0][1].type
    for table, field in found[1:]:
        united = _common(kind, field.type)
        if united is None:
            if any(each.file.format not in _TYPED for each, _ in found):
                return pa.string()
            raise CorpusError(
                f"{table.file}: column {name!r} has the type {field.type}, and in {first.file} the "
                f"type {kind}: expected types that one column can hold; leave it out of one of "
                "them, or convert it"
            )
        kind = united
    return kind


def _common(one: pa.DataType, other: pa.DataType) -> pa.DataType | None:
    """A type that holds the values of both; None if there is none."""
    if one == other:
        return one
    schemas = [pa.schema([("column", _plain(kind))]) for kind in (one, other)]
    try:
        united = pa.unify_schemas(schemas, promote_options="permissive").field(0).type
    except (pa.ArrowException, TypeError):
        return None
    if _loses_decimals(one, united) or _loses_decimals(other, united):
        return None
    # Bytes that are not UTF-8 would make texts of bytes.
    mixes_bytes = kinds.is_binary(united) or kinds.is_large_binary(united)
    return None if mixes_bytes and united not in (one, other) else united


def _loses_decimals(kind: pa.DataType, united: pa.DataType) -> bool:
    """Whether decimals, also nested ones, become doubles, which hold hardly any of them exactly."""
    if kinds.is_decimal(kind):
        return bool(kinds.is_floating(united))
    if kinds.is_struct(kind):
        return any(_loses_decimals(field.type, united.field(field.name).type) for field in kind)
    if is_list_type(kind):
        return _loses_decimals(kind.value_type, united.value_type)
    return bool(kinds.is_map(kind)) and _loses_decimals(kind.item_type, united.item_type)


def _plain(kind: pa.DataType) -> pa.DataType:
    """A type without its encoding in memory."""
    if kinds.is_dictionary(kind):
        return _plain(kind.value_type)
    if kinds.is_string_view(kind):
        return pa.large_string()
    if kinds.is_binary_view(kind):
        return pa.large_binary()
    return kind
