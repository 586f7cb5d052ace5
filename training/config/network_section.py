"""The section `network`: its layers and their regularization."""

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import Field, model_validator

from gatewise.training.config.section import Section
from gatewise.vocab.tokenizer.tokenizer import Unit

Cell = Literal["gru", "lstm", "rnn"]
Direction = Literal["bidirectional", "forward", "backward"]
Readout = Literal["last", "max", "mean", "max_mean", "attention"]
Input = Literal["embedding", "one_hot"]
Size = Literal["small", "default", "large"]

SIZES: Mapping[str, Mapping[str, int]] = {
    "small": {"units": 24, "embedding_size": 32},
    "large": {"units": 128, "embedding_size": 128},
}
"""The settings that a size stands for, unless they are set; `default` stands for the defaults."""

SIZED = ("units", "embedding_size")
"""The settings that a size stands for; each takes `auto` too, the same as leaving it out."""

_MIN_BUCKETS, _MAX_BUCKETS = 10_000, 200_000
_MAX_NUMBERS = 1_000_000
"""Weights of the n-grams of one length, at most, unless there are few buckets."""

_MAX_WIDTH, _MAX_SOLVED_WIDTH = 64, 128
"""Weights of an n-gram if there are many classes: trained by descent, or found by a solver."""

_Share = Annotated[float, Field(ge=0, lt=1)]


def with_size(network: Mapping[str, Any]) -> dict[str, Any]:
    """The settings of the section as they are given, and those that their size stands for."""
    given = {k: v for k, v in network.items() if k not in SIZED or v != "auto"}
    return {**SIZES.get(str(given.get("size")), {}), **given}


