"""The settings of the section `network`: its layers, and what keeps them from overfitting."""

from pathlib import Path
from typing import Annotated, Literal, Self

from gatewise.training.config.section import Section
from gatewise.vocab.tokenizer.tokenizer import Unit
from pydantic import Field, model_validator

Cell = Literal["gru", "lstm", "rnn"]
Direction = Literal["bidirectional", "forward", "backward"]
Readout = Literal["last", "max", "mean", "max_mean", "attention"]
Input = Literal["embedding", "one_hot"]

_FEWEST_BUCKETS, _MOST_BUCKETS = 10_000, 200_000
_MOST_NUMBERS = 1_000_000
"""Numbers that the n-grams of one length have at most, unless there are few buckets."""

_WIDTH = 64
"""Numbers of an n-gram where there are many classes."""

_Share = Annotated[float, Field(ge=0, lt=1)]


class NetworkConfig(Section):
    """The shape of the network."""

    cell: Cell = Field("lstm", description="The recurrent cell.")
    direction: Direction = Field(
        "bidirectional", description="Which way the text is read; both ways are concatenated."
    )
    layers: Annotated[int, Field(ge=1, le=8)] = Field(1, description="Recurrent layers stacked.")
    units: Annotated[int, Field(ge=1, le=4096)] = Field(
        64, description="Units of each recurrent layer, in each direction."
    )
    input: Input = Field(
        "embedding",
        description="What stands for a token: a vector that is learnt, or a one-hot vector, for "
        "which the first recurrent layer's kernel has a row for each token and no embedding is "
        "learnt.",
    )
    embedding_size: Annotated[int, Field(ge=1, le=4096)] = Field(
        64, description="Width of the vector that stands for a token."
    )
    vectors: Path | None = Field(
        None,
        description="Pretrained vectors that the embedding starts from: a text file as GloVe and "
        "fastText write it (`.vec` or `.txt`, plain or `.gz`), or a folder with a sentence "
        "encoder in ONNX and its `tokenizer.json`, which reads the training texts and gives "
        "every token of the dictionary the mean of its states there. Vectors wider than "
        "`embedding_size` are reduced to it by principal components.",
    )
    train_vectors: bool | Literal["auto"] = Field(
        "auto",
        description="Whether pretrained vectors are trained on, or left as they are; by default "
        "those of a file are trained on, and those of an encoder are not.",
    )
    readout: Readout = Field(
        "max_mean",
        description="What of the states goes on: the last one, the maximum, the mean or both over "
        "all steps, or their mean weighted by an attention that is learnt.",
    )
    reset_after: bool = Field(
        True,
        description="GRU only: apply the reset gate after the recurrent product (as cuDNN does) "
        "or before it.",
    )
    ngrams: tuple[Annotated[int, Field(ge=1, le=8)], ...] | Literal["auto"] = Field(
        "auto",
        description="Lengths of the n-grams in the linear path beside the recurrent layers; an "
        "empty list leaves the path out. By default 1 and 2, and 3 and 4 too when tokens are "
        "characters.",
    )
    buckets: Annotated[int, Field(ge=2, le=10_000_000)] | Literal["auto"] = Field(
        "auto",
        description="Hash buckets of each n-gram length above one; by default about as many as the "
        "training texts have tokens, from 10,000 to 200,000, and fewer where there are many "
        "classes.",
    )
    ngram_width: Annotated[int, Field(ge=1, le=4096)] | Literal["auto"] = Field(
        "auto",
        description="Numbers that each n-gram has, from which its weight for each class follows; "
        "by default a weight for each class, and 64 where there are more classes than that.",
    )
    spelling: tuple[Annotated[int, Field(ge=2, le=8)], ...] | Literal["auto"] = Field(
        "auto",
        description="Lengths of the character n-grams that words learn from each other by: a "
        "word's vector and weights are its own and those of the character n-grams in it, added up "
        "when the network is exported. An empty list leaves them out. By default 3 and 4 when "
        "tokens are words.",
    )
    dropout: _Share = Field(
        0.5, description="Share of the read-out set to zero at each training step."
    )
    word_dropout: _Share = Field(
        0.1, description="Share of tokens replaced by the unknown one at each training step."
    )
    embedding_dropout: _Share = Field(
        0.0,
        description="Share of the dictionary whose vectors are set to zero at each training step, "
        "wherever in the batch they stand; with a one-hot input, their rows of the kernel.",
    )
    input_dropout: _Share = Field(
        0.3,
        description="Share of each recurrent layer's inputs set to zero, the same ones at every "
        "step of a text (variational dropout); of a one-hot input, a share of the dictionary for "
        "each text.",
    )
    recurrent_dropout: _Share = Field(
        0.0,
        description="Share of each state set to zero on its way to the next step, the same ones "
        "at every step of a text.",
    )
    weight_drop: _Share = Field(
        0.0,
        description="Share of the recurrent kernel's weights set to zero at each training step.",
    )

    @model_validator(mode="after")
    def _makes_sense(self) -> Self:
        if self.input == "one_hot" and self.vectors:
            raise ValueError(
                "network.vectors start an embedding, and with network.input = one_hot there is "
                "none: leave one of the two out"
            )
        if self.train_vectors is False and not self.vectors:
            raise ValueError(
                "network.train_vectors = false keeps pretrained vectors as they are, and there are "
                "none: name their file in network.vectors, or leave it out"
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

    def ngram_lengths(self, unit: Unit | Literal["auto"]) -> tuple[int, ...]:
        """The n-gram lengths in use, in ascending order, once the unit is known."""
        if self.ngrams == "auto":
            return (1, 2, 3, 4) if unit == "character" else (1, 2)
        return tuple(sorted(set(self.ngrams)))

    def spelling_lengths(self, unit: Unit | Literal["auto"]) -> tuple[int, ...]:
        """The lengths of stretches of characters that count, in ascending order."""
        if self.spelling == "auto":
            return (3, 4) if unit == "word" and self.input == "embedding" else ()
        return tuple(sorted(set(self.spelling)))

    def ngram_buckets(self, tokens: int, width: int) -> int:
        """The number of buckets, once the corpus is known.

        Args:
            tokens: Tokens in the training texts.
            width: Numbers of each n-gram.
        """
        if self.buckets != "auto":
            return self.buckets
        most = min(_MOST_BUCKETS, max(_FEWEST_BUCKETS, _MOST_NUMBERS // width))
        return min(max(tokens, _FEWEST_BUCKETS), most)

    def width_of_ngrams(self, classes: int) -> int:
        """The numbers of each n-gram, once the classes are known."""
        return min(classes, _WIDTH) if self.ngram_width == "auto" else self.ngram_width
