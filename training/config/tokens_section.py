"""The section `tokens`: how text is tokenized."""

from typing import Annotated, Any, Literal, Self

from pydantic import Field, model_validator
from tokenizers import Tokenizer

from gatewise.training.config.section import Section
from gatewise.vocab.tokenizer.encoding import MAX_WINDOWS, Encoder, ids_of_windows
from gatewise.vocab.tokenizer.text_limit import Keep, TextLimit
from gatewise.vocab.tokenizer.tokenizer import Accents, Normalization, Unit


class TokensConfig(Section):
    """How text is tokenized."""

    unit: Unit | Literal["vector", "auto"] = Field(
        "auto",
        description="What a token is: a word, a subword, a character, or a frequent n-gram of "
        "words; of a sequence of numbers the vector of a step. By default words; characters if "
        "texts are short and their script has no spaces, or more than 13% of the words in the "
        "validation texts are not among the 20,000 most frequent words of the training texts.",
    )
    ngram: Annotated[int, Field(ge=2, le=5)] = Field(
        2, description="N-grams only: words of a token, at most."
    )
    vocab_size: Annotated[int, Field(ge=10, le=1_000_000)] = Field(
        20_000, description="Tokens in the dictionary, at most; the most frequent are kept."
    )
    pieces: Annotated[int, Field(ge=0, le=100_000)] | Literal["auto"] = Field(
        "auto",
        description="Words only: tokens of the dictionary, at most, that are pieces of words, from "
        "which a word that it lacks is read; with 0 such a word is unknown. By default a tenth of "
        "`tokens.vocab_size` with few rows, else 0.",
    )
    min_frequency: Annotated[int, Field(ge=1)] = Field(
        1,
        description="Tokens with fewer occurrences in the training texts are left out.",
    )
    max_length: Annotated[int, Field(ge=2, le=100_000)] = Field(
        512,
        description="Tokens read of a text, at most, the begin mark included; or steps of a "
        "sequence of numbers.",
    )
    keep: Keep = Field(
        "head",
        description="Which tokens of a longer text, or steps of a sequence, are read: the first, "
        "the last, or half of each.",
    )
    windows: Annotated[int, Field(ge=1, le=MAX_WINDOWS)] = Field(
        1,
        description="Windows of at most `max_length` tokens that are read of a text, at most: each "
        "is classified by itself, and their logits are averaged.",
    )
    lowercase: bool = Field(True, description="Whether texts are lowercased.")
    accents: Accents = Field(
        "keep",
        description="Whether accents on Latin, Greek and Cyrillic letters are kept; with `strip`, "
        "é becomes e.",
    )
    normalization: Normalization = Field(
        "none", description="Unicode normalization form that is applied first."
    )

    @model_validator(mode="after")
    def _of_the_unit(self) -> Self:
        if self.unit != "ngram" and self.ngram != type(self).model_fields["ngram"].default:
            raise ValueError(
                f"tokens.ngram={self.ngram} requires tokens.unit=ngram, received "
                f"tokens.unit={self.unit}"
            )
        if isinstance(self.pieces, str) or not self.pieces:
            return self
        if self.unit not in ("word", "auto"):
            raise ValueError(
                f"tokens.pieces={self.pieces} requires tokens.unit=word, received "
                f"tokens.unit={self.unit}"
            )
        if self.pieces > self.vocab_size // 2:
            raise ValueError(
                f"tokens.pieces={self.pieces}: expected at most half of "
                f"tokens.vocab_size={self.vocab_size}"
            )
        return self

    def text_limit(self) -> TextLimit:
        """Cuts a text to what can be read of it."""
        if self.unit == "vector":
            raise ValueError("expected a unit of texts, received that of sequences of numbers")
        return TextLimit(ids_of_windows(self.windows, self.max_length), self.keep, self.unit)

    def encoder(self, tokenizer: Tokenizer) -> Encoder:
        """Encodes texts as far as they are read."""
        return Encoder(tokenizer, self.max_length, self.keep, self.windows)

    def dictionary_options(self) -> dict[str, Any]:
        """The settings as keywords of `train_tokenizer`.

        The unit `auto` becomes `word`, and `auto` pieces none.
        """
        unit = "word" if self.unit == "auto" else self.unit
        pieces = 0 if self.pieces == "auto" or unit != "word" else self.pieces
        options = self.model_dump(exclude={"max_length", "keep", "windows"})
        return {**options, "unit": unit, "pieces": pieces}
