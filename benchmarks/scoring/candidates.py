"""Candidates that classify the texts of a corpus, each timed in a process of its own.

Two libraries in one process would compete for the threads; a process that waits for its turn takes
nothing from the others. Two candidates are what cannot be saved: the encoding of the texts, and the
network over batches that were packed beforehand.
"""

import hashlib
import os
import sys
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.lib import corpora
from gatewise.service.model import classifier
from gatewise.service.model.classifier import Classifier, min_batch_rows
from gatewise.service.model.model_folder import read_model_folder
from gatewise.service.model.onnx_session import open_session
from gatewise.service.model.scores import apply
from gatewise.service.scoring.chunks import chunked
from gatewise.service.scoring.ordered_pool import in_order
from gatewise.service.scoring.output_columns import Column, NumberColumns, OutputColumns
from gatewise.service.scoring.score_file import Parallelism, score_file
from gatewise.vocab.corpus.data_files import Format
from gatewise.vocab.corpus.record_stream import open_records
from gatewise.vocab.corpus.records import Record
from gatewise.vocab.tokenizer.encoding import length_batches

TOKENIZING, INFERENCE = "tokenizing alone", "inference alone"
FROM_STRINGS = "Gatewise, strings to labels"
CASCADE = "Gatewise with the cascade, strings to labels"
TO_CSV, TO_PARQUET = "Gatewise, csv.gz to csv", "Gatewise, csv.gz to Parquet"
LINEAR, FASTTEXT = "TF-IDF and LinearSVC, predict", "fastText, predict"


@dataclass(frozen=True)
class Settings:
    """What the candidates have in common."""

    file: Path  # the rows, `.csv.gz` with the columns text and label
    model: Path  # Gatewise's model folder
    scratch: Path  # a folder for outputs
    cores: int  # how many threads a candidate may use; it has no more cores
    train_rows: int | None  # how many rows other classifiers are trained on; None for all
    peer_rows: int | None  # most rows that other classifiers are asked for; None for all
    train: Path | None = None  # the rows that they are trained on; None for those of `file`

    def rows(self, limit: int | None = None) -> tuple[list[str], list[str]]:
        """The first texts of the file, and their labels."""
        return _rows(self.file, limit)

    def training_rows(self) -> tuple[list[str], list[str]]:
        """The texts that other classifiers are trained on, and their labels."""
        return _rows(self.train or self.file, self.train_rows)


@dataclass(frozen=True)
class Candidate:
    """What is timed."""

    rows: int  # that a turn classifies
    run: Callable[[], Any]  # a turn
    labels: Callable[[Any], Sequence[str]] | None = None  # from what it gave
    truth: Sequence[str] | None = None  # the labels in the file of those texts
    is_network: bool = True  # whether the labels must be those of the network


def tokenizing(settings: Settings) -> Candidate:
    """The encoding of chunks of texts alone, on as many threads as there are cores."""
    texts, _ = settings.rows()
    encode = Classifier.load(settings.model).encode_together
    chunks = list(chunked(texts, len))
    return Candidate(len(texts), lambda: list(in_order(encode, chunks, settings.cores)))


def inference(settings: Settings) -> Candidate:
    """The network alone: batches sorted by length over the whole corpus, one call a thread.

    As in the classifier its two paths run apart, if their logits have the same bits.
    """
    texts, _ = settings.rows()
    loaded = read_model_folder(settings.model)
    model = Classifier(loaded)
    encoded = model.encode_together(texts)
    encoded = encoded.only(~encoded.is_empty)
    fewest, starts = min_batch_rows(loaded.manifest.operators), encoded.starts
    # The classifier's own bounds. The longest first, so that no thread is left with one at the end.
    limits = classifier.FULL_BATCH_TEXTS, classifier.FULL_BATCH_TOKENS
    rows = list(length_batches(encoded.lengths, *limits))[::-1]
    inputs: list[dict[str, NDArray[np.int64]]] = []
    for batch in (encoded.batch(each, starts) for each in rows):
        values = {"input_ids": batch.inputs, "attention_mask": batch.attention_mask}
        times = fewest if len(batch.inputs) < fewest else 1
        inputs.append({name: np.tile(value, (times, 1)) for name, value in values.items()})
    paths = model._paths
    session = paths[0] if paths else open_session(loaded.model, loaded.model_file, 1)
    shares = np.arange(len(encoded)) * settings.cores // max(1, len(encoded))
    parts = [encoded.only(shares == number) for number in range(settings.cores)] if paths else []

    def run() -> tuple[list[NDArray[np.float32]], list[NDArray[np.float32]]]:
        with ThreadPoolExecutor(settings.cores) as pool:
            linear = pool.map(paths[1].window_logits, parts) if paths else ()
            logits = pool.map(lambda batch: session.run(["logits"], batch)[0], inputs)
            return list(logits), list(linear)

    def labels(found: tuple[list[NDArray[np.float32]], list[NDArray[np.float32]]]) -> list[str]:
        every = np.empty((len(encoded), len(model.classes_)), dtype=np.float32)
        logits, linear = found
        for places, of_batch in zip(rows, logits, strict=True):
            every[places] = of_batch[: len(places)]
        if linear:
            every += np.concatenate(linear)
        scores = apply(model.score_function, every)
        return _labels(_columns(model).columns(scores, model.none_labels(scores)))

    return Candidate(len(texts), run, labels)


