"""What a model reads: texts, as token ids, or sequences of numbers, as they are.

The two kinds of input part here, in the reading of corpora, in the network's first layer, and in
the body of a request; everything else takes what `Encoded` holds.
"""

from collections.abc import Callable, Iterable, Sequence
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from gatewise.service.model.model_folder import Artifact
from gatewise.service.model.texts import checked_texts
from gatewise.vocab.corpus.columns import SEQUENCE, TEXT, Input
from gatewise.vocab.corpus.sequences import Numbers, as_numbers, as_sequences, as_steps
from gatewise.vocab.errors import SequenceError, TextsError
from gatewise.vocab.tokenizer.coverage import Coverage, CoverageCounter
from gatewise.vocab.tokenizer.encoding import Encoded, EncodedWithOffsets, Encoder, Ids, Ragged
from gatewise.vocab.tokenizer.incremental_tokenizer import IncrementalTokenizer, TokenDelta
from gatewise.vocab.tokenizer.sequence_encoding import (
    IncrementalSequence,
    MissingCounter,
    SequenceEncoder,
)
from gatewise.vocab.tokenizer.tokenizer import CLS_ID

Item = str | Numbers
"""A text; or a sequence of numbers, as an array or as JSON."""


class IncrementalInput(Protocol):
    """An input that arrives in pieces."""

    def add(self, piece: Any = ..., /) -> TokenDelta[Any]:
        """The tokens or steps that a piece adds; without one, those that are still open."""


class InputCounter(Protocol):
    """Counts what a model knows of its inputs: words of the dictionary, numbers that are there."""

    has_pieces: bool

    def count(self, texts: Sequence[Ids], /) -> Coverage:
        """The tokens or numbers of some inputs, and how many of them are known."""

    def count_unknown(self, texts: Sequence[Ids], /) -> int:
        """How many are not."""


class InputEncoding(Protocol):
    """The encoding of one kind of input."""

    input: Input
    unit: str  # what an input consists of, for messages
    features: int  # numbers of a step; 0 of texts
    begin: Sequence[int]  # the tokens before every input

    def column_of(self, name: str) -> str:
        """The column of a file that holds the inputs, by the name that a caller gives."""

    def checked(self, items: Iterable[object], *, may_be_missing: bool = False) -> list[Item]:
        """The inputs that a Python caller hands in; an empty one for a missing one."""

    def parsed(self, text: str, name: str) -> Item:
        """The input that a line holds; an error has its name."""

    def cut(self, item: str, /) -> str:
        """A part of an input with the same encoding."""

    def encode(self, items: Sequence[Any], /) -> list[Encoded]:
        """Each input for the network."""

    def encode_together(self, items: Sequence[Any], /) -> Ragged:
        """Many inputs for the network, in one array."""

    def locate(self, texts: Sequence[str]) -> list[EncodedWithOffsets]:
        """The ids of texts with their character offsets."""

    def counter(self) -> InputCounter:
        """Counts what the model knows of its inputs."""

    def probe(self) -> list[Ids]:
        """Two inputs of different lengths that show whether a network works."""

    def samples(self) -> list[Item]:
        """Three inputs, short to long, by which a model is warmed up."""

    def incremental(self) -> Callable[[], IncrementalInput]:
        """What makes inputs that arrive in pieces.

        Raises:
            TokenizerError: The first tokens of a text may depend on its end.
        """

    def piece(self, value: object) -> Item:
        """The next piece of such an input, as a caller hands it in.

        Raises:
            TextsError: It is no text.
            SequenceError: It is no step, nor a list of steps, or one of another width.
        """


class TextEncoding(Encoder):
    """Texts as token ids."""

    input: Input = "text"
    unit = "token"
    features = 0
    begin: Sequence[int] = (CLS_ID,)

    def __init__(self, loaded: Artifact) -> None:
        tokens = loaded.config.gatewise.tokens
        super().__init__(loaded.tokenizer, tokens.max_length, tokens.keep, tokens.windows)
        self._loaded = loaded

    def column_of(self, name: str) -> str:
        """The named one."""
        return name

    def checked(self, items: Iterable[object], *, may_be_missing: bool = False) -> list[Item]:
        """The texts as a list; see `checked_texts`."""
        return [*checked_texts(items, missing="" if may_be_missing else None)]

    def parsed(self, text: str, name: str) -> Item:
        """The line itself."""
        del name
        return text

    def counter(self) -> InputCounter:
        """Counts known words, and those in pieces."""
        return CoverageCounter(self._loaded.tokenizer)

    def probe(self) -> list[Ids]:
        """Has the largest token id."""
        ids = np.array([CLS_ID, self._loaded.config.vocab_size - 1])
        return [ids, ids[:1]]

    def samples(self) -> list[Item]:
        """Texts of some words."""
        return ["a", "a b c d e f g", "a b c d e f g " * 8]

    def incremental(self) -> Callable[[], IncrementalInput]:
        """Texts whose last tokens may change; the tokenizer is made once."""
        return IncrementalTokenizer(self._loaded.tokenizer).text

    def piece(self, value: object) -> Item:
        """The next characters."""
        if not isinstance(value, str):
            raise TextsError(
                f"expected the next characters of a text, received a value of type "
                f"{type(value).__name__}"
            )
        return value


class SequenceEncoding(SequenceEncoder):
    """Sequences of numbers as they are."""

    input: Input = "sequence"
    unit = "step"
    begin: Sequence[int] = ()

    def __init__(self, loaded: Artifact) -> None:
        tokens = loaded.config.gatewise.tokens
        super().__init__(tokens.features, tokens.max_length, tokens.keep)
        self._loaded = loaded

    def column_of(self, name: str) -> str:
        """`sequence`, unless another than the default is named."""
        return SEQUENCE if name == TEXT else name

    def checked(self, items: Iterable[object], *, may_be_missing: bool = False) -> list[Item]:
        """The sequences as arrays; see `as_sequences`."""
        return [*as_sequences(items, self.features, may_be_missing=may_be_missing)]

    def parsed(self, text: str, name: str) -> Item:
        """The sequence that a line holds as JSON."""
        try:
            return as_numbers(text, self.features)
        except SequenceError as error:
            raise SequenceError(f"{name}: {error}") from None

    def locate(self, texts: Sequence[str]) -> list[EncodedWithOffsets]:
        """Refused: numbers have no characters."""
        del texts
        self._loaded.require_texts()
        return []

    def counter(self) -> InputCounter:
        """Counts missing numbers."""
        return MissingCounter()

    def probe(self) -> list[Ids]:
        """Has a missing number."""
        numbers: NDArray[np.float32] = np.full((2, self.features), np.nan, dtype=np.float32)
        return [numbers, np.zeros_like(numbers[:1])]

    def samples(self) -> list[Item]:
        """Zeros."""
        return [np.zeros((steps, self.features), dtype=np.float32) for steps in (1, 8, 64)]

    def incremental(self) -> Callable[[], IncrementalInput]:
        """Sequences, no step of which changes."""
        return IncrementalSequence

    def piece(self, value: object) -> Item:
        """The next steps; see `as_steps`."""
        return as_steps(value, self.features)


def encoding_of(loaded: Artifact) -> InputEncoding:
    """The encoding of a model's inputs."""
    if loaded.config.gatewise.tokens.features:
        return SequenceEncoding(loaded)
    return TextEncoding(loaded)
