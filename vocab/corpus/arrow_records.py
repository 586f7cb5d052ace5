"""Arrow files as records, as `datasets` of Hugging Face saves them; names of its class labels.

A file is an Arrow stream or an Arrow file (IPC), read batch by batch.
"""

import json
from collections.abc import Iterator
from contextlib import contextmanager

import pyarrow as pa

from gatewise.vocab.corpus.data_files import DataFile, Format, open_bytes
from gatewise.vocab.corpus.parquet_records import checked_schema, records_of_batches
from gatewise.vocab.corpus.parquet_records import schema_of as parquet_schema_of
from gatewise.vocab.corpus.read_progress import ReadProgress
from gatewise.vocab.corpus.records import BadRow, Record
from gatewise.vocab.corpus.uris import is_uri

_FILE_MAGIC = b"ARROW1"
METADATA = b"huggingface"
"""The key under which a schema has the features of a data set, class labels among them."""

_INFO = "dataset_info.json"


def schema_of(file: DataFile) -> pa.Schema:
    """Read the schema of an Arrow or a Parquet file.

    Raises:
        CorpusError: The file is neither, or it has two columns of one name.
    """
    if file.format is Format.PARQUET:
        return parquet_schema_of(file)
    with _opened(file) as (_, schema, _):
        return checked_schema(file, schema)


def columns_of(file: DataFile) -> tuple[str, ...]:
    """Read the names of the columns; raises as `schema_of` does."""
    return tuple(schema_of(file).names)


def records_of(file: DataFile, progress: ReadProgress | None = None) -> Iterator[Record | BadRow]:
    """Read the records, one at a time.

    Args:
        file: The file.
        progress: Follows how much of the file has been read.

    Raises:
        CorpusError: The file cannot be read.
    """
    with (
        _opened(file) as (raw, schema, batches),
        (progress or ReadProgress()).following(raw.tell),
    ):
        checked_schema(file, schema)
        yield from records_of_batches(batches, str(file))


def class_names(file: DataFile) -> dict[str, tuple[str, ...]]:
    """The names of the class labels that a file of `datasets` holds as numbers, by column.

    They are in the schema of the file, or in `dataset_info.json` beside it.

    Raises:
        CorpusError: The file cannot be read.
    """
    metadata = schema_of(file).metadata or {}
    info = _parsed(metadata.get(METADATA, b"{}")).get("info")
    if not isinstance(info, dict) and file.format is Format.ARROW and not is_uri(file.name):
        beside = file.path.with_name(_INFO)
        info = _parsed(beside.read_bytes()) if beside.is_file() else None
    features = info.get("features") if isinstance(info, dict) else None
    if not isinstance(features, dict):
        return {}
    found = {column: _names(feature) for column, feature in features.items()}
    return {column: names for column, names in found.items() if names}


def _names(feature: object) -> tuple[str, ...]:
    """The names of a `ClassLabel`, also of one in a list; empty for any other feature."""
    if isinstance(feature, list) and len(feature) == 1:
        return _names(feature[0])
    if not isinstance(feature, dict):
        return ()
    if feature.get("_type") in ("Sequence", "List", "LargeList"):
        return _names(feature.get("feature"))
    names = feature.get("names")
    return tuple(map(str, names)) if isinstance(names, list) else ()


def _parsed(contents: bytes) -> dict[str, object]:
    try:
        values = json.loads(contents)
    except ValueError:
        return {}
    return values if isinstance(values, dict) else {}


@contextmanager
def _opened(
    file: DataFile,
) -> Iterator[tuple[pa.NativeFile, pa.Schema, Iterator[pa.RecordBatch]]]:
    with open_bytes(file) as raw:
        is_file = raw.read(len(_FILE_MAGIC)) == _FILE_MAGIC
        raw.seek(0)
        if is_file:
            with pa.ipc.open_file(raw) as reader:
                count = reader.num_record_batches
                yield raw, reader.schema, map(reader.get_batch, range(count))
        else:
            with pa.ipc.open_stream(raw) as reader:
                yield raw, reader.schema, iter(reader)