def from_strings(settings: Settings, *, cascade: bool = False) -> Candidate:
    """What `gatewise score` does from the strings of its chunks to their labels."""
    texts, truth = settings.rows()
    model = Classifier.load(settings.model)
    kept = np.flatnonzero(~model.encode_together(texts).is_empty).tolist()
    scored_by = model.cascade if cascade else model
    output_columns = _columns(model)
    chunks = list(chunked(texts, len))

    def work(chunk: Sequence[str]) -> list[Column]:
        encoded = model.encode_together(chunk)
        if (empty := encoded.is_empty).any():
            encoded = encoded.only(~empty)
        scores = scored_by.probabilities(encoded)
        return output_columns.columns(scores, model.none_labels(scores))

    def labels(found: list[list[Column]]) -> list[str]:
        return [label for columns in found for label in _labels(columns)]

    return Candidate(
        len(texts),
        run=lambda: list(in_order(work, chunks, settings.cores)),
        labels=labels,
        truth=[truth[row] for row in kept],
        is_network=not cascade,  # nearly all of the cascade's are the same
    )


def file_to_file(settings: Settings, suffix: str) -> Candidate:
    """`score_file`, from the file on disk to a whole output."""
    model = Classifier.load(settings.model)
    out, rejects = settings.scratch / f"out{suffix}", settings.scratch / f"rejects{suffix}.jsonl"

    def run() -> str:
        pace = Parallelism(settings.cores)
        return score_file(model, settings.file, out, rejects=rejects, parallelism=pace).label_column

    def labels(column: str) -> list[str]:
        found = (record for record in open_records(out) if isinstance(record, Record))
        return [str(record.values[column]) for record in found]

    return Candidate(sum(1 for _ in open_records(settings.file)), run, labels)


def linear(settings: Settings) -> Candidate:
    """Words and pairs of them, weighted by TF-IDF, and a linear support vector machine."""
    from sklearn.feature_extraction.text import TfidfVectorizer  # noqa: PLC0415 — its process's alone
    from sklearn.pipeline import make_pipeline  # noqa: PLC0415
    from sklearn.svm import LinearSVC  # noqa: PLC0415

    model = make_pipeline(
        TfidfVectorizer(ngram_range=(1, 2), sublinear_tf=True, token_pattern=r"\w+|[^\w\s]"),
        LinearSVC(),
    )
    model.fit(*settings.training_rows())
    texts, truth = settings.rows(settings.peer_rows)
    return Candidate(len(texts), lambda: model.predict(texts), list, truth, is_network=False)


def fasttext(settings: Settings) -> Candidate:
    """FastText with pairs of words, asked for a list of texts."""
    import fasttext as library  # noqa: PLC0415 — its process's alone

    file = settings.scratch / "fasttext.txt"
    with file.open("w", encoding="utf-8") as lines:
        for text, label in zip(*settings.training_rows(), strict=True):
            lines.write(f"{_fasttext_label(label)} {_on_one_line(text)}\n")
    model = library.train_supervised(str(file), wordNgrams=2, thread=1, verbose=0)
    texts, labels = settings.rows(settings.peer_rows)
    return Candidate(
        len(texts),
        lambda: model.predict([_on_one_line(text) for text in texts]),
        lambda found: [str(best) for (best,) in found[0]],
        list(map(_fasttext_label, labels)),
        is_network=False,
    )


CANDIDATES: dict[str, Callable[[Settings], Candidate]] = {
    TOKENIZING: tokenizing,
    INFERENCE: inference,
    FROM_STRINGS: from_strings,
    CASCADE: partial(from_strings, cascade=True),
    TO_CSV: partial(file_to_file, suffix=".csv"),
    TO_PARQUET: partial(file_to_file, suffix=".parquet"),
    LINEAR: linear,
    FASTTEXT: fasttext,
}


def _columns(model: Classifier) -> OutputColumns | NumberColumns:
    return OutputColumns.for_input(model, (), "the corpus", Format.PARQUET)


def _labels(columns: list[Column]) -> list[str]:
    return [str(label) for label in columns[0]]


def _rows(file: Path, limit: int | None) -> tuple[list[str], list[str]]:
    found = corpora.cells(file)
    header = next(found)
    text, label = header.index("text"), header.index("label")
    rows = list(islice(found, limit))
    return [row[text] for row in rows], [row[label] for row in rows]


def _fasttext_label(label: str) -> str:
    return f"__label__{label.replace(' ', '_')}"


def _on_one_line(text: str) -> str:
    return " ".join(text.split())


_prepared: list[Candidate] = []
"""The candidate of this process."""


def prepare(name: str, settings: Settings) -> int:
    """Makes a candidate ready in this process; returns how many rows a turn of it classifies."""
    # Libraries print what they like; standard output is the report's.
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
    _prepared.append(CANDIDATES[name](settings))
    return _prepared[0].rows


@dataclass(frozen=True)
class Turn:
    """A turn of a candidate: wall clock and processor time, in seconds, and its labels."""

    seconds: float
    processor: float
    labels: str | None = None  # their digest; None if they are not compared
    accuracy: float | None = None  # share of the labels that are those of the file, if it has them


def take_turn() -> Turn:
    """Has the candidate of this process classify its rows."""
    candidate = _prepared[0]
    start, before = time.perf_counter(), time.process_time()
    found = candidate.run()
    seconds, processor = time.perf_counter() - start, time.process_time() - before
    if candidate.labels is None:
        return Turn(seconds, processor)
    labels = list(candidate.labels(found))
    digest = (
        hashlib.sha256("\n".join(labels).encode()).hexdigest() if candidate.is_network else None
    )
    if candidate.truth is None:
        return Turn(seconds, processor, digest)
    right = sum(one == other for one, other in zip(labels, candidate.truth, strict=True))
    return Turn(seconds, processor, digest, right / len(labels))
