"""What is to be done with each row of an input, settled before the first one is read.

Owns which columns an output has and which rows have no place in it. A plan is small and can be
sent to another process. Knows no model and reads no rows.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import pyarrow as pa
from gatewise.service.model.classifier import Classifier
from gatewise.service.model.model_documents import NONE_LABEL, RejectSettings
from gatewise.service.scoring.output_columns import OutputColumns
from gatewise.service.scoring.row_format import RowFormat
from gatewise.vocab.corpus.corpus_reader import text_of
from gatewise.vocab.corpus.data_files import DataFile, Format
from gatewise.vocab.corpus.parquet_records import schema_of
from gatewise.vocab.corpus.record_stream import RecordStream
from gatewise.vocab.corpus.records import BadRow, Record
from gatewise.vocab.errors import ArgumentError, CorpusError


@dataclass(frozen=True, slots=True)
class ScoringOptions:
    """What the output is asked to hold.

    Attributes:
        text_column: The input's column of the texts.
        top_k: How many labels a text is given; see `OutputColumns`.
        probabilities: Whether each label has a column with its probability.
        columns: The output's columns in order, of the input and of the answers; None for all.
        none_below: The probability below which a text is given none of the labels, 0 for never;
            None for the model's own.
    """

    text_column: str = "text"
    top_k: int | None = None
    probabilities: bool = False
    columns: tuple[str, ...] | None = None
    none_below: float | None = None


@dataclass(frozen=True, slots=True)
class ScoringPlan:
    """How rows become rows of the output.

    Attributes:
        text_column: The input's column of the texts.
        known: The input's columns, those of all files together.
        answers: The columns of the answers.
        reject: When a text is given none of the labels.
        table: The output.
        chosen: Whether the output has some of the columns only.
        spliced: Whether answers are put behind a row as it stands in the input: where input and
            output are of one text format with all of their columns, nothing of a row needs to be
            written anew.
    """

    text_column: str
    known: frozenset[str]
    answers: OutputColumns
    reject: RejectSettings | None
    table: RowFormat
    chosen: bool
    spliced: bool

    @classmethod
    def of(
        cls, classifier: Classifier, records: RecordStream, output: DataFile, wishes: ScoringOptions
    ) -> "ScoringPlan":
        """Settles the columns of an output.

        Args:
            classifier: The model.
            records: The input.
            output: What is to be written.
            wishes: What it is to hold.

        Raises:
            CorpusError: The input lacks the text column, or has one of the output's columns.
            ArgumentError: An option does not fit the model or the columns.
        """
        records.require(wishes.text_column, "text_column")
        columns = tuple(dict.fromkeys(name for table in records.tables for name in table.columns))
        answers = OutputColumns.among(
            classifier,
            columns,
            records.path,
            output.format,
            top_k=wishes.top_k,
            probabilities=wishes.probabilities,
        )
        schema = pa.schema([*_input_schema(records, columns), *answers.fields])
        if wishes.columns is not None:
            schema = _chosen(schema, wishes.columns)
        same = {table.file.format for table in records.tables} == {output.format}
        delimited = output.format in (Format.CSV, Format.TSV)
        alike = not delimited or all(table.columns == columns for table in records.tables)
        return cls(
            text_column=wishes.text_column,
            known=frozenset(columns),
            answers=answers,
            reject=reject_settings(classifier, wishes.none_below),
            table=RowFormat(output.format, output.compression, schema),
            chosen=wishes.columns is not None,
            spliced=wishes.columns is None
            and same
            and alike
            and output.format is not Format.PARQUET,
        )

    def text(self, record: Record) -> str | BadRow:
        """The text of a record, or the reason why it has no place in the output."""
        if not record.values.keys() <= self.known and (strange := self._strange(record)):
            return record.bad(
                f"the key {strange!r} is not among those of the first records, and the output "
                "has no column for it"
            )
        return text_of(record, self.text_column)

    def _strange(self, record: Record) -> str | None:
        """A key that the output has no room for.

        JSON Lines, and a choice of columns, leave room for all keys but the answers'.
        """
        free = self.chosen or self.table.format is Format.JSON_LINES
        refused = self.answers.names if free else None
        for key in record.values:
            if key not in self.known and (refused is None or key in refused):
                return key
        return None


def reject_settings(classifier: Classifier, none_below: float | None) -> RejectSettings | None:
    """When a text is given none of the labels.

    Args:
        classifier: The model.
        none_below: The probability below which it is, 0 for never; None for the model's own.

    Raises:
        ArgumentError: The value is no probability, or the model does not allow it.
    """
    if none_below is None:
        return classifier.reject
    if classifier.multi_label:
        raise ArgumentError(
            "none_below: expected a model that gives each text exactly one label; this one gives "
            "every label that reaches its threshold, or none",
            option="none_below",
        )
    if not 0 <= none_below <= 1:
        raise ArgumentError(
            f"none_below: expected a probability from 0 to 1, received {none_below}",
            option="none_below",
        )
    label = classifier.reject.label if classifier.reject else NONE_LABEL
    if label in classifier.classes_:
        raise ArgumentError(
            f"none_below: the model has a label {label!r} already, which is the output for a text "
            "without a label",
            option="none_below",
        )
    return RejectSettings(threshold=none_below, label=label) if none_below else None


def _input_schema(records: RecordStream, columns: Sequence[str]) -> pa.Schema:
    files = [table.file for table in records.tables]
    if any(file.format is not Format.PARQUET for file in files):
        return pa.schema([pa.field(name, pa.string()) for name in columns])
    schemas = [schema_of(file) for file in files]
    # A column that a file lacks is nothing in its rows, whatever another file says of it.
    everywhere = set(columns).intersection(*(schema.names for schema in schemas))
    schemas = [
        pa.schema(
            [field if field.name in everywhere else field.with_nullable(True) for field in schema]
        )
        for schema in schemas
    ]
    try:
        return pa.unify_schemas(schemas)
    except (pa.ArrowException, TypeError) as error:
        reason = " ".join(str(error).split())
        raise CorpusError(f"{records.path}: its files differ in their types: {reason}") from error


def _chosen(schema: pa.Schema, columns: Sequence[str]) -> pa.Schema:
    if not columns:
        raise ArgumentError(
            "columns: expected one column at least, received none", option="columns"
        )
    for name in columns:
        if name not in schema.names:
            raise ArgumentError(
                f"columns: no column {name!r}; the columns are: {', '.join(schema.names)}",
                option="columns",
            )
    if twice := [name for name in columns if list(columns).count(name) > 1]:
        raise ArgumentError(f"columns: {twice[0]!r} is named twice", option="columns")
    return pa.schema([schema.field(name) for name in columns])
