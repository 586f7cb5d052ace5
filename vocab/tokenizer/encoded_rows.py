"""Rows with their ids: the step between a corpus and everything that learns or counts.

Owns the rule that a text without a token makes a bad row. Knows neither labels' ids nor models.
"""

import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice

from gatewise.vocab.corpus.corpus_reader import Row
from gatewise.vocab.corpus.records import BadRow
from gatewise.vocab.tokenizer.encoding import Encoded

EMPTY_TEXT_REASON = "the text is empty: it holds no token"

_WINDOW = 4096


@dataclass(frozen=True, slots=True)
class EncodedRow:
    """A row and its text's ids."""

    row: Row
    encoded: Encoded


def encode_rows(
    encode: Callable[[Sequence[str]], list[Encoded]], rows: Iterable[Row]
) -> Iterator[EncodedRow | BadRow]:
    """Encodes a stream of rows, some thousands at a time.

    Args:
        encode: From texts to ids, such as `Encoder.encode` or `Classifier.encode`.
        rows: The rows.

    Yields:
        Each row in order; a bad row where the text holds nothing that makes a token, such as
        control characters alone. What the row holds besides text and labels is not in it.
    """
    stream = iter(rows)
    while window := list(islice(stream, _WINDOW)):
        texts = [row.text for row in window]
        for row, encoded in zip(window, encode(texts), strict=True):
            if encoded.is_empty:
                yield BadRow(row.location, EMPTY_TEXT_REASON, _content(row))
            else:
                yield EncodedRow(row, encoded)


def _content(row: Row) -> str:
    labels = {"label": row.label} if len(row.labels) == 1 else {"labels": row.labels}
    return json.dumps({"text": row.text, **labels}, ensure_ascii=False)
