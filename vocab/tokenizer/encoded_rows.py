"""Corpus rows with their token ids; a text without a token makes a bad row."""

import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice

from gatewise.vocab.corpus.corpus_reader import Row
from gatewise.vocab.corpus.records import BadRow
from gatewise.vocab.tokenizer.encoding import Encoded

EMPTY_TEXT_REASON = "the text is empty: it holds no token"

_BATCH_ROWS = 4096


@dataclass(frozen=True, slots=True)
class EncodedRow:
    """A row and the ids of its text."""

    row: Row
    encoded: Encoded


def encode_rows(
    encode: Callable[[Sequence[str]], list[Encoded]], rows: Iterable[Row]
) -> Iterator[EncodedRow | BadRow]:
    """Encode a stream of rows in order, some thousands at a time.

    A row whose text has no token, such as control characters alone, becomes a bad row, with text
    and labels alone as its content.
    """
    stream = iter(rows)
    while batch := list(islice(stream, _BATCH_ROWS)):
        texts = [row.text for row in batch]
        for row, encoded in zip(batch, encode(texts), strict=True):
            if encoded.is_empty:
                yield BadRow(row.location, EMPTY_TEXT_REASON, _content(row))
            else:
                yield EncodedRow(row, encoded)


def _content(row: Row) -> str:
    target: dict[str, object] = {"labels": row.labels}
    if row.values is not None:
        target = dict(zip(row.labels, row.values, strict=True))
    elif len(row.labels) == 1:
        target = {"label": row.label}
    return json.dumps({"text": row.text, **target}, ensure_ascii=False)
