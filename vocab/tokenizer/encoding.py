"""Encoding of texts: token ids, truncated to a maximum length and padded on the right.

Training and serving both use it, so a model always reads ids of the kind it was trained on. A model
may read several windows of a text: its ids are split into them only where the network reads them.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import chain
from typing import Any

import numpy as np
from numpy.typing import NDArray
from tokenizers import Tokenizer

from gatewise.vocab.tokenizer import text_limit
from gatewise.vocab.tokenizer.character_ids import CharacterIds
from gatewise.vocab.tokenizer.known_words import KnownWords
from gatewise.vocab.tokenizer.text_limit import Keep, TextLimit, unit_of
from gatewise.vocab.tokenizer.token_offsets import Span, token_offsets
from gatewise.vocab.tokenizer.tokenizer import CLS_ID, PAD_ID
from gatewise.vocab.tokenizer.word_pieces import inside_words

INPUT_IDS, INPUT_VALUES, ATTENTION_MASK = "input_ids", "input_values", "attention_mask"
"""The names of a network's inputs: token ids or numbers, and the mask."""

MAX_WINDOWS = 100
"""The largest number of windows that a model may read of a text."""

_MAX_UNCUT = 16 * text_limit.MIN_CHARACTERS
"""Longest text whose words are looked up without cutting it first."""


Ids = NDArray[Any]
"""Token ids, int64 `(tokens,)`; or the steps of a sequence of numbers, float32 `(steps, features)`,
which take the place of tokens and have no `[CLS]` before them."""


def without_mark(ids: Ids) -> Ids:
    """What ids stand for: all but the `[CLS]` of a text."""
    return ids[1:] if ids.ndim == 1 else ids


@dataclass(frozen=True, slots=True)
class Encoded:
    """One text as ids, or one sequence of numbers.

    Attributes:
        ids: See `Ids`; the first of a text is `[CLS]`. Of several windows all, one after another,
            without the `[CLS]` of the later ones.
        truncated: Whether the text was longer than what is read of it.
    """

    ids: Ids
    truncated: bool

    @property
    def is_empty(self) -> bool:
        """Whether the text has no token besides `[CLS]`."""
        return not len(without_mark(self.ids))


@dataclass(frozen=True, slots=True)
class EncodedWithOffsets:
    """One text as ids, and the characters that they stand for.

    Attributes:
        encoded: The ids, as from `Encoder.encode`.
        spans: The parts of the text that were read, ascending; the pieces of a word are one. Their
            `tokens` are indices in `encoded.ids`; `[CLS]`, at index 0, is in none.
        boundary: Number of spans before the tokens that truncation left out; all spans if it left
            out none.
    """

    encoded: Encoded
    spans: tuple[Span, ...]
    boundary: int


@dataclass(frozen=True, slots=True)
class Batch:
    """The texts of a batch, padded on the right to the longest.

    Attributes:
        inputs: int64, shape `(texts, tokens)`, `PAD_ID` as padding; of sequences of numbers
            float32, shape `(sequences, steps, features)`.
        attention_mask: int64, shape `(texts, tokens)`, 1 for tokens and 0 for padding.
    """

    inputs: Ids
    attention_mask: NDArray[np.int64]

    @property
    def by_name(self) -> dict[str, Ids]:
        """The inputs of a network by their names."""
        name = INPUT_IDS if self.inputs.ndim == 2 else INPUT_VALUES
        return {name: self.inputs, ATTENTION_MASK: self.attention_mask}


