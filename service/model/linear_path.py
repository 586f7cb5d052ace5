"""The linear path by itself, in NumPy: a hashed linear model over the n-grams of token ids.

Its arithmetic is that of `gatewise.training.network.ngrams`, and its weights are those of the
network's file. Every sum runs over one text alone, term by term in the order of the network, so a
text's logits are the same bits whatever the other texts are, and those of the network's path unless
it has a kernel.
"""

from collections.abc import Iterator, Mapping
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from gatewise.service.model.errors import ModelFolderError
from gatewise.service.model.model_documents import ModelConfig
from gatewise.service.model.model_folder import Artifact
from gatewise.service.model.onnx_validation.onnx_parser import read_weights
from gatewise.service.model.window_pooling import pool_windows
from gatewise.vocab.tokenizer.encoding import Ragged, length_batches, num_windows

SCALE = 10.0
"""Factor of the path's logits: the table starts at zero and would otherwise learn too slowly."""

MIN_NORM = 1e-6
"""Lower bound of the norm of a text's features: without a known n-gram its logits are zero."""

# One odd multiplier for each position in an n-gram. Below 2^30, and ids below 2^20, so the sum of
# eight products stays below 2^53 and is exact also where integers are stored in 64-bit floats.
MULTIPLIERS = (
    805_306_457,
    402_653_189,
    1_000_000_007,
    536_870_923,
    268_435_459,
    939_524_129,
    671_088_667,
    134_217_757,
)

_MAX_TEXTS, _MAX_TOKENS = 512, 2**14
"""Texts and tokens that are summed at once, padding included: what the processor's caches hold."""

_WEIGHTS = ("ngrams.weight", "ngrams.idf", "ngrams.kernel")
_PRUNED = ("ngrams.kept", "tokens.old")
"""The path's weights, and what a pruned network finds their rows by."""

_Floats = NDArray[np.float32]
_Ints = NDArray[np.int64]


class LinearPath:
    """The linear path of a network.

    Args:
        config: The model's `config.json`.
        weights: The weights `ngrams.weight` and `ngrams.idf`, and `ngrams.kernel` if there is one.
    """

    def __init__(self, config: ModelConfig, weights: Mapping[str, NDArray[Any]]) -> None:
        network = config.gatewise.network
        self._lengths, self._buckets = network.ngrams, network.buckets
        self._vocab_size = config.vocab_size
        tokens = config.gatewise.tokens
        # As in the classifier: longer ids are split into windows.
        self._window = tokens.max_length if tokens.windows > 1 else None
        # A column is read fastest from an array of its own.
        self._columns: list[_Floats] = list(np.ascontiguousarray(weights["ngrams.weight"].T))
        self._squares = np.square(weights["ngrams.idf"])
        self._kernel = weights.get("ngrams.kernel")

    @classmethod
    def of(cls, loaded: Artifact) -> Self | None:
        """The linear path of a model in fp32; None if it has none.

        Raises:
            ModelFolderError: The weights are not those that `config.json` describes.
        """
        network = loaded.config.gatewise.network
        if not network.ngrams:
            return None
        weights = read_weights(loaded.model, (*_WEIGHTS, *_PRUNED))
        rows = loaded.config.vocab_size + sum(n > 1 for n in network.ngrams) * network.buckets
        kernel, classes = weights.get("ngrams.kernel"), len(loaded.labels)
        width = classes if kernel is None else (*kernel.shape, classes)[0]
        shapes = {"ngrams.weight": (rows, width), "ngrams.idf": (rows,)}
        if kernel is not None:
            shapes["ngrams.kernel"] = (width, classes)
        if (
            sorted(set(network.ngrams)) != list(network.ngrams)
            or not 1 <= network.ngrams[0] <= network.ngrams[-1] <= len(MULTIPLIERS)
            or {name: each.shape for name, each in weights.items()} != shapes
            or any(each.dtype != np.float32 for each in weights.values())
            or rows >= 2**31
        ):
            raise ModelFolderError(
                f"{loaded.model_file}: the weights of its linear path are not those that "
                "config.json describes"
            )
        return cls(loaded.config, weights)

    @property
    def has_kernel(self) -> bool:
        """Whether the n-grams have vectors, which a kernel maps to the classes."""
        return self._kernel is not None

    def logits(self, texts: Ragged) -> _Floats:
        """The path's logits of texts, `(texts, classes)`."""
        if self._window is None:
            return self.window_logits(texts)
        logits = self.window_logits(texts.windows(self._window))
        return pool_windows(logits, num_windows(texts.lengths, self._window))

    def window_logits(self, windows: Ragged) -> _Floats:
        """The path's logits of texts or windows that are not split, `(windows, classes)`."""
        sums = np.empty((len(windows), len(self._columns)), dtype=np.float32)
        starts = windows.starts
        for each in length_batches(windows.lengths, _MAX_TEXTS, _MAX_TOKENS):
            batch = windows.batch(each, starts)
            rows = self._unique_rows(batch.inputs, batch.attention_mask)
            norms = np.sqrt(_totals(self._squares, rows))
            scales = np.float32(SCALE) / np.maximum(norms, np.float32(MIN_NORM))
            for number, column in enumerate(self._columns):
                sums[each, number] = (_totals(column, rows) * scales)[: len(each)]
        if self._kernel is None:
            return sums
        # Column by column: a product of matrices may sum in an order that depends on their size.
        logits = np.zeros((len(windows), self._kernel.shape[1]), dtype=np.float32)
        for column, weights in zip(sums.T, self._kernel, strict=True):
            logits += column[:, None] * weights
        return logits

    def _unique_rows(self, ids: _Ints, mask: _Ints) -> _Ints:
        """The weights' rows of the n-grams of some texts, `(n-grams, texts)`.

        In each text they descend, and repetitions and padding are row 0, whose weights are 0.
        There are two texts at least; a sum over the n-grams of one alone has another order.
        """
        width = ids.shape[1]
        rows = np.zeros((max(2, len(ids)), width * len(self._lengths)), dtype=np.int32)
        for number, found in enumerate(self._rows(ids)):
            rows[: len(ids), number * width : (number + 1) * width] = found * mask
        rows.sort(axis=1)
        rows[:, :-1][rows[:, :-1] == rows[:, 1:]] = 0
        return np.ascontiguousarray(rows[:, ::-1].T, dtype=np.int64)

    def _rows(self, ids: _Ints) -> Iterator[_Ints]:
        """The weights' row of the n-gram at each position, for each length."""
        if 1 in self._lengths:
            yield ids
        start = self._vocab_size
        total = ids * MULTIPLIERS[0]
        for offset in range(1, self._lengths[-1]):
            # The hash of an n-gram is that of the shorter one that begins it, plus one term.
            if offset < ids.shape[1]:
                total[:, :-offset] += ids[:, offset:] * MULTIPLIERS[offset]
            if offset + 1 in self._lengths:
                # A division by one number is much faster than its remainder.
                yield total - total // self._buckets * self._buckets + start
                start += self._buckets


def _totals(weights: _Floats, rows: _Ints) -> _Floats:
    """The sum of each text's weights, row by row, as the operator ReduceSum adds them."""
    totals: _Floats = weights.take(rows).sum(axis=0)
    return totals
