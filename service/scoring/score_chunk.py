"""Scores a chunk of records: the rows of the output as bytes, and the bad rows.

The result depends on the records, the model and the plan only, so chunks can be scored in any
order, by any thread, process or machine.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import chain, repeat

import numpy as np

from gatewise.service.model.classifier import Classifier
from gatewise.service.model.input_encoding import Item
from gatewise.service.model.scores import none_labels, shortest
from gatewise.service.scoring.append_columns import append_cells, append_keys
from gatewise.service.scoring.options import ScoringPlan
from gatewise.service.scoring.output_columns import Column
from gatewise.service.scoring.row_format import Row
from gatewise.vocab.corpus.bad_row_policy import BadRowsError, first_bad_rows, rejected_line
from gatewise.vocab.corpus.data_files import Format
from gatewise.vocab.corpus.label_values import named_values
from gatewise.vocab.corpus.records import BadRow, Record
from gatewise.vocab.tokenizer.encoded_rows import EMPTY_TEXT_REASON


@dataclass(frozen=True, slots=True)
class ScoredChunk:
    """The result of scoring a chunk."""

    contents: bytes
    bad: tuple[BadRow, ...]
    scored: int
    truncated: int

    @property
    def rows(self) -> int:
        """The number of rows read."""
        return self.scored + len(self.bad)

    @property
    def rejected(self) -> bytes:
        """The bad rows as lines of a rejects file."""
        return "".join(map(rejected_line, self.bad)).encode(errors="backslashreplace")


def score_records(
    classifier: Classifier, plan: ScoringPlan, items: Sequence[Record | BadRow]
) -> ScoredChunk:
    """Scores the records of a chunk."""
    bad: dict[int, BadRow] = {}
    indices: list[int] = []
    texts: list[Item] = []
    for index, item in enumerate(items):
        text = item if isinstance(item, BadRow) else plan.text(item)
        if isinstance(text, BadRow):
            bad[index] = text
        else:
            indices.append(index)
            texts.append(text)
    encoded = classifier.encode_together(texts)
    if (empty := encoded.is_empty).any():
        for number in np.flatnonzero(empty).tolist():
            item = items[indices[number]]
            if isinstance(item, Record):
                bad[indices[number]] = item.bad(EMPTY_TEXT_REASON)
        indices = [index for index, is_empty in zip(indices, empty, strict=True) if not is_empty]
        encoded = encoded.only(~empty)
    scored_by = classifier.cascade if plan.cascade else classifier
    probabilities = scored_by.probabilities(encoded)
    columns = plan.output_columns.columns(probabilities, none_labels(plan.reject, probabilities))
    records = [item for index in indices if isinstance(item := items[index], Record)]
    return ScoredChunk(
        contents=_contents(plan, records, columns),
        bad=tuple(bad[index] for index in sorted(bad)),
        scored=len(records),
        truncated=int(encoded.truncated.sum()),
    )


def bad_rows_error(first: ScoredChunk, later: Iterable[ScoredChunk]) -> BadRowsError:
    """The error that names the first bad rows of an input."""
    rows = chain.from_iterable(chain(chunk.bad, repeat(None, chunk.scored)) for chunk in later)
    return first_bad_rows(first.bad[0], chain(first.bad[1:], rows))


def _contents(plan: ScoringPlan, records: Sequence[Record], columns: Sequence[Column]) -> bytes:
    row_format = plan.row_format
    if plan.appends:
        raws = [record.raw for record in records]
        if row_format.format is Format.JSON_LINES:
            return row_format.compress(append_keys(raws, plan.output_columns.names, columns))
        return row_format.compress(append_cells(raws, columns, row_format.delimiter))
    return row_format.encode(list(_rows(plan, records, columns)))


def _rows(plan: ScoringPlan, records: Sequence[Record], columns: Sequence[Column]) -> Iterator[Row]:
    names = plan.output_columns.names
    selected = plan.row_format.schema.names if plan.selects_columns else None
    for record, values in zip(records, zip(*map(_values, columns), strict=True), strict=True):
        kept = record.values
        if of_file := plan.class_names.get(record.location.file):
            kept = named_values(kept, of_file)
        row = {**kept, **dict(zip(names, values, strict=True))}
        yield row if selected is None else {name: row[name] for name in selected if name in row}


def _values(column: Column) -> Sequence[object]:
    return list(map(shortest, column)) if isinstance(column, np.ndarray) else column
