"""How files are to be read where their names leave it open."""

import codecs
from dataclasses import dataclass
from typing import Literal, get_args

from gatewise.vocab.corpus.data_files import UTF_8
from gatewise.vocab.errors import ArgumentError

Quoting = Literal["double", "none"]
"""What a double quote means in CSV and TSV."""

_NAMED = {"tab": "\t", "\\t": "\t"}
_NO_DELIMITERS = '"\r\n'


@dataclass(frozen=True, slots=True)
class ReadOptions:
    """How files are to be read; what is None is found out in each file.

    Attributes:
        delimiter: The delimiter of CSV and TSV, one character or `tab`.
        encoding: The encoding of text files, as Python names it, such as `cp1252`.
        sheet: The sheet of Excel workbooks; None for the first.
        quoting: `double` if cells of CSV and TSV may stand in double quotes, `none` if a quote is a
            character like others.

    Raises:
        ArgumentError: A value is not valid.
    """

    delimiter: str | None = None
    encoding: str | None = None
    sheet: str | None = None
    quoting: Quoting | None = None

    def __post_init__(self) -> None:
        if self.delimiter is not None:
            delimiter = _NAMED.get(self.delimiter, self.delimiter)
            if len(delimiter) != 1 or delimiter in _NO_DELIMITERS:
                raise ArgumentError(
                    f"delimiter: expected one character such as ; or tab, received "
                    f"{self.delimiter!r}",
                    option="delimiter",
                )
            object.__setattr__(self, "delimiter", delimiter)
        if self.quoting is not None and self.quoting not in get_args(Quoting):
            raise ArgumentError(
                f"quoting: expected double or none, received {self.quoting!r}", option="quoting"
            )
        if self.encoding is not None:
            object.__setattr__(self, "encoding", _text_encoding(self.encoding))


def _text_encoding(name: str) -> str:
    try:
        # It refuses encodings of bytes, such as base64, too.
        is_utf_8 = "é".encode(name) == "é".encode()
        # That of names in URLs, idna, passes over no damaged byte.
        codecs.getincrementaldecoder(name)("surrogateescape").decode(b"a")
    except UnicodeEncodeError:
        is_utf_8 = False
    except (LookupError, ValueError) as error:
        raise ArgumentError(
            f"encoding: expected one that Python knows, such as utf-8, utf-16 or cp1252, received "
            f"{name!r}",
            option="encoding",
        ) from error
    return UTF_8 if is_utf_8 or name.lower().replace("_", "-") == "utf-8-sig" else name
