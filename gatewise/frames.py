"""Predictions as columns of the data frame that the texts are in."""

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, Literal

import pyarrow as pa

from gatewise.service.scoring.score_texts import columns_of_texts
from gatewise.sources import table_keys, table_name
from gatewise.vocab.corpus.data_frames import column_values, is_table
from gatewise.vocab.errors import ArgumentError, CorpusError, EmptyTextError, TextsError

if TYPE_CHECKING:
    from gatewise.service.model.classifier import Classifier

Missing = Literal["raise", "skip"]


def predict_frame(
    classifier: "Classifier",
    frame: Any,
    text: str | int = "text",
    *,
    top_k: int | None = None,
    probabilities: bool = False,
    missing: Missing = "raise",
) -> Any:
    """A data frame with columns of predictions added; see `gatewise.model.Model.predict_frame`."""
    if not is_table(frame):
        raise TextsError(f"expected a data frame, received a value of type {type(frame).__name__}")
    if missing not in ("raise", "skip"):
        raise ArgumentError(f"missing: expected raise or skip, received {missing!r}")
    keys = table_keys(frame, "the frame")
    text = classifier.encoding.column_of(table_name(text))
    if text not in keys:
        raise CorpusError(f"no column {text!r}; the columns are: {', '.join(keys)}", option="text")
    values = column_values(frame[keys[text]])
    columns, fields = columns_of_texts(
        classifier, values, list(keys), "the frame", top_k=top_k, probabilities=probabilities
    )
    if missing == "raise":
        without = next(iter(columns.values()))
        for position, (value, found) in enumerate(zip(values, without, strict=True)):
            if value is None:
                raise TextsError(
                    f"text {position}, counted from 0: expected a string, received a missing value"
                )
            if found is None:
                raise EmptyTextError(f"text {position} is empty: it holds no token to classify")
    return _with_columns(frame, frame[keys[text]], columns, fields)


def _with_columns(
    frame: Any, like: Any, columns: dict[str, list[object]], fields: Iterable[pa.Field]
) -> Any:
    """The frame with columns added, of its own type.

    Args:
        frame: A table of pandas, polars, pyarrow or `datasets`, or a mapping of columns.
        like: One of its columns.
        columns: The columns to add.
        fields: Their types, which no value shows where there is none.
    """
    if hasattr(frame, "assign"):  # pandas
        return frame.assign(**columns)
    typed = {field.name: pa.array(columns[field.name], type=field.type) for field in fields}
    if hasattr(frame, "with_columns"):  # polars
        return frame.with_columns(type(like)(name, values) for name, values in typed.items())
    if hasattr(frame, "append_column"):  # pyarrow
        for name, values in typed.items():
            frame = frame.append_column(name, values)
        return frame
    if hasattr(frame, "add_column"):  # datasets
        for name, values in columns.items():
            frame = frame.add_column(name, values)
        return frame
    return {**frame, **columns}
