"""Gatewise's ways from strings to labels, and the two halves of the bound that they are held to.

The halves are what cannot be saved: the tokenizer over all texts at once, and the network over
batches that were packed beforehand. Knows no other classifier.
"""

import atexit
import itertools
import shutil
import tempfile
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
from gatewise.service.model import classifier
from gatewise.service.model.classifier import Classifier, min_batch_rows
from gatewise.service.model.model_folder import read_model_folder
from gatewise.service.model.onnx_session import open_session
from gatewise.service.model.scores import apply, none_labels
from gatewise.service.scoring.chunks import chunked
from gatewise.service.scoring.ordered_pool import in_order
from gatewise.service.scoring.output_columns import Column, OutputColumns
from gatewise.service.scoring.score_file import Parallelism, score_file
from gatewise.vocab.corpus.data_files import Format
from gatewise.vocab.corpus.record_stream import open_records
from gatewise.vocab.corpus.records import Record
from numpy.typing import NDArray
from scoring_ways import Given, Ready, by_clock

import gatewise

_SPARK = 10_000
"""Rows of a batch that Spark hands over (spark.sql.execution.arrow.maxRecordsPerBatch)."""

Inputs = dict[str, NDArray[np.int64]]


def tokenizing(given: Given) -> Ready:
    """The tokenizer alone, over all texts in one call, on as many threads as there are cores."""
    texts, _ = given.rows()
    tokenizer = read_model_folder(Path(given.model)).tokenizer
    return by_clock(len(texts), lambda: tokenizer.encode_batch_fast(texts))


def inference(given: Given) -> Ready:
    """The network alone: batches sorted by length over the whole set, one call a thread."""
    texts, _ = given.rows()
    loaded = read_model_folder(Path(given.model))
    model = Classifier(loaded)
    answers = _answers(model, given)
    encoded = model.encode_together(texts)
    encoded = encoded.only(~encoded.is_empty)
    fewest, starts = min_batch_rows(loaded.manifest.operators), encoded.starts
    # The classifier's own bounds. The longest first, so that no thread is left with one at the end.
    rows = list(classifier._batches(encoded.lengths))[::-1]
    inputs: list[Inputs] = []
    for batch in (encoded.batch(each, starts) for each in rows):
        values = {"input_ids": batch.input_ids, "attention_mask": batch.attention_mask}
        times = fewest if len(batch.input_ids) < fewest else 1
        inputs.append({name: np.tile(value, (times, 1)) for name, value in values.items()})
    session = open_session(loaded.model, loaded.model_file, 1)
    logits: list[NDArray[np.float32] | None] = [None] * len(inputs)

    def run() -> None:
        numbers = itertools.count()

        def work(_: int) -> None:
            while (number := next(numbers)) < len(inputs):
                (logits[number],) = session.run(["logits"], inputs[number])

        with ThreadPoolExecutor(given.cores) as pool:
            list(pool.map(work, range(given.cores)))

    def labels(_: None) -> Sequence[str]:
        every = np.empty((len(encoded), len(model.classes_)), dtype=np.float32)
        for places, given_logits in zip(rows, logits, strict=True):
            if given_logits is not None:
                every[places] = given_logits[: len(places)]
        scores = apply(model.score_function, every)
        return _best(answers.columns(scores, none_labels(model.reject, scores)))

    return by_clock(len(texts), run, labels)


def strings(given: Given) -> Ready:
    """What `gatewise score` does from the strings of its windows to their labels."""
    texts, _ = given.rows()
    model = Classifier.load(given.model)
    answers = _answers(model, given)
    windows = list(chunked(texts, len))

    def work(window: Sequence[str]) -> list[Column]:
        encoded = model.encode_together(window)
        if (empty := encoded.is_empty).any():
            encoded = encoded.only(~empty)
        scores = model.probabilities(encoded)
        return answers.columns(scores, none_labels(model.reject, scores))

    def run() -> list[list[Column]]:
        return list(in_order(work, windows, given.cores))

    def labels(found: list[list[Column]]) -> Sequence[str]:
        return [label for columns in found for label in _best(columns)]

    return by_clock(len(texts), run, labels)


def to_csv(given: Given) -> Ready:
    """`score_file`, into CSV."""
    return _file_to_file(given, ".csv")


def to_parquet(given: Given) -> Ready:
    """`score_file`, into Parquet."""
    return _file_to_file(given, ".parquet")


def one_call(given: Given) -> Ready:
    """`gatewise.score_texts` of all texts."""
    texts, _ = given.rows()
    return _score_texts(given, [texts], None)


def batches(given: Given) -> Ready:
    """`gatewise.score_texts` of batches as Spark's workers get them."""
    texts, _ = given.rows()
    parts = [texts[start : start + _SPARK] for start in range(0, len(texts), _SPARK)]
    return _score_texts(given, parts, 1)


def _score_texts(given: Given, parts: Sequence[Sequence[str]], workers: int | None) -> Ready:
    gatewise.score_texts(["so that the model is loaded"], given.model)

    def run() -> list[object]:
        each = (gatewise.score_texts(part, given.model, workers=workers)["label"] for part in parts)
        return [label for labels in each for label in labels]

    def labels(found: list[object]) -> Sequence[str]:
        return [str(label) for label in found if label is not None]

    return by_clock(sum(map(len, parts)), run, labels)


def _file_to_file(given: Given, suffix: str) -> Ready:
    model = Classifier.load(given.model)
    folder = Path(tempfile.mkdtemp(prefix="scoring-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    out, rejects = folder / f"out{suffix}", folder / "rejects.jsonl"
    rows = sum(1 for _ in open_records(given.file))

    def run() -> str:
        pace = Parallelism(given.cores)
        return score_file(model, given.file, out, rejects=rejects, parallelism=pace).label_column

    def labels(column: str) -> Sequence[str]:
        found = (record for record in open_records(out) if isinstance(record, Record))
        return [str(record.values[column]) for record in found]

    return by_clock(rows, run, labels)


def _answers(model: Classifier, given: Given) -> OutputColumns:
    return OutputColumns.for_input(model, (), given.model, Format.PARQUET)


def _best(columns: list[Column]) -> Sequence[str]:
    return [str(label) for label in columns[0]]
