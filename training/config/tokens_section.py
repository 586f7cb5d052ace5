"""The settings of the section `tokens`: how text is cut into tokens."""

from typing import Annotated, Any, Literal, Self

from gatewise.training.config.section import Section
from gatewise.vocab.tokenizer.encoding import Keep
from gatewise.vocab.tokenizer.tokenizer import Accents, Normalization, Unit
from pydantic import Field, model_validator


class TokensConfig(Section):
    """How text is cut into tokens."""

    unit: Unit | Literal["auto"] = Field(
        "auto",
        description="What a token is: a word, a piece of one, a character, or a few words that "
        "often stand together. By default words; or characters, where texts are short and their "
        "script has no spaces, or more than 13 of 100 words of the validation texts are not among "
        "the 20,000 most frequent ones of the training texts.",
    )
    ngram: Annotated[int, Field(ge=2, le=5)] = Field(
        2, description="N-grams only: most words of a token."
    )
    vocab_size: Annotated[int, Field(ge=10, le=1_000_000)] = Field(
        20_000, description="Most tokens in the dictionary; the most frequent are kept."
    )
    min_frequency: Annotated[int, Field(ge=1)] = Field(
        1, description="Tokens seen fewer times in training are left out of the dictionary."
    )
    max_length: Annotated[int, Field(ge=2, le=100_000)] = Field(
        512, description="Most tokens read of a text, the begin mark included."
    )
    keep: Keep = Field(
        "head",
        description="What is read of a longer text: its first tokens, its last ones, or half of "
        "each.",
    )
    lowercase: bool = Field(True, description="Whether upper and lower case are one.")
    accents: Accents = Field(
        "keep",
        description="Whether the marks on Latin, Greek and Cyrillic letters count: with `strip`, "
        "é and e are one.",
    )
    normalization: Normalization = Field(
        "none", description="Unicode normalization form that a text is brought into first."
    )

    @model_validator(mode="after")
    def _of_the_unit(self) -> Self:
        if self.unit != "ngram" and self.ngram != type(self).model_fields["ngram"].default:
            raise ValueError(
                f"tokens.ngram={self.ngram} makes sense with tokens.unit=ngram only, received "
                f"tokens.unit={self.unit}"
            )
        return self

    def dictionary_options(self) -> dict[str, Any]:
        """The settings as the keywords of `train_tokenizer`; a unit left open is a word."""
        unit = "word" if self.unit == "auto" else self.unit
        return {**self.model_dump(exclude={"max_length", "keep"}), "unit": unit}
