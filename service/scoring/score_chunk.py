"""One window of records through the classifier: rows of the output, as bytes, and bad rows.

What comes out depends on nothing but the records, the model and the plan, so windows can be
worked on in any order, by any thread, process or machine. Knows no files.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import chain, repeat

import numpy as np
from gatewise.service.model.classifier import Classifier
from gatewise.service.model.scores import none_labels, shortest
from gatewise.service.scoring import append_columns
from gatewise.service.scoring.options import ScoringPlan
from gatewise.service.scoring.output_columns import Column
from gatewise.service.scoring.row_format import Row
from gatewise.vocab.corpus.bad_row_policy import BadRowsError, first_bad_rows, rejected_line
from gatewise.vocab.corpus.data_files import Format
from gatewise.vocab.corpus.records import BadRow, Record
from gatewise.vocab.tokenizer.encoded_rows import EMPTY_TEXT_REASON


@dataclass(frozen=True, slots=True)
class ScoredChunk:
    """What became of some records.

    Attributes:
        contents: Rows of the output.
        bad: Rows that could not be scored, in their order.
        scored: How many could.
        truncated: Scored rows whose text was longer than the model reads.
    """

    contents: bytes
    bad: tuple[BadRow, ...]
    scored: int
    truncated: int

    @property
    def rows(self) -> int:
        """Rows read."""
        return self.scored + len(self.bad)

    @property
    def rejected(self) -> bytes:
        """The bad rows as lines of a rejects file."""
        return "".join(map(rejected_line, self.bad)).encode(errors="backslashreplace")


def score_records(
    classifier: Classifier, plan: ScoringPlan, items: Sequence[Record | BadRow]
) -> ScoredChunk:
    """Scores some records.

    Args:
        classifier: The model.
        plan: What the output looks like.
        items: The records, and bad rows among them, which stay what they are.

    Raises:
        OutputError: A value cannot be written in the output's format.
        ModelFolderError: The network cannot answer.
    """
    bad: dict[int, BadRow] = {}
    places: list[int] = []
    texts: list[str] = []
    for place, item in enumerate(items):
        text = item if isinstance(item, BadRow) else plan.text(item)
        if isinstance(text, str):
            places.append(place)
            texts.append(text)
        else:
            bad[place] = text
    encoded = classifier.encode_together(texts)
    if (empty := encoded.is_empty).any():
        for index in np.flatnonzero(empty).tolist():
            item = items[places[index]]
            if isinstance(item, Record):
                bad[places[index]] = item.bad(EMPTY_TEXT_REASON)
        places = [place for place, none in zip(places, empty, strict=True) if not none]
        encoded = encoded.only(~empty)
    probabilities = classifier.probabilities(encoded)
    columns = plan.answers.columns(probabilities, none_labels(plan.reject, probabilities))
    records = [item for place in places if isinstance(item := items[place], Record)]
    return ScoredChunk(
        contents=_contents(plan, records, columns),
        bad=tuple(bad[place] for place in sorted(bad)),
        scored=len(records),
        truncated=int(encoded.truncated.sum()),
    )


def bad_rows_error(done: ScoredChunk, later: Iterable[ScoredChunk]) -> BadRowsError:
    """The error that names the first bad rows of an input.

    Args:
        done: What became of the first records of which some are bad.
        later: What became of the records after them; read until enough bad rows are found.
    """
    rows = chain.from_iterable(chain(one.bad, repeat(None, one.scored)) for one in later)
    return first_bad_rows(done.bad[0], chain(done.bad[1:], rows))


def _contents(plan: ScoringPlan, records: Sequence[Record], columns: Sequence[Column]) -> bytes:
    table = plan.table
    if plan.spliced:
        raws = [record.raw for record in records]
        if table.format is Format.JSON_LINES:
            return table.packed(append_columns.json_lines(raws, plan.answers.names, columns))
        return table.packed(append_columns.delimited(raws, columns, table.delimiter))
    return table.part(list(_rows(plan, records, columns)))


def _rows(plan: ScoringPlan, records: Sequence[Record], columns: Sequence[Column]) -> Iterator[Row]:
    names = plan.answers.names
    kept = plan.table.schema.names if plan.chosen else None
    for record, answers in zip(records, zip(*map(_values, columns), strict=True), strict=True):
        row = {**record.values, **dict(zip(names, answers, strict=True))}
        yield row if kept is None else {name: row[name] for name in kept if name in row}


def _values(column: Column) -> Sequence[object]:
    return list(map(shortest, column)) if isinstance(column, np.ndarray) else column
