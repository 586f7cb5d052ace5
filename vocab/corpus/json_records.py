r"""JSON Lines as records: one JSON object a line, blank lines skipped.

Records need not have the same keys. The columns of a file are the keys of its first records, in
order of appearance; a later record may lack some or have others.

Stricter than Python's `json`, which changes values silently or writes lines that others cannot
read: `NaN`, numbers beyond a double, lone surrogates (`\ud800`) and duplicate keys make a bad row.
"""

import json
from collections.abc import Generator, Mapping
from contextlib import closing

from gatewise.vocab.corpus.data_files import LINE_LIMIT, DataFile, open_numbered_lines
from gatewise.vocab.corpus.read_progress import ReadProgress
from gatewise.vocab.corpus.records import BadRow, Location, Record, is_unicode, not_unicode_reason
from gatewise.vocab.strict_json import decoder

_RECORDS_AHEAD = 100
_CHARACTERS_AHEAD = 1024 * 1024


def columns_of(file: DataFile) -> tuple[str, ...]:
    """Collect the keys of the first good records; none if there is no good record.

    Raises:
        CorpusError: The file cannot be read or decompressed.
    """
    return tuple(dict.fromkeys(key for record in first_records(file) for key in record))


def first_records(
    file: DataFile, count: int | None = None, characters: int | None = None
) -> list[Mapping[str, object]]:
    """Read the first good records; a file without any is valid.

    After `LINE_LIMIT` characters of bad rows the search ends, because the part of standard input
    that was read is kept in memory.

    Args:
        file: The file.
        count: The largest number of records; None for 100.
        characters: About how many characters of them are read at most; None for a million.

    Raises:
        CorpusError: The file cannot be read or decompressed.
    """
    count, characters = count or _RECORDS_AHEAD, characters or _CHARACTERS_AHEAD
    found: list[Mapping[str, object]] = []
    read = bad = 0
    with closing(records_of(file)) as items:
        for item in items:
            if isinstance(item, BadRow):
                bad += len(item.content)
                if bad > LINE_LIMIT:
                    break
                continue
            found.append(item.values)
            read += len(item.raw)
            if len(found) == count or read > characters:
                break
    return found


def records_of(
    file: DataFile, progress: ReadProgress | None = None
) -> Generator[Record | BadRow, None, None]:
    """Read the records, one line at a time.

    Args:
        file: The file.
        progress: Follows how much of the file has been read.

    Raises:
        CorpusError: The file cannot be read or decompressed, or a line is too long.
    """
    decode = decoder().decode
    name = str(file)
    with open_numbered_lines(file, progress) as lines:
        for number, line in lines:
            location = Location(name, number)
            values: object = None
            try:
                values = decode(line)
                reason = defect(values, line, file.encoding)
            except json.JSONDecodeError as error:
                reason = _syntax_reason(error, line)
            except ValueError as error:
                reason = f"invalid JSON: {error}"
            except RecursionError:
                reason = "the JSON is nested too deeply"
            if reason is None and isinstance(values, dict):
                yield Record(values, location, line)
            else:
                yield BadRow(location, str(reason), line.rstrip("\r\n"))


def defect(values: object, line: str, encoding: str) -> str | None:
    """Why a decoded value is no record; None if it is one.

    Args:
        values: The value.
        line: The JSON that it was decoded from.
        encoding: The encoding of the file.
    """
    if not isinstance(values, dict):
        return f"expected a JSON object, received {json_kind(values)}"
    # A lone surrogate comes from a byte that is not UTF-8 or from an escape; both are rare.
    escaped = "\\u" in line and not is_unicode(json.dumps(values, ensure_ascii=False))
    if escaped or not is_unicode(line):
        cells = (
            (key, value if isinstance(value, str) else json.dumps(value, ensure_ascii=False))
            for key, value in values.items()
        )
        return not_unicode_reason(cells, line, encoding)
    return None


def json_kind(value: object) -> str:
    """The kind of a JSON value, with its article.

    Example:
        `json_kind([1])` is `"a list"`.
    """
    kinds = {type(None): "null", bool: "true or false", str: "a string", list: "a list"}
    numbers = {int: "a number", float: "a number", dict: "an object"}
    return (kinds | numbers).get(type(value), f"a value of type {type(value).__name__}")


def _syntax_reason(error: json.JSONDecodeError, line: str) -> str:
    if line.lstrip().startswith("["):
        return "invalid JSON: expected one object per line, not one list over many lines"
    message = error.msg[:1].lower() + error.msg[1:]
    return f"invalid JSON at character {error.pos + 1}: {message}"
