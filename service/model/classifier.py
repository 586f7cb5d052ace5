"""The classifier: texts to labels or numbers with onnxruntime, wherever a model is used.

A model may read sequences of numbers in place of texts; what it reads is its `encoding`. A
prediction never depends on the other texts of its batch: the graph sums time steps in order, and
a batch of one uses the same kernels as a larger one. A text may be run as several windows, whose
logits are pooled.
"""

import math
from collections.abc import Callable, Iterable, Sequence
from functools import cached_property
from pathlib import Path
from typing import Self

import numpy as np
from numpy.typing import NDArray
from onnxruntime import InferenceSession

from gatewise.service.model.cascade import Cascade, PaddedLogits
from gatewise.service.model.errors import ModelFolderError, NetworkError
from gatewise.service.model.input_encoding import InputCounter, Item, encoding_of
from gatewise.service.model.linear_path import LinearPath
from gatewise.service.model.model_documents import PRECISIONS, Precision
from gatewise.service.model.model_folder import Artifact, read_model_folder
from gatewise.service.model.onnx_session import open_session
from gatewise.service.model.onnx_validation.onnx_parser import recurrent_part
from gatewise.service.model.scores import (
    SCORE_FUNCTIONS,
    ScoreFunction,
    apply,
    none_labels,
    ranked,
    reached,
)
from gatewise.service.model.window_pooling import pool_windows
from gatewise.vocab.corpus.columns import Task
from gatewise.vocab.errors import ArgumentError, EmptyTextError, first_line
from gatewise.vocab.tokenizer.encoding import (
    Batch,
    Encoded,
    EncodedWithOffsets,
    Ragged,
    length_batches,
    num_windows,
    pad,
)

FULL_BATCH_TEXTS = 64
"""The largest number of texts in a batch. More are not faster, and differ more in length."""

FULL_BATCH_TOKENS = 2048
"""The largest number of tokens in a batch, padding included.

What a recurrent layer computes for more of them leaves the processor's cache before it is read.
"""


def min_batch_rows(operators: Iterable[str]) -> int:
    """The smallest number of rows in a batch; a single text is repeated to reach it.

    onnxruntime's RNN, unlike its GRU and LSTM, uses another kernel for a batch of one, whose
    results differ in the last bits.
    """
    return 2 if "RNN" in operators else 1