@dataclass(frozen=True, slots=True)
class Ragged:
    """The ids of many texts, one after another in one array.

    Attributes:
        ids: The ids of all texts, see `Ids`; each text begins with `[CLS]`.
        lengths: Number of ids of each text, int64, shape `(texts,)`.
        truncated: Whether a text was longer than what is read of it, bool, shape `(texts,)`.
    """

    ids: Ids
    lengths: NDArray[np.int64]
    truncated: NDArray[np.bool_]

    @classmethod
    def of(cls, texts: Sequence[Encoded]) -> "Ragged":
        """Concatenate texts."""
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
        """Whether a text has no token, bool, shape `(texts,)`; see `Encoded.is_empty`."""
        return self.lengths <= (self.ids.ndim == 1)

    @property
    def starts(self) -> NDArray[np.int64]:
        """Index in `ids` at which each text begins, int64, shape `(texts,)`."""
        starts: NDArray[np.int64] = self.lengths.cumsum() - self.lengths
        return starts

    def only(self, kept: NDArray[np.bool_]) -> "Ragged":
        """The texts for which `kept`, bool, shape `(texts,)`, is true."""
        ids = self.ids[np.repeat(kept, self.lengths)]
        return Ragged(ids, self.lengths[kept], self.truncated[kept])

    def windows(self, max_length: int) -> "Ragged":
        """The windows of every text, one after another: `num_windows` of like length of a text.

        >>> text = Ragged(np.array([2, 7, 8, 9]), np.array([4]), np.array([False]))
        >>> text.windows(3).batch(np.array([0, 1]), np.array([0, 3])).inputs.tolist()
        [[2, 7, 8], [2, 9, 0]]

        Args:
            max_length: Ids of a window, `[CLS]` included.
        """
        if not len(self) or self.lengths.max() <= max_length:
            return self
        counts = num_windows(self.lengths, max_length)
        lengths = window_lengths(self.lengths, counts)
        inner = np.ones(lengths.sum(), dtype=np.bool_)
        inner[lengths.cumsum() - lengths] = False
        ids = np.full(len(inner), CLS_ID)
        ids[inner] = np.delete(self.ids, self.starts)
        return Ragged(ids, lengths, np.repeat(self.truncated, counts))

    def batch(self, rows: NDArray[np.int64], starts: NDArray[np.int64]) -> Batch:
        """A batch of some of the texts, at least one, padded on the right.

        >>> texts = Ragged(np.array([2, 7, 2, 5, 6]), np.array([2, 3]), np.array([False, False]))
        >>> texts.batch(np.array([1, 0]), texts.starts).inputs.tolist()
        [[2, 5, 6], [2, 7, 0]]

        Args:
            rows: Indices of the texts.
            starts: `Ragged.starts`, computed once for many batches.
        """
        lengths = self.lengths[rows, None]
        steps = np.arange(lengths.max())
        filled = steps < lengths
        # Indices past the last text are clipped; `filled` masks what they point to.
        ids = self.ids.take(starts[rows, None] + steps, axis=0, mode="clip")
        ids[~filled] = PAD_ID
        return Batch(ids, filled.astype(np.int64))


def length_batches(
    lengths: NDArray[np.int64], max_texts: int, max_tokens: int
) -> Iterator[NDArray[np.int64]]:
    """Batches of row indices, sorted by length, within limits on texts and padded tokens.

    A text that is longer than the limit is a batch of its own.
    """
    order = np.argsort(lengths, kind="stable")
    ascending = lengths[order].tolist()
    start = 0
    while start < len(ascending):
        stop = min(start + max_texts, len(ascending))
        # The last text is the longest and sets the width of the batch.
        while stop - start > 1 and (stop - start) * ascending[stop - 1] > max_tokens:
            stop -= 1
        yield order[start:stop]
        start = stop


