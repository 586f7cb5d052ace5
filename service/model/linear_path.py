"""The linear path by itself, in NumPy: a hashed linear model over the n-grams of token ids.

Its arithmetic is that of `gatewise.training.network.ngrams`, and its weights are those of the
network's file. Every sum runs over one text alone, so a text's logits are the same bits whatever
the other texts are.
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
from gatewise.vocab.tokenizer.encoding import Ragged, num_windows

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

_BLOCK = 2**16
"""N-grams that are sorted at once, unless one text has more: what the processor's caches hold."""

_KEY_BITS = 32
"""Bits of a sort key: the number of a text in its block, then the row of an n-gram's weights."""

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
        self._row_bits = len(self._squares).bit_length()

    @classmethod
    def of(cls, loaded: Artifact) -> Self | None:
        """The linear path of a model in fp32; None if it has none.

        Raises:
            ModelFolderError: The weights are not those that `config.json` describes.
        """
        network = loaded.config.gatewise.network
        if not network.ngrams:
            return None
        names = ("ngrams.weight", "ngrams.idf", "ngrams.kernel")
        weights = read_weights(loaded.model, names)
        rows = loaded.config.vocab_size + sum(n > 1 for n in network.ngrams) * network.buckets
        table = weights.get("ngrams.weight", np.empty(0))
        width = len(weights["ngrams.kernel"]) if "ngrams.kernel" in weights else len(loaded.labels)
        if (
            sorted(set(network.ngrams)) != list(network.ngrams)
            or not 1 <= network.ngrams[0] <= network.ngrams[-1] <= len(MULTIPLIERS)
            or table.shape != (rows, width)
            or weights["ngrams.idf"].shape != (rows,)
            or rows >= 2 ** (_KEY_BITS - 1)
        ):
            raise ModelFolderError(
                f"{loaded.model_file}: the weights of its linear path are not those that "
                "config.json describes"
            )
        return cls(loaded.config, weights)

    def logits(self, texts: Ragged) -> _Floats:
        """The path's logits of texts, `(texts, classes)`."""
        if self._window is None:
            return self._logits(texts)
        logits = self._logits(texts.windows(self._window))
        return pool_windows(logits, num_windows(texts.lengths, self._window))

    def _logits(self, texts: Ragged) -> _Floats:
        sums = np.zeros((len(self._columns), len(texts)), dtype=np.float32)
        norms = np.zeros(len(texts), dtype=np.float32)
        counts = texts.lengths * len(self._lengths)
        token_ends, ends = texts.lengths.cumsum(), counts.cumsum()
        most = 2 ** (_KEY_BITS - self._row_bits)
        first = 0
        while first < len(texts):
            done = ends[first] - counts[first]
            last = int(np.searchsorted(ends, done + _BLOCK, side="right"))
            last = min(max(last, first + 1), first + most)
            ids = texts.ids[token_ends[first] - texts.lengths[first] : token_ends[last - 1]]
            rows = self._unique_rows(ids, texts.lengths[first:last])
            starts = ends[first:last] - counts[first:last] - done
            for column, total in zip(self._columns, sums, strict=True):
                total[first:last] = np.add.reduceat(column.take(rows), starts)
            norms[first:last] = np.add.reduceat(self._squares.take(rows), starts)
            first = last
        scales = np.float32(SCALE) / np.maximum(np.sqrt(norms), np.float32(MIN_NORM))
        sums *= scales
        if self._kernel is None:
            return np.ascontiguousarray(sums.T)
        # Column by column: a product of matrices may sum in an order that depends on their size.
        logits = np.zeros((len(texts), self._kernel.shape[1]), dtype=np.float32)
        for column, weights in zip(sums, self._kernel, strict=True):
            logits += column[:, None] * weights
        return logits

    def _unique_rows(self, ids: _Ints, lengths: _Ints) -> _Ints:
        """The weights' rows of the n-grams of some texts, ascending in each, 0 for repetitions."""
        last_tokens = lengths.cumsum() - 1
        texts = np.repeat(np.arange(len(lengths), dtype=np.uint32) << self._row_bits, lengths)
        keys = [texts | rows.astype(np.uint32) for rows in self._rows(ids, last_tokens)]
        # The keys of a text stay together: it has as many after sorting as before.
        ordered = np.sort(np.concatenate(keys))
        rows = (ordered & np.uint32(2**self._row_bits - 1)).astype(np.int64)
        rows[1:][ordered[1:] == ordered[:-1]] = 0
        return rows

    def _rows(self, ids: _Ints, last_tokens: _Ints) -> Iterator[_Ints]:
        """The weights' row of the n-gram at each position, for each length."""
        if 1 in self._lengths:
            yield ids
        start = self._vocab_size
        total = ids * MULTIPLIERS[0]
        for offset in range(1, self._lengths[-1]):
            following = np.zeros_like(ids)
            following[:-offset] = ids[offset:]
            for before in range(offset):  # past the end of its text
                following[np.maximum(last_tokens - before, 0)] = 0
            # The hash of an n-gram is that of the shorter one that begins it, plus one term.
            total += following * MULTIPLIERS[offset]
            if offset + 1 in self._lengths:
                # A division by one number is much faster than its remainder.
                yield total - total // self._buckets * self._buckets + start
                start += self._buckets
