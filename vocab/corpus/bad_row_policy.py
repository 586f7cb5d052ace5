"""The policies for rows that cannot be used: stop at them, reject them to a file, or count them.

`StopAtBadRows`, the default, raises an error with the first bad rows. `RejectBadRows` writes every
bad row to a file and continues. `CountBadRows` is for a check that reports their number. No row is
dropped silently.
"""

import json
import os
from collections.abc import Iterable, Iterator
from contextlib import ExitStack
from itertools import islice
from pathlib import Path
from types import TracebackType
from typing import Protocol, Self, TextIO, TypeVar

from gatewise.vocab.atomic_files import atomic_write, translate_write_errors
from gatewise.vocab.corpus.records import BadRow
from gatewise.vocab.errors import CorpusError, GatewiseError, OutputError

# How many bad rows an error names, and how many rows are read to find them.
_NAMED_ROWS = 3
_MAX_ROWS_AFTER = 100_000

T = TypeVar("T")


class BadRowsError(CorpusError):
    """Rows that cannot be used; the message names the first.

    Attributes:
        rows: The first bad rows, three at most.
    """

    def __init__(self, rows: tuple[BadRow, ...], *, all_named: bool) -> None:
        self.rows = rows
        noun = "bad row" if len(rows) == 1 else "bad rows"
        number = "" if len(rows) == 1 else f"{len(rows)} "
        heading = f"{len(rows)} {noun}" if all_named else f"the first {number}{noun}"
        one_file = len({row.location.file for row in rows}) == 1
        reasons = "; ".join(
            f"{row.location.place if one_file else row.location}: {row.reason}" for row in rows
        )
        super().__init__(
            f"{rows[0].location.file + ': ' if one_file else ''}{heading}: {reasons}. "
            "Fix these rows, or write them to a rejects file",
            option="rejects",
        )


class BadRows(Protocol):
    """A policy for bad rows."""

    @property
    def count(self) -> int:
        """Number of bad rows rejected so far."""

    def keep(self, items: Iterable[T | BadRow]) -> Iterator[T]:
        """Yield the good items of a stream, in order, and handle the bad ones.

        Raises:
            BadRowsError: There is a bad row, and the policy is to stop.
        """


class StopAtBadRows:
    """Stops at the first bad row; the error names it and the next two."""

    count = 0

    def keep(self, items: Iterable[T | BadRow]) -> Iterator[T]:
        """Yield the items up to the first bad row.

        Raises:
            BadRowsError: There is a bad row.
        """
        stream = iter(items)
        for item in stream:
            if isinstance(item, BadRow):
                raise first_bad_rows(item, stream)
            yield item


class CountBadRows:
    """Leaves bad rows out, counts them and keeps the first."""

    def __init__(self) -> None:
        self.count = 0
        self.first: BadRow | None = None

    def keep(self, items: Iterable[T | BadRow]) -> Iterator[T]:
        """Yield the good items, and count the bad ones."""
        for item in items:
            if isinstance(item, BadRow):
                self.count += 1
                self.first = self.first or item
            else:
                yield item


def first_bad_rows(first: BadRow, rest: Iterator[object]) -> BadRowsError:
    """The error that names the first bad rows.

    Args:
        first: The first bad row.
        rest: The items after it; read until enough bad rows are found, or for 100,000 items.
    """
    rows, count, all_named = [first], 0, False
    try:
        for count, item in enumerate(islice(rest, _MAX_ROWS_AFTER), start=1):  # noqa: B007
            if isinstance(item, BadRow):
                rows.append(item)
            if len(rows) == _NAMED_ROWS:
                break
        else:
            all_named = count < _MAX_ROWS_AFTER
    except CorpusError:
        # The file is damaged further on; the bad rows before come first.
        all_named = False
    return BadRowsError(tuple(rows), all_named=all_named)


class RejectBadRows:
    """Writes bad rows to a JSON Lines file and continues; a context manager.

    Each line of the file is an object with `file`, `line`, `reason` and `content`, the whole row.
    The file appears at the end of the block, also when the block raises a `GatewiseError`. After
    any other error there is none. Without a bad row the file is empty.

    Args:
        path: The rejects file. An existing file is replaced if it is an earlier rejects file or
            empty, and refused otherwise, so that a mistyped name never costs a corpus.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = Path(path)
        self.count = 0
        self._file: TextIO | None = None
        self._exit = ExitStack()  # closes the file, then renames it

    def __enter__(self) -> Self:
        check_replaceable(self.path)
        with translate_write_errors(self.path), ExitStack() as opened:
            temporary = opened.enter_context(atomic_write(self.path))
            # Python's escape of a lone surrogate, the only thing to replace, is JSON's escape too.
            self._file = opened.enter_context(
                temporary.open("x", encoding="utf-8", errors="backslashreplace", newline="\n")
            )
            self._exit = opened.pop_all()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._file = None
        if error is None or isinstance(error, GatewiseError):
            with translate_write_errors(self.path):
                self._exit.close()
        else:
            self._exit.__exit__(kind, error, trace)

    def keep(self, items: Iterable[T | BadRow]) -> Iterator[T]:
        """Yield the good items, and write the bad ones to the rejects file."""
        for item in items:
            if isinstance(item, BadRow):
                self._reject(item)
            else:
                yield item

    def _reject(self, row: BadRow) -> None:
        if self._file is None:
            raise RuntimeError("RejectBadRows is used outside its with block")
        with translate_write_errors(self.path):
            self._file.write(rejected_line(row))
        self.count += 1


def rejected_line(row: BadRow) -> str:
    r"""A bad row as one line of a rejects file, with its line end.

    A lone surrogate, which stands for a byte that is not UTF-8, stays in the line: encoded with
    `errors="backslashreplace"`, it becomes a JSON escape.
    """
    entry = {
        "file": row.location.file,
        "line": row.location.line,
        "reason": row.reason,
        "content": row.content,
    }
    return json.dumps(entry, ensure_ascii=False) + "\n"


def check_replaceable(path: Path) -> None:
    """Check that a rejects file would not replace a file of another kind.

    Raises:
        OutputError: The file exists, and is neither empty nor an earlier rejects file.
    """
    if path.is_file() and not _is_rejects_file(path):
        raise OutputError(
            f"{path}: the file exists and holds something other than rejected rows. "
            "Name another rejects file",
            option="rejects",
        )


def _is_rejects_file(path: Path) -> bool:
    try:
        with path.open("rb") as file:
            line = file.readline()
        return not line or set(json.loads(line)) == {"file", "line", "reason", "content"}
    except (OSError, ValueError, TypeError):
        return False
