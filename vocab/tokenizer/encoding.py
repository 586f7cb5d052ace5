"""The one encoding of text: token ids, cut down to a maximum length, padded on the right.

Training and serving both go through here, so a model is asked in the ids it was trained on.
Knows no model: a batch is two integer arrays and nothing else.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import chain
from typing import Literal

import numpy as np
from gatewise.vocab.tokenizer.token_offsets import Span, token_offsets
from gatewise.vocab.tokenizer.tokenizer import PAD_ID
from numpy.typing import NDArray
from tokenizers import Tokenizer

Keep = Literal["head", "tail", "both"]
"""Which part of a text that is too long is read: its first tokens, its last ones, or half each."""


@dataclass(frozen=True, slots=True)
class Encoded:
    """One text as ids.

    Attributes:
        ids: Token ids, int64, shape `(tokens,)`; the first is the begin mark.
        truncated: Whether tokens beyond the maximum length were left out.
    """

    ids: NDArray[np.int64]
    truncated: bool

    @property
    def is_empty(self) -> bool:
        """Whether the text held no token at all (only the begin mark is there)."""
        return len(self.ids) <= 1


@dataclass(frozen=True, slots=True)
class EncodedWithOffsets:
    """One text as ids, and where in the text they stand.

    Attributes:
        encoded: The ids, the same that `Encoder.encode` gives.
        spans: The stretches of the text that were read, ascending. Their `tokens` are places in
            `encoded.ids`; the begin mark, in place 0, is in none.
        seam: How many of them stand before what is left out of the middle of a text that is too
            long; all where nothing is.
    """

    encoded: Encoded
    spans: tuple[Span, ...]
    seam: int


@dataclass(frozen=True, slots=True)
class Batch:
    """Texts of one batch, padded on the right to the longest of them.

    Attributes:
        input_ids: int64, shape `(texts, tokens)`, `PAD_ID` after each text's end.
        attention_mask: int64, shape `(texts, tokens)`, 1 at tokens and 0 at padding.
    """

    input_ids: NDArray[np.int64]
    attention_mask: NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Ragged:
    """Many texts as ids, one after another in one array.

    Attributes:
        ids: Token ids of all texts, int64, shape `(tokens,)`; each text begins with the begin mark.
        lengths: Ids of each text, int64, shape `(texts,)`.
        truncated: Whether tokens beyond the maximum length were left out, bool, shape `(texts,)`.
    """

    ids: NDArray[np.int64]
    lengths: NDArray[np.int64]
    truncated: NDArray[np.bool_]

    @classmethod
    def of(cls, texts: Sequence[Encoded]) -> "Ragged":
        """Puts texts one after another."""
        count = len(texts)
        return cls(
            np.concatenate([text.ids for text in texts]) if texts else np.empty(0, dtype=np.int64),
            np.fromiter((len(text.ids) for text in texts), dtype=np.int64, count=count),
            np.fromiter((text.truncated for text in texts), dtype=np.bool_, count=count),
        )

    def __len__(self) -> int:
        return len(self.lengths)

    @property
    def is_empty(self) -> NDArray[np.bool_]:
        """Whether a text held no token at all, bool, shape `(texts,)`; see `Encoded.is_empty`."""
        return self.lengths <= 1

    @property
    def starts(self) -> NDArray[np.int64]:
        """Where each text begins in `ids`, int64, shape `(texts,)`."""
        starts: NDArray[np.int64] = self.lengths.cumsum() - self.lengths
        return starts

    def only(self, kept: NDArray[np.bool_]) -> "Ragged":
        """Some of the texts.

        Args:
            kept: Which, bool, shape `(texts,)`.
        """
        ids = self.ids[np.repeat(kept, self.lengths)]
        return Ragged(ids, self.lengths[kept], self.truncated[kept])

    def batch(self, rows: NDArray[np.int64], starts: NDArray[np.int64]) -> Batch:
        """Puts some of the texts into one batch, padded on the right.

        >>> texts = Ragged(np.array([2, 7, 2, 5, 6]), np.array([2, 3]), np.array([False, False]))
        >>> texts.batch(np.array([1, 0]), texts.starts).input_ids.tolist()
        [[2, 5, 6], [2, 7, 0]]

        Args:
            rows: Which texts, at least one.
            starts: `Ragged.starts`, which is worth being asked for once.
        """
        lengths = self.lengths[rows, None]
        steps = np.arange(lengths.max())
        filled = steps < lengths
        # Past the last text there is nothing to take, and what is taken instead is left out.
        ids = self.ids.take(starts[rows, None] + steps, mode="clip")
        return Batch(np.where(filled, ids, PAD_ID), filled.astype(np.int64))


class Encoder:
    """Turns texts into ids with one dictionary.

    Args:
        tokenizer: The dictionary.
        max_length: Most ids kept of a text, the begin mark included.
        keep: Which part of a longer text is kept; the begin mark always is, and comes first.
    """

    def __init__(self, tokenizer: Tokenizer, max_length: int, keep: Keep = "head") -> None:
        self._tokenizer = tokenizer
        self.max_length = max_length
        self.keep = keep

    def encode(self, texts: Sequence[str]) -> list[Encoded]:
        """The ids of each text, in the order given."""
        return [
            Encoded(np.array(ids, dtype=np.int64), truncated) for ids, truncated in self._cut(texts)
        ]

    def encode_together(self, texts: Sequence[str]) -> Ragged:
        """The ids of many texts in one array: as `encode` gives them, in less time."""
        if not texts:
            return Ragged.of([])
        each, truncated = zip(*self._cut(texts), strict=True)
        lengths = np.fromiter(map(len, each), dtype=np.int64, count=len(each))
        ids = np.fromiter(chain.from_iterable(each), dtype=np.int64, count=int(lengths.sum()))
        return Ragged(ids, lengths, np.array(truncated, dtype=np.bool_))

    def _cut(self, texts: Sequence[str]) -> Iterator[tuple[list[int], bool]]:
        """The ids of each text that are kept, and whether others are not.

        Texts are cut here and not by the tokenizer's own truncation: that one builds an object
        for every stretch it cuts off, and drops ids that JavaScript runtimes keep.
        """
        for encoding in self._tokenizer.encode_batch_fast(list(texts)):
            ids: list[int] = encoding.ids
            if truncated := len(ids) > self.max_length:
                ids = truncate(ids, self.max_length, self.keep)
            yield ids, truncated

    def locate(self, texts: Sequence[str]) -> list[EncodedWithOffsets]:
        """The ids of each text and where they stand in it; slower than `encode`."""
        located = []
        for text, encoding in zip(texts, self._tokenizer.encode_batch(list(texts)), strict=True):
            ids = encoding.ids
            kept: Sequence[int] = range(len(ids))
            truncated = len(ids) > self.max_length
            if truncated:
                kept = truncate(kept, self.max_length, self.keep)
            encoded = Encoded(np.array(ids, dtype=np.int64)[kept], truncated)
            # The begin mark stands nowhere in the text.
            spans = tuple(_of_kept(token_offsets(text, encoding.offsets[1:]), kept))
            begin = next((new for new, old in enumerate(kept) if new != old), len(kept))
            seam = sum(span.tokens.start < begin for span in spans)
            located.append(EncodedWithOffsets(encoded, spans, seam))
        return located


def _of_kept(spans: Sequence[Span], kept: Sequence[int]) -> Iterator[Span]:
    """The spans with places among the ids that are kept, without those of which none is.

    Args:
        spans: With places among the tokens of the whole text, the begin mark not counted.
        kept: The places that are kept of all ids, the begin mark's among them.
    """
    places = {old - 1: new for new, old in enumerate(kept)}
    for span in spans:
        left = [places[token] for token in span.tokens if token in places]
        if left:
            yield replace(span, tokens=range(left[0], left[-1] + 1))


def truncate(ids: Sequence[int], max_length: int, keep: Keep) -> list[int]:
    """The ids that are kept of a text that has more of them than a model reads.

    >>> shortened([2, 11, 12, 13, 14, 15], 4, "both")
    [2, 11, 12, 15]

    Args:
        ids: Token ids, the begin mark first; more than `max_length`.
        max_length: How many are kept.
        keep: Which; of both ends, the first has one more where they cannot be equal.
    """
    last = {"head": 0, "tail": max_length - 1, "both": (max_length - 1) // 2}[keep]
    return [*ids[: max_length - last], *ids[len(ids) - last :]]


def pad(ids: Sequence[NDArray[np.int64]]) -> Batch:
    """Puts texts of different lengths into one batch.

    >>> pad([np.array([2, 7]), np.array([2, 5, 6])]).input_ids.tolist()
    [[2, 7, 0], [2, 5, 6]]

    Args:
        ids: Token ids of each text; at least one text.
    """
    if len(ids) == 1:
        alone = ids[0][None]
        return Batch(input_ids=alone, attention_mask=np.ones_like(alone))
    lengths = np.fromiter(map(len, ids), dtype=np.int64, count=len(ids))
    filled = np.arange(lengths.max()) < lengths[:, None]
    input_ids = np.full(filled.shape, PAD_ID, dtype=np.int64)
    input_ids[filled] = np.concatenate(ids)
    return Batch(input_ids=input_ids, attention_mask=filled.astype(np.int64))
