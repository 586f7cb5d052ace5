"""The dialect of a text file: its encoding, and of CSV and TSV the delimiter and the quotes.

All are set by the user, or found in the first bytes, so that a file of any size and standard input
are still read in one pass.
"""

import codecs
import io
from dataclasses import replace

from gatewise.vocab.corpus.class_folders import first_texts
from gatewise.vocab.corpus.csv_delimiter import find_delimiters, is_quoted
from gatewise.vocab.corpus.data_files import (
    UTF_8,
    DataFile,
    Format,
    codec_of,
    first_bytes,
    undecodable,
)
from gatewise.vocab.corpus.fasttext_records import has_several_labels
from gatewise.vocab.corpus.read_options import ReadOptions
from gatewise.vocab.corpus.text_encoding import find_encodings
from gatewise.vocab.errors import CorpusError

_SAMPLE_BYTES = 256 * 1024


def with_dialect(file: DataFile, options: ReadOptions) -> DataFile:
    """A text file with its encoding, delimiter and quotes, and the column of fastText's labels.

    Args:
        file: The file.
        options: What is set.

    Raises:
        CorpusError: It cannot be read, or one of them is neither set nor clear.
    """
    is_folder = file.format is Format.CLASS_FOLDERS
    sample = (first_texts if is_folder else first_bytes)(file, _SAMPLE_BYTES)
    is_whole = len(sample) < _SAMPLE_BYTES
    encoding = options.encoding or _encoding(file, sample, is_whole=is_whole)
    file = replace(file, encoding=encoding)
    if file.format in (Format.JSON_LINES, Format.CLASS_FOLDERS):
        return file
    lines = _lines(file, sample, is_whole=is_whole)
    if file.format is Format.FASTTEXT:
        return replace(file, label_column="labels" if has_several_labels(lines) else "label")
    file = replace(file, quoted=options.quoting != "none")
    delimiter = options.delimiter or _delimiter(file, lines)
    file = replace(file, delimiter=None if delimiter == file.format.delimiter else delimiter)
    return replace(file, quoted=is_quoted(file, lines)) if options.quoting is None else file


def dialect_note(file: DataFile, options: ReadOptions) -> str | None:
    """What was found out about a text file; None if it is UTF-8 with the usual delimiter.

    Args:
        file: The file.
        options: What was set, which goes without saying.
    """
    parts = []
    if file.encoding != UTF_8 and options.encoding is None:
        parts.append(f"the encoding {file.encoding}")
    if file.delimiter is not None and options.delimiter is None:
        parts.append(f"the delimiter {delimiter_name(file.delimiter)}")
    if not file.quoted and options.quoting is None:
        parts.append("quotes as characters like others")
    how = [f"with {' and '.join(parts)}"] if parts else []
    if file.format is Format.FASTTEXT and not file.has_known_name:
        how.insert(0, "as fastText")
    return f"read {' '.join(how)}, found in its first bytes" if how else None


def delimiter_name(delimiter: str) -> str:
    r"""A delimiter as it is written in a setting.

    >>> delimiter_name(";"), delimiter_name("\t")
    (';', 'tab')
    """
    return "tab" if delimiter == "\t" else delimiter


def _encoding(file: DataFile, sample: bytes, *, is_whole: bool) -> str:
    if not is_whole:
        # A character may be cut at the end.
        sample = sample[: sample.rfind(b"\n") + 1] or sample
    found = find_encodings(sample)
    if len(found) == 1:
        return found[0]
    reason = f"may be {' or '.join(found)}" if found else "is none that is known"
    raise CorpusError(
        f"{file}: the text is not UTF-8, and its encoding {reason}. Name the encoding, or save the "
        "file as UTF-8",
        option="encoding",
    )


def _lines(file: DataFile, sample: bytes, *, is_whole: bool) -> list[str]:
    encoding, _ = codec_of(file)
    try:
        text = codecs.getincrementaldecoder(encoding)(errors="replace").decode(sample)
    except UnicodeError as error:
        raise undecodable(file, error) from error
    lines = list(io.StringIO(text, newline="\n"))
    if not is_whole and len(lines) > 1:
        lines.pop()
    return lines


def _delimiter(file: DataFile, lines: list[str]) -> str:
    found = find_delimiters(file, lines)
    if len(found) == 1:
        return found[0]
    raise CorpusError(
        f"{file}: the delimiter may be {' or '.join(map(delimiter_name, found))}, and the rows fit "
        "none clearly. Name the delimiter",
        option="delimiter",
    )
