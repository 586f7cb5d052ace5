"""fastText's format as records: a text on each line, its labels before it as `__label__NAME`.

A file without any label is a text on each line.
"""

import re
from collections.abc import Iterable, Iterator
from itertools import islice

from gatewise.vocab.corpus.data_files import DataFile, open_lines, open_numbered_lines
from gatewise.vocab.corpus.read_progress import ReadProgress
from gatewise.vocab.corpus.records import BadRow, Location, Record, is_unicode, not_unicode_reason
from gatewise.vocab.errors import EmptyFileError

PREFIX = "__label__"
# As in fastText, a label may stand anywhere in the line.
_LABEL = re.compile(rf"(?<!\S){PREFIX}(\S*)\s*")
_LINES_AHEAD = 1000


def has_several_labels(lines: Iterable[str]) -> bool:
    """Whether one of the lines has more than one label."""
    return any(len(_LABEL.findall(line)) > 1 for line in lines)


def columns_of(file: DataFile) -> tuple[str, ...]:
    """The columns: `text`, and that of the labels if the first lines have any.

    Raises:
        EmptyFileError: It holds nothing but blank lines.
        CorpusError: The file cannot be read or decompressed.
    """
    with open_lines(file) as lines:
        ahead = [line for line in islice(lines, _LINES_AHEAD) if not line.isspace()]
    if not ahead:
        raise EmptyFileError(f"{file}: the file is empty; expected a text on each line")
    is_labelled = any(_LABEL.search(line) for line in ahead)
    return ("text", file.label_column) if is_labelled else ("text",)


def records_of(file: DataFile, progress: ReadProgress | None = None) -> Iterator[Record | BadRow]:
    """Read the records, one line at a time.

    The labels are a string if there is one in the column `label`, else a list; a line without any
    has no such value.

    Args:
        file: The file.
        progress: Follows how much of the file has been read.

    Raises:
        CorpusError: The file cannot be read or decompressed, or a line is too long.
    """
    name, column = str(file), file.label_column
    with open_numbered_lines(file, progress) as lines:
        for number, line in lines:
            labels = _LABEL.findall(line)
            values: dict[str, object] = {"text": _LABEL.sub("", line).strip()}
            if labels:
                is_one = column == "label" and len(labels) == 1
                values[column] = labels[0] if is_one else labels
            record = Record(values, Location(name, number), line)
            if is_unicode(line):
                yield record
            else:
                cells = [("text", str(values["text"])), *((column, label) for label in labels)]
                yield record.bad(not_unicode_reason(cells, line, file.encoding))
