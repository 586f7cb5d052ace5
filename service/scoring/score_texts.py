"""A batch of texts into a batch of answers: a plain function, for whoever has rows of its own.

Made for frames of pandas and Spark, whose workers call it batch after batch, each worker with its
own copy of the model. Knows no files of data and no frames.
"""

import math
import os
from collections.abc import Iterable, Mapping
from functools import lru_cache
from pathlib import Path

import numpy as np
from gatewise.service.model.classifier import Classifier
from gatewise.service.model.model_documents import Precision, RejectSettings
from gatewise.service.model.scores import none_labels, shortest
from gatewise.service.scoring.chunks import cut
from gatewise.service.scoring.options import reject_settings
from gatewise.service.scoring.ordered_pool import in_order, required_workers
from gatewise.service.scoring.output_columns import OutputColumns
from gatewise.vocab.corpus.data_files import Format
from gatewise.vocab.corpus.records import is_unicode
from gatewise.vocab.errors import GatewiseError


def score_texts(
    texts: Iterable[object],
    model: str | os.PathLike[str],
    *,
    top_k: int | None = None,
    probabilities: bool = False,
    none_below: float | None = None,
    precision: Precision | None = None,
    workers: int | None = None,
) -> dict[str, list[object]]:
    """Labels and scores of texts, as columns.

    The same texts give the same answers, whatever other texts are with them. A process loads a
    model once, and again when its folder has been replaced.

    Example:
        `frame.assign(**score_texts(frame["text"], "model"))` has the columns `label` and `score`
        beside its own.

    Args:
        texts: Texts; one that is missing (None, NaN), blank or without a token has None in every
            column.
        model: A model folder, or a zip of one, where this process can read it.
        top_k: How many labels; see `gatewise.service.scoring.output_columns.OutputColumns`.
        probabilities: Whether each label has a column with its probability.
        none_below: The probability below which a text is given none of the labels, 0 for never;
            None for the model's own.
        precision: Which of the folder's models; None for the most exact one.
        workers: Threads that score windows of texts side by side, 4,096 texts each or fewer long
            ones; None for one on each
            core. Where several processes share the cores, as Spark's do, 1 is best.

    Returns:
        Column to values, one value a text: `label` and `score`, then `label_2` and so on; for
        models of several labels a text `labels` and `scores`, lists.

    Raises:
        ModelFolderError: The folder is missing, damaged or foreign.
        GatewiseError: A text is neither a string nor missing, or is not Unicode; or there is to
            be less than one worker.
        TypeError: One string is given instead of a sequence of them, or a table instead of a
            column.
    """
    if isinstance(texts, str | bytes):
        raise TypeError("expected a sequence of texts, received one string: wrap it in a list")
    # Iterated over, a table gives the names of its columns, which are texts too.
    if isinstance(texts, Mapping) or getattr(texts, "ndim", 1) != 1:
        raise TypeError(
            f"expected one column of texts, received a table of type {type(texts).__name__}: "
            'choose one, such as frame["text"]'
        )
    classifier = _loaded(str(model), precision, _stamp(Path(model)))
    answers = OutputColumns.among(
        classifier, (), str(model), Format.PARQUET, top_k=top_k, probabilities=probabilities
    )
    reject = reject_settings(classifier, none_below)
    given = [_text(row, text) for row, text in enumerate(texts)]
    columns: dict[str, list[object]] = {name: [] for name in answers.names}

    def scored(window: list[str]) -> list[list[object]]:
        return _columns(classifier, answers, reject, window)

    windows = [window for window, _ in cut(given, len)]
    threads = min(required_workers(workers), len(windows))
    for part in map(scored, windows) if threads <= 1 else in_order(scored, windows, threads):
        for name, values in zip(answers.names, part, strict=True):
            columns[name] += values
    return columns


def _columns(
    classifier: Classifier, answers: OutputColumns, reject: RejectSettings | None, texts: list[str]
) -> list[list[object]]:
    """The columns of some texts; the empty text has None in each."""
    encoded = classifier.encode_together(texts)
    told = ~encoded.is_empty
    scores = classifier.probabilities(encoded.only(told))
    places = np.flatnonzero(told).tolist()
    columns: list[list[object]] = []
    for column in answers.columns(scores, none_labels(reject, scores)):
        found = map(shortest, column) if isinstance(column, np.ndarray) else column
        values: list[object] = [None] * len(texts)
        for place, value in zip(places, found, strict=True):
            values[place] = value
        columns.append(values)
    return columns


def _text(row: int, text: object) -> str:
    if text is None or (isinstance(text, float) and math.isnan(text)):
        return ""
    if not isinstance(text, str):
        # pandas' own mark of what is missing is equal to nothing, and is no truth either.
        if type(text).__name__ in ("NAType", "NaTType"):
            return ""
        raise GatewiseError(
            f"text {row}, counted from 0: expected a string or nothing, received a value of type "
            f"{type(text).__name__}"
        )
    if not is_unicode(text):
        raise GatewiseError(f"text {row}, counted from 0: half of a surrogate pair is no Unicode")
    return text


def _stamp(folder: Path) -> tuple[int, ...]:
    """What tells a folder from one that has taken its place; nothing where it is missing."""
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