class NetworkConfig(Section):
    """The shape of the network."""

    size: Size = Field(
        "default",
        description="What `units` and `embedding_size` are unless they are set, or are `auto`: 24 "
        "and 32 (`small`), 64 and 64 (`default`), or 128 and 128 (`large`).",
    )
    cell: Cell = Field("lstm", description="The recurrent cell.")
    direction: Direction = Field(
        "bidirectional",
        description="Direction of the recurrent layers; both directions are concatenated.",
    )
    layers: Annotated[int, Field(ge=1, le=8)] = Field(
        1, description="Number of stacked recurrent layers."
    )
    units: Annotated[int, Field(ge=1, le=4096)] = Field(
        64, description="Units of each recurrent layer, in each direction."
    )
    input: Input = Field(
        "embedding",
        description="Representation of a token: a trained embedding, or a one-hot vector, with "
        "a row for each token in the first recurrent layer's kernel.",
    )
    embedding_size: Annotated[int, Field(ge=1, le=4096)] = Field(
        64, description="Width of the embedding."
    )
    vectors: Path | None = Field(
        None,
        description="Pretrained vectors that initialize the embedding: a text file in the format "
        "of GloVe and fastText (`.vec` or `.txt`, plain or `.gz`), or a folder with a sentence "
        "encoder in ONNX and its `tokenizer.json`, whose mean state over the training texts is the "
        "vector of a token. Vectors wider than `embedding_size` are reduced to it by principal "
        "component analysis.",
    )
    train_vectors: bool | Literal["auto"] = Field(
        "auto",
        description="Whether pretrained vectors are trained; by default those of a file are, and "
        "those of an encoder are not.",
    )
    readout: Readout = Field(
        "max_mean",
        description="Pooling of the states: the last one, their maximum, their mean, maximum and "
        "mean, or their mean weighted by trained attention.",
    )
    reset_after: bool = Field(
        True,
        description="GRU only: apply the reset gate after the recurrent product (as cuDNN does) "
        "or before it.",
    )
    ngrams: tuple[Annotated[int, Field(ge=1, le=8)], ...] | Literal["auto"] = Field(
        "auto",
        description="Lengths of the n-grams in the linear path parallel to the recurrent layers; "
        "an empty list leaves the path out. By default 1 and 2, and also 3 and 4 if tokens are "
        "characters; of few texts with at least four words in the mean, read as characters, "
        "1, 3, 5 and 6.",
    )
    buckets: Annotated[int, Field(ge=2, le=10_000_000)] | Literal["auto"] = Field(
        "auto",
        description="Hash buckets of each n-gram length above one; by default about as many as the "
        "training texts have tokens, from 10,000 to 200,000, and fewer if there are many "
        "classes.",
    )
    ngram_width: Annotated[int, Field(ge=1, le=4096)] | Literal["auto"] = Field(
        "auto",
        description="Width of an n-gram's vector, which is projected to the classes; by default a "
        "weight for each class, and 64 if there are more classes than that, or 128 if "
        "`training.linear_path` is `solved`.",
    )
    spelling: tuple[Annotated[int, Field(ge=2, le=8)], ...] | Literal["auto"] = Field(
        "auto",
        description="Lengths of the character n-grams that words share: a word's vector and "
        "weights are the sum of its own and those of the character n-grams in it, computed when "
        "the network is exported. An empty list leaves them out. By default 3 and 4 if tokens are "
        "words.",
    )
    dropout: _Share = Field(
        0.5,
        description="Share of the pooled state set to zero at each training step; of sequences of "
        "numbers 0.1 unless it is set.",
    )
    word_dropout: _Share = Field(
        0.1, description="Share of tokens replaced by the unknown token at each training step."
    )
    embedding_dropout: _Share = Field(
        0.0,
        description="Share of the dictionary whose vectors are set to zero at each training step, "
        "wherever they occur in the batch; with a one-hot input, their rows of the kernel.",
    )
    input_dropout: _Share = Field(
        0.3,
        description="Share of each recurrent layer's inputs set to zero, the same ones at every "
        "step of a text (variational dropout); with a one-hot input, a share of the dictionary "
        "for each text. The numbers of a sequence are never dropped.",
    )
    recurrent_dropout: _Share = Field(
        0.0,
        description="Share of each state set to zero before the next step, the same ones at every "
        "step of a text.",
    )
    weight_drop: _Share = Field(
        0.0,
        description="Share of the recurrent kernel's weights set to zero at each training step.",
    )

    @model_validator(mode="after")
    def _makes_sense(self) -> Self:
        if self.input == "one_hot" and self.vectors:
            raise ValueError(
                "network.vectors initialize an embedding, and with network.input = one_hot "
                "there is none: leave one of the two out"
            )
        if self.train_vectors is False and not self.vectors:
            raise ValueError(
                "network.train_vectors = false keeps pretrained vectors unchanged, and there are "
                "none: name their file in network.vectors, or leave the setting out"
            )
        if not self.reset_after and self.cell != "gru":
            raise ValueError(
                "network.reset_after = false is about the reset gate, which only a GRU has: leave "
                f"it out, or set network.cell = gru instead of {self.cell}"
            )
        return self

    @property
    def trains_vectors(self) -> bool:
        """Whether the embedding is trained."""
        return self.train_vectors is not False

    def ngram_lengths(self, unit: Unit | Literal["vector", "auto"]) -> tuple[int, ...]:
        """The n-gram lengths, in ascending order, for a unit of tokens."""
        if unit == "vector":
            return ()
        if self.ngrams == "auto":
            return (1, 2, 3, 4) if unit == "character" else (1, 2)
        return tuple(sorted(set(self.ngrams)))

    def spelling_lengths(self, unit: Unit | Literal["vector", "auto"]) -> tuple[int, ...]:
        """The lengths of character n-grams, in ascending order, for a unit of tokens."""
        if self.spelling == "auto":
            return (3, 4) if unit == "word" and self.input == "embedding" else ()
        return tuple(sorted(set(self.spelling)))

    def ngram_buckets(self, tokens: int, width: int) -> int:
        """The number of hash buckets.

        Args:
            tokens: Tokens in the training texts.
            width: Width of an n-gram's vector.
        """
        if self.buckets != "auto":
            return self.buckets
        limit = min(_MAX_BUCKETS, max(_MIN_BUCKETS, _MAX_NUMBERS // width))
        return min(max(tokens, _MIN_BUCKETS), limit)

    def width_of_ngrams(self, classes: int, *, solved: bool = False) -> int:
        """The width of an n-gram's vector.

        Args:
            classes: Number of classes.
            solved: Whether the linear path is solved: what it keeps of many classes follows from
                the solution, and is not trained.
        """
        if self.ngram_width != "auto":
            return self.ngram_width
        return min(classes, _MAX_SOLVED_WIDTH if solved else _MAX_WIDTH)