class Encoder:
    """Encodes texts with a tokenizer.

    Args:
        tokenizer: The tokenizer.
        max_length: Ids of a window at most, `[CLS]` included.
        keep: Which tokens of a longer text are read.
        windows: Windows that are read of a text at most.
    """

    def __init__(
        self, tokenizer: Tokenizer, max_length: int, keep: Keep = "head", windows: int = 1
    ) -> None:
        self._tokenizer = tokenizer
        self.max_ids = ids_of_windows(windows, max_length)
        self.keep = keep

    @cached_property
    def _inside_words(self) -> NDArray[np.bool_]:
        return inside_words(self._tokenizer)

    @cached_property
    def _character_ids(self) -> CharacterIds | None:
        return CharacterIds.of(self._tokenizer)

    @cached_property
    def _known_words(self) -> KnownWords | None:
        return KnownWords.of(self._tokenizer)

    @cached_property
    def _limit(self) -> TextLimit:
        return TextLimit(self.max_ids, self.keep, unit_of(self._tokenizer))

    def cut(self, text: str) -> str:
        """A part of a text with the same encoding, so that the rest need not be kept."""
        return text if len(text) <= text_limit.MIN_CHARACTERS else self._limit.cut(text)

    def _cut_far(self, text: str) -> str:
        # Looking words up takes less time than cutting a text, unless it is very long.
        return text if len(text) <= _MAX_UNCUT else self.cut(text)

    def encode(self, texts: Sequence[str]) -> list[Encoded]:
        """The ids of each text, in order."""
        encoded = []
        # Of several texts the tokenizer is slower than a look-up, but lets other threads run.
        words = self._known_words if len(texts) == 1 else None
        for ids in [words.encode(self._cut_far(texts[0]))] if words else self._all_ids(texts):
            truncated = len(ids) > self.max_ids
            kept = truncate(ids, self.max_ids, self.keep) if truncated else ids
            encoded.append(Encoded(np.array(kept, dtype=np.int64), truncated))
        return encoded

    def encode_together(self, texts: Sequence[str]) -> Ragged:
        """The ids of many texts in one array: the same as from `encode`, in less time."""
        if not texts:
            return Ragged.of([])
        if words := self._known_words:
            return self._truncated_together(*words.encode_together([*map(self._cut_far, texts)]))
        if (characters := self._character_ids) and (
            encoded := characters.encode(list(map(self.cut, texts)))
        ):
            return self._truncated_together(*encoded)
        each = self._all_ids(texts)
        lengths = np.fromiter(map(len, each), dtype=np.int64, count=len(each))
        ids = np.fromiter(chain.from_iterable(each), dtype=np.int64, count=int(lengths.sum()))
        return self._truncated_together(ids, lengths)

    def _truncated_together(self, ids: NDArray[np.int64], lengths: NDArray[np.int64]) -> Ragged:
        """Texts, given by their ids in one array and the number of ids of each, truncated."""
        truncated = lengths > self.max_ids
        if truncated.any():
            last = last_kept(self.max_ids, self.keep)
            places = np.arange(len(ids)) - np.repeat(lengths.cumsum() - lengths, lengths)
            left = np.where(truncated, lengths - last, 0).repeat(lengths)
            ids = ids[(places < self.max_ids - last) | (places >= left)]
            lengths = np.minimum(lengths, self.max_ids)
        return Ragged(ids, lengths, truncated)

    def _all_ids(self, texts: Sequence[str]) -> list[list[int]]:
        """The ids of each text, not truncated; of a long text, those of the part that can be read.

        The tokenizer's own truncation is not used: it builds an object for every part it cuts off,
        and drops ids that JavaScript runtimes keep.
        """
        encodings = self._tokenizer.encode_batch_fast(list(map(self.cut, texts)))
        return [encoding.ids for encoding in encodings]

    def locate(self, texts: Sequence[str]) -> list[EncodedWithOffsets]:
        """The ids of each text with their character offsets; slower than `encode`."""
        located = []
        texts = [self._beginning(text) for text in texts]
        for text, encoding in zip(texts, self._tokenizer.encode_batch(texts), strict=True):
            ids = encoding.ids
            kept: Sequence[int] = range(len(ids))
            truncated = len(ids) > self.max_ids
            if truncated:
                kept = truncate(kept, self.max_ids, self.keep)
            encoded = Encoded(np.array(ids, dtype=np.int64)[kept], truncated)
            # [CLS] has no characters in the text.
            tokens = token_offsets(text, encoding.offsets[1:])
            words = _joined_pieces(tokens, self._inside_words[ids[1:]])
            spans = tuple(_kept_spans(words, kept))
            gap = next((new for new, old in enumerate(kept) if new != old), len(kept))
            boundary = sum(span.tokens.start < gap for span in spans)
            located.append(EncodedWithOffsets(encoded, spans, boundary))
        return located

    def _beginning(self, text: str) -> str:
        """The part of a text that is read, if it is one at the beginning; else the text."""
        cut = self.cut(text)
        return cut if text.startswith(cut) else text


