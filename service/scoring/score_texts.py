"""Scores texts in memory into columns, for data frames of pandas and Spark.

Spark calls it for batch after batch; each process loads the model once.
"""

import os
from collections.abc import Iterable
from functools import lru_cache
from pathlib import Path

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from gatewise.service.model.classifier import Classifier
from gatewise.service.model.input_encoding import Item
from gatewise.service.model.model_documents import Precision, RejectSettings
from gatewise.service.model.scores import none_labels, shortest
from gatewise.service.scoring.chunks import chunked
from gatewise.service.scoring.options import reject_settings
from gatewise.service.scoring.ordered_pool import in_order, worker_count
from gatewise.service.scoring.output_columns import NumberColumns, OutputColumns
from gatewise.vocab.corpus.columns import LABEL, LABELS
from gatewise.vocab.corpus.data_files import Format


def score_texts(
    texts: Iterable[object],
    model: str | os.PathLike[str],
    *,
    top_k: int | None = None,
    probabilities: bool = False,
    none_below: float | None = None,
    cascade: bool = False,
    precision: Precision | None = None,
    workers: int | None = None,
) -> dict[str, list[object]]:
    """Labels and scores of texts, as columns.

    The result for a text does not depend on the other texts. A process loads a model once, and
    again after its folder has been replaced.

    Example:
        `frame.assign(**score_texts(frame["text"], "model"))` adds the columns
        `predicted_label` and `predicted_score`.

    Args:
        texts: The texts, or sequences of numbers; a missing one (None, NaN), or one without a
            token, has None in every column.
        model: A model folder, or a zip of one.
        top_k: The number of labels per text; see `OutputColumns`.
        probabilities: Whether each label has a column with its probability.
        none_below: The probability below which a text is rejected, 0 for never; None for the
            model's threshold.
        cascade: Whether the linear path alone scores the texts that it is sure of, several times as
            fast, the whole network the rest.
        precision: Which of the networks; None for the most exact one.
        workers: The number of threads, each of which scores a chunk of texts; None for one per CPU.
            If several processes share the CPUs, as in Spark, 1 is best.

    Returns:
        The values of each column, one per text: `predicted_label` and `predicted_score`, then
        `predicted_label_2` and so on; with several labels per text, `predicted_labels` and
        `predicted_scores`, which are lists; of a model that predicts numbers, `prediction`, and
        `low` and `high`, the bounds of its interval; of several, `prediction_price` and so on.

    Raises:
        ModelFolderError: The folder is missing, damaged or foreign.
        TextsError: `texts` is not a sequence of strings and missing values; also a TypeError and
            a ValueError.
        GatewiseError: An argument is out of range.
    """
    classifier = _loaded(str(model), precision, _stamp(Path(model)))
    columns, _ = columns_of_texts(
        classifier,
        texts,
        # `frame.assign` would replace the true labels of a frame by the predicted ones.
        (LABEL, LABELS),
        str(model),
        top_k=top_k,
        probabilities=probabilities,
        none_below=none_below,
        cascade=cascade,
        workers=workers,
    )
    return columns


def columns_of_texts(  # noqa: PLR0913 — an argument for each option
    classifier: Classifier,
    texts: Iterable[object],
    taken: Iterable[str],
    source: str,
    *,
    top_k: int | None = None,
    probabilities: bool = False,
    none_below: float | None = None,
    cascade: bool = False,
    workers: int | None = None,
) -> tuple[dict[str, list[object]], tuple[pa.Field, ...]]:
    """The columns of `score_texts` by a model that is loaded, and their types.

    Args:
        classifier: The model.
        texts: The texts, as `score_texts` takes them.
        taken: Names that no column may have.
        source: What has those columns, for messages.
        top_k: See `score_texts`, as for the others.
        probabilities: Likewise.
        none_below: Likewise.
        cascade: Likewise.
        workers: Likewise.
    """
    checked = classifier.encoding.checked(texts, may_be_missing=True)
    output_columns = OutputColumns.for_input(
        classifier, taken, source, Format.PARQUET, top_k=top_k, probabilities=probabilities
    )
    reject = reject_settings(classifier, none_below)
    scored_by = classifier.cascade if cascade else classifier
    columns: dict[str, list[object]] = {name: [] for name in output_columns.names}

    def score(chunk: list[Item]) -> list[list[object]]:
        encoded = classifier.encode_together(chunk)
        has_tokens = ~encoded.is_empty
        scores = scored_by.probabilities(encoded.only(has_tokens))
        return _columns(output_columns, reject, scores, has_tokens)

    chunks = list(chunked(checked, len))
    threads = min(worker_count(workers), len(chunks))
    results = map(score, chunks) if threads <= 1 else in_order(score, chunks, threads)
    for result in results:
        for name, values in zip(output_columns.names, result, strict=True):
            columns[name] += values
    return columns, output_columns.fields


def _columns(
    output_columns: OutputColumns | NumberColumns,
    reject: RejectSettings | None,
    scores: NDArray[np.float32],
    has_tokens: NDArray[np.bool_],
) -> list[list[object]]:
    """The columns of some texts; a text without a token has no scores and None in each."""
    indices = np.flatnonzero(has_tokens).tolist()
    columns: list[list[object]] = []
    for column in output_columns.columns(scores, none_labels(reject, scores)):
        found = map(shortest, column) if isinstance(column, np.ndarray) else column
        values: list[object] = [None] * len(has_tokens)
        for index, value in zip(indices, found, strict=True):
            values[index] = value
        columns.append(values)
    return columns


def _stamp(folder: Path) -> tuple[int, ...]:
    """Identifies the version of a model folder; empty if it is missing."""
    for file in (folder / "manifest.json", folder):
        try:
            status = file.stat()
        except OSError:
            continue
        return status.st_ino, status.st_size, status.st_mtime_ns
    return ()


@lru_cache(maxsize=4)
def _loaded(model: str, precision: Precision | None, _: tuple[int, ...]) -> Classifier:
    return Classifier.load(model, precision=precision)
