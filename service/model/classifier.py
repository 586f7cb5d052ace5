"""Text to labels with onnxruntime: the one classifier that evaluates, scores and serves.

A prediction never depends on the texts beside it: the graph sums time steps in order, and a lone
text takes the same kernels as a text among others. Knows no files of data and no HTTP.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Self

import numpy as np
from gatewise.service.model.errors import ModelFolderError
from gatewise.service.model.model_config import PRECISIONS, Precision
from gatewise.service.model.model_folder import Artifact, read_model_folder
from gatewise.service.model.onnx_session import first_line, open_session
from gatewise.service.model.scores import ScoreFunction, apply, none_labels, ranked
from gatewise.vocab.corpus.columns import Task
from gatewise.vocab.errors import EmptyTextError
from gatewise.vocab.tokenizer.encoding import (
    Batch,
    Encoded,
    EncodedWithOffsets,
    Encoder,
    Ragged,
    pad,
)
from gatewise.vocab.tokenizer.tokenizer import CLS_ID
from numpy.typing import NDArray

FULL_BATCH_TEXTS = 32
"""Texts of a batch at the most. More are no quicker a text, and are less alike in length."""

FULL_BATCH_TOKENS = 8192
"""Tokens of a batch at the most, those of all its texts with their padding."""


def lone_rows(operators: Iterable[str]) -> int:
    """How many times a lone text is put into a batch.

    onnxruntime's RNN, unlike its GRU and LSTM, multiplies a lone row by another kernel, whose last
    bits differ: such a row is sent twice.

    Args:
        operators: The types of the network's operators.
    """
    return 2 if "RNN" in operators else 1


class Classifier:
    """A model folder, loaded and ready to answer; safe to call from several threads.

    Attributes:
        classes_: The labels, sorted, in the order of every score array's columns.
        multi_label: Whether a text may have several labels, or none, instead of exactly one.
        thresholds: The probability from which on each label is given, in the order of `classes_`;
            None where a text has exactly one label.
        reject: When a text is given none of the labels; None where each is given one.
        artifact: The folder it was made from.
    """

    def __init__(self, loaded: Artifact, *, threads: int = 1) -> None:
        self.artifact = loaded
        self.classes_: list[str] = list(loaded.labels.names)
        self.multi_label = loaded.config.multi_label
        self.thresholds = loaded.config.label_thresholds() if self.multi_label else None
        self.reject = loaded.config.gatewise.reject
        tokens = loaded.config.gatewise.tokens
        self._encoder = Encoder(loaded.tokenizer, tokens.max_length, tokens.keep)
        self._session = open_session(loaded.model, loaded.model_file, threads)
        self._min_rows = lone_rows(loaded.manifest.operators)
        self._probe()

    @property
    def score_function(self) -> ScoreFunction:
        """What makes probabilities of the logits."""
        return "sigmoid" if self.multi_label else "softmax"

    @property
    def out_of_scope(self) -> str | None:
        """The label by which corpora name rows that have none of the labels; None without such."""
        return self.reject.out_of_scope if self.reject else None

    @property
    def none_label(self) -> str | None:
        """What a text is given that is given none of the labels; None where each is given one."""
        return self.reject.label if self.reject else None

    @property
    def task(self) -> Task:
        """Whether a text has exactly one label or any number of them."""
        return "multi_label" if self.multi_label else "single_label"

    @classmethod
    def load(
        cls, folder: str | Path, *, precision: Precision | None = None, threads: int = 1
    ) -> Self:
        """Reads, verifies and prepares a model folder.

        Args:
            folder: A model folder written by `gatewise train` or `gatewise export`, or a zip of
                one.
            precision: Which of the folder's models: `fp32`, `fp16` or `int8`; None for the most
                exact one.
            threads: Threads that one call of the engine may use. For networks of this size one
                thread a call and several callers is fastest.

        Raises:
            ModelFolderError: If the folder is missing, damaged, foreign or hostile, or has no model
                in this precision.
        """
        if precision not in (None, *PRECISIONS):
            raise ModelFolderError(
                f"{folder}: unknown precision {precision!r}: expected one of "
                f"{', '.join(PRECISIONS)}"
            )
        return cls(read_model_folder(folder, precision), threads=threads)

    def encode(self, texts: Sequence[str]) -> list[Encoded]:
        """The token ids of each text."""
        return self._encoder.encode(texts)

    def encode_together(self, texts: Sequence[str]) -> Ragged:
        """The token ids of many texts in one array, which is quicker than `encode`."""
        return self._encoder.encode_together(texts)

    def locate(self, texts: Sequence[str]) -> list[EncodedWithOffsets]:
        """The token ids of each text, and where they stand in it."""
        return self._encoder.locate(texts)

    def encode_nonempty(
        self, texts: Sequence[str], name: Callable[[int], str] = "text {}".format
    ) -> list[Encoded]:
        """The token ids of each text, every one of which must hold a token.

        Args:
            texts: The texts.
            name: What to call the text at an index, in the error.

        Raises:
            EmptyTextError: If a text holds no token.
        """
        encoded = self.encode(texts)
        for index, text in enumerate(encoded):
            if text.is_empty:
                raise EmptyTextError(f"{name(index)} is empty: it holds no token to classify")
        return encoded

    def logits(self, encoded: Sequence[Encoded] | Ragged) -> NDArray[np.float32]:
        """What the network says, before any score function.

        Texts are grouped by length so that little is spent on padding, and put back in order.

        Returns:
            float32, shape `(texts, classes)`, rows in the order given.
        """
        return self.padded_logits(encoded)[0]

    def padded_logits(self, encoded: Sequence[Encoded] | Ragged) -> tuple[NDArray[np.float32], int]:
        """Logits as `logits` gives them, and how many tokens of padding they took."""
        if isinstance(encoded, Ragged):
            texts = encoded
        elif len(encoded) == 1:
            # One text needs no order: what is spent on it would be felt in a lone answer.
            return self._run(pad([encoded[0].ids])), 0
        else:
            texts = Ragged.of(encoded)
        logits = np.empty((len(texts), len(self.classes_)), dtype=np.float32)
        padding, starts = 0, texts.starts
        for rows in _batches(texts.lengths):
            batch = texts.batch(rows, starts)
            logits[rows] = self._run(batch)
            padding += batch.attention_mask.size - int(texts.lengths[rows].sum())
        return logits, padding

    def scores(
        self, encoded: Sequence[Encoded] | Ragged, function_to_apply: ScoreFunction | None = None
    ) -> NDArray[np.float32]:
        """Logits with a score function applied; the model's own unless another is named.

        The model's own is softmax, and sigmoid where a text may have several labels.

        Returns:
            float32, shape `(texts, classes)`.
        """
        return apply(function_to_apply or self.score_function, self.logits(encoded))

    def probabilities(self, encoded: Sequence[Encoded] | Ragged) -> NDArray[np.float32]:
        """The probability of each label, float32, shape `(texts, classes)`.

        A text's probabilities add up to 1, unless the text may have several labels.
        """
        return self.scores(encoded)

    def predict_proba(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """The probability of each label for each text; see `probabilities`.

        Returns:
            float32, shape `(texts, classes)`, columns in the order of `classes_`.

        Raises:
            TypeError: If one string is given instead of a sequence of them.
            EmptyTextError: If a text holds no token.
        """
        if isinstance(texts, str):
            raise TypeError("expected a sequence of texts, received one string: wrap it in a list")
        return self.probabilities(self.encode_nonempty(texts))

    def predict(self, texts: Sequence[str]) -> list[str] | list[tuple[str, ...]]:
        """The most probable label of each text; see `predict_proba` for what is raised.

        Returns:
            A label a text, or `reject.label` where even the best does not reach its threshold.
            Where a text may have several: a tuple a text of the labels whose
            probabilities reach their thresholds, best first; empty if none does.
        """
        probabilities = self.predict_proba(texts)
        if self.thresholds is None:
            best = (self.classes_[index] for index in probabilities.argmax(axis=1))
            none = self.none_labels(probabilities)
            return [label if no is None else no for label, no in zip(best, none, strict=True)]
        return [tuple(label for label, _ in self.best(row)) for row in probabilities]

    def none_labels(self, probabilities: NDArray[np.float32]) -> list[str | None]:
        """What texts are given that are given none of the labels, and None for the others.

        Args:
            probabilities: Shape `(texts, classes)`.
        """
        return none_labels(self.reject, probabilities)

    def best(
        self, probabilities: NDArray[np.float32], top_k: int | None = None
    ) -> list[tuple[str, float]]:
        """What to answer about one text: labels with their probabilities, best first.

        Args:
            probabilities: Those of the text, shape `(classes,)`.
            top_k: How many labels, whatever their probabilities. If None the label that is
                predicted, or those that are where a text may have several. A text that is given
                none has `reject.label` first, with the probability of the best.
        """
        if top_k is None and self.thresholds is not None:
            return ranked(self.classes_, probabilities, thresholds=self.thresholds)
        (none,) = self.none_labels(probabilities[None])
        return ranked(self.classes_, probabilities, top_k or 1, none=none)

    def _probe(self) -> None:
        """Asks once, with the largest id there is, so that a folder that loads also answers.

        Raises:
            ModelFolderError: If the network cannot answer.
        """
        ids = np.array([CLS_ID, self.artifact.config.vocab_size - 1])
        self._run(pad([ids, ids[:1]]))

    def _run(self, batch: Batch) -> NDArray[np.float32]:
        inputs = {"input_ids": batch.input_ids, "attention_mask": batch.attention_mask}
        rows = len(batch.input_ids)
        if rows < self._min_rows:
            inputs = {name: np.tile(values, (self._min_rows, 1)) for name, values in inputs.items()}
        try:
            (output,) = self._session.run(["logits"], inputs)
        except Exception as error:  # onnxruntime's own classes derive from Exception alone
            raise self._fault(f"the network cannot answer: {first_line(error)}") from None
        expected = (len(inputs["input_ids"]), len(self.classes_))
        if output.shape != expected or output.dtype != np.float32:
            raise self._fault(
                f"expected logits of shape {expected} and type float32, the network gives "
                f"{output.shape} and {output.dtype}"
            )
        logits: NDArray[np.float32] = output[:rows]
        if not np.isfinite(logits).all():
            raise self._fault(
                "its weights give logits that are no finite numbers: train the model again"
            )
        return logits

    def _fault(self, reason: str) -> ModelFolderError:
        return ModelFolderError(f"{self.artifact.model_file}: {reason}")


def _batches(lengths: NDArray[np.int64]) -> Iterator[NDArray[np.int64]]:
    """Rows of like length together, each batch within the bounds on texts and padded tokens."""
    order = np.argsort(lengths, kind="stable")
    ascending = lengths[order].tolist()
    start = 0
    while start < len(ascending):
        stop = min(start + FULL_BATCH_TEXTS, len(ascending))
        # Ascending, so the last is the longest and sets the width of the batch.
        while stop - start > 1 and (stop - start) * ascending[stop - 1] > FULL_BATCH_TOKENS:
            stop -= 1
        yield order[start:stop]
        start = stop