def _joined_pieces(spans: Sequence[Span], is_inside: NDArray[np.bool_]) -> list[Span]:
    """The spans with the pieces of a word as one.

    Args:
        spans: Spans of tokens.
        is_inside: Whether each token goes on the word before it, `(tokens,)`.
    """
    joined: list[Span] = []
    for span in spans:
        if joined and is_inside[span.tokens.start]:
            first = joined[-1]
            tokens = range(first.tokens.start, span.tokens.stop)
            joined[-1] = Span(first.start, span.end, tokens)
        else:
            joined.append(span)
    return joined


def _kept_spans(spans: Sequence[Span], kept: Sequence[int]) -> Iterator[Span]:
    """The spans with a token that is kept.

    Spans have indices among all tokens, `[CLS]` not counted; `kept` are the ids' indices, with it.
    """
    new_indices = {old - 1: new for new, old in enumerate(kept)}
    for span in spans:
        left = [new_indices[token] for token in span.tokens if token in new_indices]
        if left:
            yield replace(span, tokens=range(left[0], left[-1] + 1))


def ids_of_windows(windows: int, max_length: int) -> int:
    """Ids of a text that has so many full windows; it has `[CLS]` once, each window its own.

    >>> ids_of_windows(2, 512)
    1023
    """
    return windows * (max_length - 1) + 1


def num_windows(lengths: NDArray[np.int64], max_length: int) -> NDArray[np.int64]:
    """The number of windows of each text.

    >>> num_windows(np.array([1, 3, 4]), 3).tolist()
    [1, 1, 2]

    Args:
        lengths: Ids of each text, `[CLS]` included.
        max_length: Ids of a window, `[CLS]` included.
    """
    counts: NDArray[np.int64] = np.maximum(-(-(lengths - 1) // (max_length - 1)), 1)
    return counts


def window_lengths(lengths: NDArray[np.int64], counts: NDArray[np.int64]) -> NDArray[np.int64]:
    """The ids of each window: the tokens of a text are spread evenly over its windows.

    >>> window_lengths(np.array([6, 2]), np.array([2, 1])).tolist()
    [4, 3, 2]

    Args:
        lengths: Ids of each text, `[CLS]` included.
        counts: Windows of each text.

    Returns:
        int64, shape `(windows,)`: of the first text, of the second, and so on.
    """
    tokens = np.repeat((lengths - 1) // counts, counts)
    numbers = np.arange(counts.sum()) - np.repeat(counts.cumsum() - counts, counts)
    return 1 + tokens + (numbers < np.repeat((lengths - 1) % counts, counts))


def last_kept(max_length: int, keep: Keep) -> int:
    """How many of the last ids of a text that has more than `max_length` are kept."""
    return {"head": 0, "tail": max_length - 1, "both": (max_length - 1) // 2}[keep]


def truncate(ids: Sequence[int], max_length: int, keep: Keep) -> list[int]:
    """The first `[CLS]` and the ids that are kept of a text that has more than `max_length`.

    >>> truncate([2, 11, 12, 13, 14, 15], 4, "both")
    [2, 11, 12, 15]
    """
    last = last_kept(max_length, keep)
    return [*ids[: max_length - last], *ids[len(ids) - last :]]


def pad(ids: Sequence[Ids]) -> Batch:
    """A batch of texts of different lengths.

    >>> pad([np.array([2, 7]), np.array([2, 5, 6])]).inputs.tolist()
    [[2, 7, 0], [2, 5, 6]]

    Args:
        ids: The ids of each text; at least one text.
    """
    if len(ids) == 1:
        return Batch(ids[0][None], np.ones((1, len(ids[0])), dtype=np.int64))
    lengths = np.fromiter(map(len, ids), dtype=np.int64, count=len(ids))
    filled = np.arange(lengths.max()) < lengths[:, None]
    inputs = np.full((*filled.shape, *ids[0].shape[1:]), PAD_ID, dtype=ids[0].dtype)
    inputs[filled] = np.concatenate(ids)
    return Batch(inputs, filled.astype(np.int64))
