"""The options of a scoring run, and the plan made of them: the output's columns and format.

A plan is made before the first row is read. It is small and can be sent to another process.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import pyarrow as pa

from gatewise.service.model.classifier import Classifier
from gatewise.service.model.input_encoding import Item
from gatewise.service.model.model_documents import NONE_LABEL, RejectSettings
from gatewise.service.model.scores import NO_LABELS
from gatewise.service.scoring.input_schema import has_named_labels, input_schema, json_columns
from gatewise.service.scoring.output_columns import NumberColumns, OutputColumns
from gatewise.service.scoring.row_format import RowFormat
from gatewise.vocab.corpus.cell_values import cell_text
from gatewise.vocab.corpus.corpus_reader import sequence_of, text_of
from gatewise.vocab.corpus.data_files import DataFile, Format
from gatewise.vocab.corpus.json_records import json_kind
from gatewise.vocab.corpus.json_types import fits
from gatewise.vocab.corpus.read_options import ReadOptions
from gatewise.vocab.corpus.record_stream import RecordStream
from gatewise.vocab.corpus.records import BadRow, Record
from gatewise.vocab.corpus.sequences import as_numbers
from gatewise.vocab.corpus.shown_names import shown_names
from gatewise.vocab.errors import ArgumentError

_MAX_SHOWN = 60


@dataclass(frozen=True, slots=True)
class ScoringOptions:
    """How to read the rows, and what to write for each."""

    text_column: str = "text"
    top_k: int | None = None  # see `OutputColumns`
    probabilities: bool = False  # whether each label has a column with its probability
    # The columns to write, in order; None for those of the input and all new ones.
    columns: tuple[str, ...] | None = None
    # The probability below which a text is rejected, 0 for never; None for the model's
    # threshold.
    none_below: float | None = None
    read: ReadOptions = field(default_factory=ReadOptions)
    # Whether the linear path alone scores the rows that it is sure of; see `Cascade`.
    cascade: bool = False


@dataclass(frozen=True, slots=True)
class ScoringPlan:
    """How rows of the input become rows of the output."""

    text_column: str
    features: int  # numbers of a step of a sequence; 0 of texts
    input_columns: frozenset[str]  # the input's columns, those of all files together
    output_columns: OutputColumns | NumberColumns
    reject: RejectSettings | None
    cascade: bool
    row_format: RowFormat
    selects_columns: bool  # whether only some of the columns are written
    json_types: Mapping[str, pa.DataType]  # what values of JSON must fit, of Parquet's columns
    # Whether the new columns are appended to the unchanged rows of the input, which takes the
    # same text format and all columns.
    appends: bool
    # The names of class labels, which the output has instead of their numbers: by file and column.
    class_names: Mapping[str, Mapping[str, tuple[str, ...]]] = field(default_factory=dict)

    @classmethod
    def of(
        cls,
        classifier: Classifier,
        records: RecordStream,
        output: DataFile,
        options: ScoringOptions,
    ) -> "ScoringPlan":
        """Makes the plan of a run."""
        text_column = classifier.encoding.column_of(options.text_column)
        records.require(text_column, "text_column")
        if options.cascade:
            _ = classifier.cascade  # refused here if the model has none
        columns = tuple(dict.fromkeys(name for table in records.tables for name in table.columns))
        output_columns = OutputColumns.for_input(
            classifier,
            columns,
            records.path,
            output.format,
            top_k=options.top_k,
            probabilities=options.probabilities,
        )
        types = _types(records, columns, output)
        schema = pa.schema([*types, *output_columns.fields], metadata=types.metadata)
        if options.columns is not None:
            schema = _select(schema, options.columns)
        # The delimiter and the quotes may be others although the format is the same.
        same_format = {_dialect(table.file) for table in records.tables} == {_dialect(output)}
        delimited = output.format in (Format.CSV, Format.TSV)
        # A file without columns has no rows.
        same_columns = not delimited or all(
            table.columns in (columns, ()) for table in records.tables
        )
        return cls(
            text_column=text_column,
            features=classifier.encoding.features,
            input_columns=frozenset(columns),
            output_columns=output_columns,
            reject=reject_settings(classifier, options.none_below),
            cascade=options.cascade,
            row_format=RowFormat(output.format, output.compression, schema),
            selects_columns=options.columns is not None,
            class_names={table.name: table.class_names for table in records.tables}
            if has_named_labels(records, output.format)
            else {},
            json_types=json_columns(records, schema) if output.format is Format.PARQUET else {},
            appends=options.columns is None
            and same_format
            and same_columns
            and output.format is not Format.PARQUET,
        )

    def text(self, record: Record) -> Item | BadRow:
        """The text or sequence of a record, or a bad row if the record does not fit the output."""
        if not record.values.keys() <= self.input_columns and (
            unexpected := self._unexpected_key(record)
        ):
            return record.bad(
                f"the key {unexpected!r} is not among those of the first records, and the output "
                "has no column for it"
            )
        for name, kind in self.json_types.items():
            value = record.values.get(name)
            if not isinstance(value, pa.Scalar) and not fits(value, kind):
                return record.bad(
                    f"column {name!r}: expected values as in the first records, of type {kind}, "
                    f"received {json_kind(value)}, {cell_text(value)[:_MAX_SHOWN]}; JSON Lines as "
                    "the output hold values of any kind"
                )
        if self.features:
            return sequence_of(record, self.text_column, self.features, as_numbers)
        return text_of(record, self.text_column)

    def _unexpected_key(self, record: Record) -> str | None:
        """A key that has no column in the output.

        JSON Lines, and a selection of columns, allow any key except those of the new columns.
        """
        any_key = self.selects_columns or self.row_format.format is Format.JSON_LINES
        refused = self.output_columns.names if any_key else None
        for key in record.values:
            if key not in self.input_columns and (refused is None or key in refused):
                return key
        return None


def reject_settings(classifier: Classifier, none_below: float | None) -> RejectSettings | None:
    """When a text is rejected.

    Raises:
        ArgumentError: The value is not a probability, or the model does not allow it.
    """
    if none_below is None:
        return classifier.reject
    if classifier.task == "regression":
        raise ArgumentError(NO_LABELS.format("none_below"), option="none_below")
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


def _dialect(file: DataFile) -> tuple[Format, str, bool]:
    return file.format, file.cell_delimiter, file.quoted


def _types(records: RecordStream, columns: Sequence[str], output: DataFile) -> pa.Schema:
    """The columns of the input; only Parquet uses their types."""
    if output.format is Format.PARQUET:
        return input_schema(records, columns)
    return pa.schema([(name, pa.string()) for name in columns])


def _select(schema: pa.Schema, columns: Sequence[str]) -> pa.Schema:
    if not columns:
        raise ArgumentError(
            "columns: expected one column at least, received none", option="columns"
        )
    for name in columns:
        if name not in schema.names:
            raise ArgumentError(
                f"columns: no column {name!r}; the columns are: {shown_names(schema.names)}",
                option="columns",
            )
    if twice := [name for name in columns if list(columns).count(name) > 1]:
        raise ArgumentError(f"columns: {twice[0]!r} is named twice", option="columns")
    return pa.schema([schema.field(name) for name in columns], metadata=schema.metadata)
