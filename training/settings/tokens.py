"""The settings of the section `tokens`: how text is cut into tokens."""

from typing import Annotated, Any

from pydantic import Field

from training.settings.section import Section
from vocab.dictionary import Unit


class TokensConfig(Section):
    """How text is cut into tokens."""

    unit: Unit = Field("word", description="What a token is: a word, a piece of one, a character.")
    vocab_size: Annotated[int, Field(ge=10, le=1_000_000)] = Field(
        20_000, description="Most tokens in the dictionary; the most frequent are kept."
    )
    min_frequency: Annotated[int, Field(ge=1)] = Field(
        1,
        description="Tokens seen fewer times in training are left out of the dictionary; a "
        "subword dictionary keeps every single character all the same.",
    )
    max_length: Annotated[int, Field(ge=2, le=100_000)] = Field(
        512, description="Most tokens read of a text, the begin mark included; the tail is cut."
    )
    lowercase: bool = Field(True, description="Whether upper and lower case are one.")

    def dictionary_options(self) -> dict[str, Any]:
        """The settings as the keywords of `vocab.dictionary.train`."""
        return self.model_dump(exclude={"max_length"})
