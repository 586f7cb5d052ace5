"""The settings of the section `corpus`: where the rows come from and what they hold."""

from typing import Annotated, Literal

from gatewise.training.config.section import Section
from gatewise.vocab.corpus.columns import Columns, Task
from pydantic import Field

Duplicates = Literal["report", "remove", "ignore"]


class CorpusConfig(Section):
    """Where the rows come from."""

    text_column: str = Field("text", description="Column that holds the text.")
    label_column: str | None = Field(
        None,
        description="Column that holds the label, or the labels. By default `label` if there is "
        "one, else `labels`.",
    )
    task: Task | Literal["auto"] = Field(
        "auto",
        description="Whether a text has one label or any number of them; by default several if "
        "the label column is called `labels`.",
    )
    probability_prefix: Annotated[str, Field(min_length=1)] | None = Field(
        None,
        description="Soft labels: every column whose name begins so holds the probability of the "
        "label that the rest of its name tells, as a larger model gave it. The label column is "
        "then not read from a corpus that has such columns.",
    )
    validation_share: Annotated[float, Field(gt=0, lt=1)] = Field(
        0.1,
        description="Share of each label's rows set aside for validation when no validation "
        "corpus is given.",
    )
    duplicates: Duplicates = Field(
        "report",
        description="What happens to texts that are the same, or nearly so, as others: they are "
        "told, or also removed (from training if validation or test has them too, from "
        "validation if test has them, and all but the first within training), or not looked for.",
    )
    similarity: Annotated[float, Field(gt=0, le=1)] = Field(
        0.8,
        description="Share of all their runs of words that two texts must have in common to be "
        "near-duplicates (Jaccard similarity, estimated); 1 looks for exact copies alone.",
    )

    def columns(self) -> Columns:
        """What these settings tell of a corpus's columns."""
        return Columns(self.text_column, self.label_column, self.task, self.probability_prefix)
