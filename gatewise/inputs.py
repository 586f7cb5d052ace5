"""Inputs of the commands: settings, bad-row policy, labelled rows, texts of the command line."""

import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING

from gatewise.printable import printable
from gatewise.vocab.corpus.records import is_unicode
from gatewise.vocab.errors import GatewiseError

if TYPE_CHECKING:
    from gatewise.service.model.classifier import Classifier
    from gatewise.training.config.config import Config
    from gatewise.vocab.corpus.bad_row_policy import BadRows
    from gatewise.vocab.corpus.memory_records import MemoryTable
    from gatewise.vocab.corpus.read_options import Quoting, ReadOptions
    from gatewise.vocab.corpus.records import Location
    from gatewise.vocab.tokenizer.encoded_rows import EncodedRow

_WINDOW = 256


def local_path(name: str) -> Path | None:
    """The path of a name; None for `-`, which is a stream, and for the URI of an object store."""
    from gatewise.vocab.corpus.uris import is_uri, plain  # noqa: PLC0415 — files are read with pyarrow

    name = plain(name)
    return None if name == "-" or is_uri(name) else Path(name)


def check_outputs(inputs: Iterable[Path | None], outputs: dict[str, Path | None]) -> None:
    """Checks that no output overwrites, or lies in, an input or another output.

    Outputs are given by their parameter; None is one that is not set.

    Raises:
        GatewiseError: If two of them overlap.
    """
    taken = [path.resolve() for path in inputs if path]
    for option, output in outputs.items():
        if output is None:
            continue
        place = output.resolve()
        for other in taken:
            if place == other or other in place.parents:
                raise GatewiseError(
                    f"{option} {output}: it would overwrite or lie in {other}, which is read or "
                    "written too: choose another path",
                    option=option if option.isidentifier() else None,
                )
        taken.append(place)


def load_config(
    file: Path | None,
    assignments: Sequence[str] | None,
    text_column: str | None,
    delimiter: str | None,
    quoting: "Quoting | None",
    encoding: str | None,
    sheet: str | None,
    label_column: str | None = None,
) -> "Config":
    """The settings of a run: those of a TOML file, of `--set`, and of the options of a corpus.

    Raises:
        ConfigError: If a setting is unknown or its value is not allowed.
    """
    # Needs the extra `train`.
    from gatewise.training.config import config  # noqa: PLC0415

    corpus = {
        "text_column": text_column,
        "label_column": label_column,
        "delimiter": delimiter,
        "quoting": quoting,
        "encoding": encoding,
        "sheet": sheet,
    }
    return config.load(file, assignments or (), corpus=corpus)


@contextmanager
def bad_rows_policy(rejects: Path | None) -> Iterator["BadRows"]:
    """Stops at bad rows, or writes them to a rejects file."""
    # Imports pyarrow, which `gatewise predict` does without.
    from gatewise.vocab.corpus.bad_row_policy import RejectBadRows, StopAtBadRows  # noqa: PLC0415

    if rejects is None:
        yield StopAtBadRows()
    else:
        with RejectBadRows(rejects) as policy:
            yield policy


def labelled_rows(
    classifier: "Classifier",
    corpus: "Path | MemoryTable",
    bad_rows: "BadRows",
    columns: tuple[str, str | None],
    options: "ReadOptions | None" = None,
    *,
    quiet: bool = False,
) -> Iterator["EncodedRow"]:
    """The labelled rows of a corpus, encoded for a model; at least one.

    Of a folder of splits, they are those of the test split. Labels that the model does not know are
    accepted: they count as errors.

    Args:
        classifier: The model.
        corpus: A data file or a folder of them, or a table in memory.
        bad_rows: What happens to rows that cannot be used.
        columns: The columns of the text and of the label.
        options: How files are to be read.
        quiet: Whether to print nothing of how the files are read.
    """
    # Imports pyarrow, which `gatewise predict` does without.
    from gatewise.vocab.corpus.columns import Columns  # noqa: PLC0415
    from gatewise.vocab.corpus.corpus_reader import at_least_one, open_corpus  # noqa: PLC0415
    from gatewise.vocab.corpus.dataset_folders import evaluated_split  # noqa: PLC0415
    from gatewise.vocab.tokenizer.encoded_rows import encode_rows  # noqa: PLC0415

    note = None
    if isinstance(corpus, Path):
        corpus, note = evaluated_split(corpus)
    text, label = columns
    encoding = classifier.encoding
    expected = Columns(
        encoding.column_of(text),
        label,
        classifier.task,
        input=encoding.input,
        names=tuple(classifier.classes_),
    )
    opened = open_corpus(corpus, expected, options)
    if not quiet:
        tell([*([note] if note else []), *opened.records.notes])
    rows = opened.rows(
        bad_rows,
        classifier.classes_,
        classifier.out_of_scope,
        accept_unknown=True,
        features=encoding.features or None,
    )
    # Thousands of rows are encoded together: of a long text, only what is read is kept.
    short = (replace(row, text=classifier.cut(row.text)) for row in rows)
    encoded = bad_rows.keep(encode_rows(classifier.encode, short))
    return at_least_one(encoded, str(corpus))


def pool_of(
    pool: Path, bad_rows: "BadRows", text_column: str, options: "ReadOptions"
) -> "list[tuple[str, Location]]":
    """The texts of a pool of unlabelled ones, each with its place; at least one."""
    # Imports pyarrow, which `gatewise predict` does without.
    from gatewise.vocab.corpus.corpus_reader import texts_with_records  # noqa: PLC0415
    from gatewise.vocab.corpus.record_stream import open_records  # noqa: PLC0415

    records = open_records(pool, options=options)
    tell(records.notes)
    found = texts_with_records(records, bad_rows=bad_rows, text_column=text_column)
    return [(text, record.location) for text, record in found]


def tell(notes: Iterable[str]) -> None:
    """Prints what was found out about the input, to standard error."""
    for note in notes:
        sys.stderr.write(f"gatewise: {printable(note)}\n")


def standard_input() -> Iterable[bytes]:
    """The lines of standard input.

    Raises:
        GatewiseError: If it is closed.
    """
    if sys.stdin is None:
        raise GatewiseError("standard input is closed: there are no lines to read")
    return sys.stdin.buffer


def texts_of(
    arguments: Sequence[str], stdin: Callable[[], Iterable[bytes]]
) -> Iterator[dict[str, str]]:
    """The texts of a command line by their names in errors, some hundreds at a time.

    A single `-` stands for the lines of standard input.

    Raises:
        GatewiseError: If a text is not UTF-8.
    """
    texts: Iterable[str] = arguments
    name = "text {}"
    if list(arguments) == ["-"]:
        # Decoded as Python decodes arguments: a byte that is not UTF-8 becomes a lone surrogate.
        texts = (line.decode("utf-8", "surrogateescape").rstrip("\r\n") for line in stdin())
        name = "line {} of standard input"
    named = ((name.format(number), text) for number, text in enumerate(texts, start=1))
    while window := dict(islice(named, _WINDOW)):
        for place, text in window.items():
            if not is_unicode(text):
                raise GatewiseError(f"{place}: expected UTF-8, received other bytes")
        yield window