class Classifier:
    """A loaded model; safe to call from several threads.

    Attributes:
        classes_: The labels, sorted, in the order of every score array's columns; in a regression
            the names of the numbers, `value` alone if it is one.
        task: Whether a text has exactly one label, any number of them, or numbers.
        multi_label: Whether a text may have several labels, or none, instead of exactly one.
        thresholds: The threshold of each label, in the order of `classes_`; None if a text has
            exactly one label.
        reject: When a text is rejected; None for never.
        interval: In a regression, the interval around each number; None if there is none.
        encoding: What the model reads: texts, or sequences of numbers.
        artifact: The contents of its model folder.
    """

    def __init__(self, loaded: Artifact, *, threads: int = 1) -> None:
        self.artifact = loaded
        self.classes_: list[str] = list(loaded.labels.names)
        self.task: Task = loaded.config.task
        self.multi_label = loaded.config.multi_label
        self.thresholds = loaded.config.label_thresholds() if self.multi_label else None
        self.reject = loaded.config.gatewise.reject
        self.interval = loaded.config.gatewise.interval
        tokens = loaded.config.gatewise.tokens
        # Longer ids are split into windows; None if a text is one window, however long it is.
        self._window = tokens.max_length if tokens.windows > 1 else None
        self.encoding = encoding_of(loaded)
        self._threads = threads
        self._session = open_session(loaded.model, loaded.model_file, threads)
        self._min_rows = min_batch_rows(loaded.manifest.operators)
        self._probe()

    @cached_property
    def coverage_counter(self) -> InputCounter:
        """Counts the tokens of encoded texts that are in the vocabulary, or missing numbers."""
        return self.encoding.counter()

    @property
    def cascade(self) -> Cascade:
        """The cascade of the model; not kept, for it holds the model.

        Raises:
            ArgumentError: It has none.
        """
        return Cascade(self.artifact, self._linear_path, self.padded_logits)

    @cached_property
    def _linear_path(self) -> LinearPath | None:
        """The linear path by itself; None if there is none, or if weights are not in fp32."""
        return LinearPath.of(self.artifact) if self.artifact.precision == "fp32" else None

    @cached_property
    def _paths(self) -> tuple[InferenceSession, LinearPath] | None:
        """The two paths, whose logits add up to the same bits as those of the whole network.

        Many texts take less time by the two paths: in the whole network, the linear path takes a
        third of a small network's time. None if there is no linear path, if its logits may differ
        in the last bits, or if the network has no output layer that can be cut out.
        """
        loaded = self.artifact
        try:
            path = self._linear_path
            if path is None or path.has_kernel:
                return None
            contents = recurrent_part(loaded.model)
            return open_session(contents, loaded.model_file, self._threads), path
        except (ModelFolderError, NetworkError):
            return None

    @property
    def score_function(self) -> ScoreFunction:
        """The function that turns the logits into probabilities, or leaves numbers as they are."""
        return SCORE_FUNCTIONS[self.task]

    @property
    def has_numbers(self) -> bool:
        """Whether it predicts numbers: answers give them in their order, for none is the best."""
        return self.task == "regression"

    @property
    def out_of_scope(self) -> str | None:
        """The label of out-of-scope rows in corpora; None if there is none."""
        return self.reject.out_of_scope if self.reject else None

    @property
    def none_label(self) -> str | None:
        """The label of a rejected text; None if no text is rejected."""
        return self.reject.label if self.reject else None

    @classmethod
    def load(
        cls, folder: str | Path, *, precision: Precision | None = None, threads: int = 1
    ) -> Self:
        """Reads and verifies a model folder, and opens its network.

        Args:
            folder: A model folder written by `gatewise train` or `gatewise export`, or a zip of
                one.
            precision: `fp32`, `fp16` or `int8`; None for the most exact one of the folder.
            threads: Threads per call of onnxruntime. For networks of this size several callers with
                one thread each are fastest.

        Raises:
            ModelFolderError: The folder is missing, damaged, foreign or hostile, or has no network
                of this precision.
        """
        if precision not in (None, *PRECISIONS):
            raise ModelFolderError(
                f"{folder}: unknown precision {precision!r}: expected one of "
                f"{', '.join(PRECISIONS)}"
            )
        return cls(read_model_folder(folder, precision), threads=threads)

    def encode(self, texts: Sequence[Item]) -> list[Encoded]:
        """The token ids of each text."""
        return self.encoding.encode(texts)

    def cut(self, text: str) -> str:
        """A part of a long text with the same token ids, so that the rest need not be kept."""
        return self.encoding.cut(text)

    def encode_together(self, texts: Sequence[Item]) -> Ragged:
        """The token ids of many texts in one array, which is faster than `encode`."""
        return self.encoding.encode_together(texts)

    def locate(self, texts: Sequence[str]) -> list[EncodedWithOffsets]:
        """The token ids of each text, with their character offsets.

        Raises:
            ArgumentError: The model reads sequences of numbers.
        """
        return self.encoding.locate(texts)

    def encode_nonempty(
        self, texts: Sequence[Item], name: Callable[[int], str] = "text {}".format
    ) -> list[Encoded]:
        """The token ids of texts that must not be empty.

        Args:
            texts: The texts.
            name: The name of the text at an index, for the error.

        Raises:
            EmptyTextError: A text has no token.
        """
        encoded = self.encode(texts)
        for index, text in enumerate(encoded):
            if text.is_empty:
                raise EmptyTextError(f"{name(index)} is empty: it holds no token to classify")
        return encoded

    def logits(self, encoded: Sequence[Encoded] | Ragged) -> NDArray[np.float32]:
        """The logits of texts.

        Texts, or windows of them, of similar length are batched together to reduce padding.

        Returns:
            float32, shape `(texts, classes)`, in the order of the texts.
        """
        return self.padded_logits(encoded).values

    def padded_logits(self, encoded: Sequence[Encoded] | Ragged) -> PaddedLogits:
        """The logits of texts, and the number of padding tokens in their batches."""
        if isinstance(encoded, Ragged):
            texts = encoded
        elif len(encoded) == 1 and len(encoded[0].ids) <= (self._window or math.inf):
            # A single text needs no grouping, whose overhead would show in its latency.
            return PaddedLogits(self._run(pad([encoded[0].ids])), 0)
        else:
            texts = Ragged.of(encoded)
        windows = texts.windows(self._window) if self._window else texts
        paths = self._paths if isinstance(encoded, Ragged) else None
        session = paths[0] if paths else self._session
        logits = np.empty((len(windows), len(self.classes_)), dtype=np.float32)
        padding, starts = 0, windows.starts
        for rows in length_batches(windows.lengths, FULL_BATCH_TEXTS, FULL_BATCH_TOKENS):
            batch = windows.batch(rows, starts)
            logits[rows] = self._run(batch, session)
            padding += batch.attention_mask.size - int(windows.lengths[rows].sum())
        if paths:
            logits += paths[1].window_logits(windows)
            self._check_finite(logits)
        if self._window and windows is not texts:
            logits = pool_windows(logits, num_windows(texts.lengths, self._window))
        return PaddedLogits(logits, padding)

    def scores(
        self, encoded: Sequence[Encoded] | Ragged, function_to_apply: ScoreFunction | None = None
    ) -> NDArray[np.float32]:
        """The logits with a score function applied.

        By default it is the model's own: sigmoid if a text may have several labels, none in a
        regression, else softmax.

        Raises:
            ArgumentError: The scores of a regression would be no probabilities.
        """
        self.check_function(function_to_apply)
        return apply(function_to_apply or self.score_function, self.logits(encoded))

    def check_function(self, function_to_apply: ScoreFunction | None) -> None:
        """Checks that a score function suits the model.

        Raises:
            ArgumentError: It makes probabilities, and the model predicts numbers.
        """
        if self.task == "regression" and function_to_apply not in (None, "none"):
            raise ArgumentError(
                f"function_to_apply: expected none, because the model predicts numbers, received "
                f"{function_to_apply}",
                option="function_to_apply",
            )

    def probabilities(self, encoded: Sequence[Encoded] | Ragged) -> NDArray[np.float32]:
        """The probability of each label, float32, shape `(texts, classes)`.

        A text's probabilities add up to 1, unless the text may have several labels. In a regression
        they are the numbers instead.
        """
        return self.scores(encoded)

    def predict_proba(self, texts: Iterable[object]) -> NDArray[np.float32]:
        """The probability of each label for each text; see `probabilities`.

        Args:
            texts: A list, a tuple, an array, a column of a data frame, or an iterator. For a model
                of sequences, sequences of numbers: a list of arrays `(steps,)` or `(steps,
                features)`, or an array `(sequences, steps, features)`; NaN or None is missing.

        Returns:
            float32, shape `(texts, classes)`, columns in the order of `classes_`.

        Raises:
            TextsError: `texts` is not what the model reads; also a TypeError and a ValueError.
            EmptyTextError: A text has no token.
            ArgumentError: The model predicts numbers, which have no probabilities.
        """
        if self.task == "regression":
            raise ArgumentError("predict_proba: the model predicts numbers: use predict")
        return self._probabilities_of(texts)

    def predict(
        self, texts: Iterable[object]
    ) -> list[str] | list[tuple[str, ...]] | NDArray[np.float32]:
        """The predicted label or number of each text; raises as `predict_proba` does.

        Returns:
            The most probable label of each text, or `reject.label` if the text is rejected. If a
            text may have several labels: a tuple of the labels that reach their thresholds, best
            first. In a regression: an array of the numbers, float32 `(texts,)`, or `(texts,
            numbers)` if there are several, in the order of `classes_`.
        """
        if self.task == "regression":
            numbers = self._probabilities_of(texts)
            return numbers[:, 0] if len(self.classes_) == 1 else numbers
        probabilities = self.predict_proba(texts)
        if self.thresholds is None:
            best = (self.classes_[index] for index in probabilities.argmax(axis=1))
            none = self.none_labels(probabilities)
            return [label if no is None else no for label, no in zip(best, none, strict=True)]
        return [tuple(label for label, _ in self.best(row)) for row in probabilities]

    def _probabilities_of(self, texts: Iterable[object]) -> NDArray[np.float32]:
        return self.probabilities(self.encode_nonempty(self.encoding.checked(texts)))

    def predicted(
        self, probabilities: NDArray[np.float32], none: Sequence[str | None]
    ) -> list[str]:
        """The labels of some texts in one list: of each one, or any number if it may have several.

        `none` is what `none_labels` returns for them. In a regression each text has every number.
        """
        if self.task == "regression":
            return self.classes_ * len(probabilities)
        if self.thresholds is not None:
            _, places = np.nonzero(reached(probabilities, self.thresholds))
            return [self.classes_[place] for place in places.tolist()]
        best = probabilities.argmax(axis=1).tolist()
        return [self.classes_[at] if no is None else no for at, no in zip(best, none, strict=True)]

    def none_labels(self, probabilities: NDArray[np.float32]) -> list[str | None]:
        """The label of each rejected text; None for the others."""
        return none_labels(self.reject, probabilities)

    def best(
        self, probabilities: NDArray[np.float32], top_k: int | None = None
    ) -> list[tuple[str, float]]:
        """The labels of one text with their probabilities, best first.

        Args:
            probabilities: The probabilities of the text, shape `(classes,)`.
            top_k: The number of labels; None for the predicted ones. A rejected text has
                `reject.label` first, with the probability of the best label.
        """
        if top_k is None and self.thresholds is not None:
            return ranked(self.classes_, probabilities, thresholds=self.thresholds)
        (none,) = self.none_labels(probabilities[None])
        return ranked(self.classes_, probabilities, top_k or 1, none=none)

    def _probe(self) -> None:
        """Runs the network once, so that a broken one fails on loading."""
        self._run(pad(self.encoding.probe()))

    def _run(self, batch: Batch, session: InferenceSession | None = None) -> NDArray[np.float32]:
        inputs = batch.by_name
        rows = len(batch.inputs)
        if rows < self._min_rows:
            inputs = {
                name: np.repeat(each, self._min_rows, axis=0) for name, each in inputs.items()
            }
        try:
            (output,) = (session or self._session).run(["logits"], inputs)
        except Exception as error:  # onnxruntime's own classes derive from Exception alone
            raise self._failure(f"the network fails: {first_line(error)}") from None
        expected = (max(rows, self._min_rows), len(self.classes_))
        if output.shape != expected or output.dtype != np.float32:
            raise self._failure(
                f"expected logits of shape {expected} and type float32, the network returns "
                f"{output.shape} and {output.dtype}"
            )
        logits: NDArray[np.float32] = output[:rows]
        self._check_finite(logits)
        return logits

    def _check_finite(self, logits: NDArray[np.float32]) -> None:
        if not np.isfinite(logits).all():
            raise self._failure(
                "the network returns logits that are not finite: train the model again"
            )

    def _failure(self, reason: str) -> ModelFolderError:
        return ModelFolderError(f"{self.artifact.model_file}: {reason}")
