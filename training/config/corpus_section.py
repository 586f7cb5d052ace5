"""The section `corpus`: how the rows are read."""

from typing import Annotated, Literal

from pydantic import Field

from gatewise.training.config.section import Section
from gatewise.vocab.corpus.columns import TEXT, Columns, Input, Task
from gatewise.vocab.corpus.read_options import Quoting, ReadOptions

Duplicates = Literal["report", "remove", "ignore"]
Check = Literal["stop", "warn", "ignore"]


class CorpusConfig(Section):
    """How the rows are read."""

    text_column: str = Field(
        TEXT,
        description="Column that holds the text, or the sequence of numbers. By default `text`, or "
        "`sequence` in a corpus without a column `text`.",
    )
    label_column: str | None = Field(
        None,
        description="Column that holds the label, the labels, the number to predict, or a list of "
        "several. By default `label` if there is one, else `labels`, else `value`, else `values`. "
        "Several columns of numbers are separated by commas, such as `price,age`.",
    )
    weight_column: str | None = Field(
        None,
        description="Column that holds the weight of each training row, a number that its loss is "
        "multiplied by: 0 leaves the row out, and only the ratios of weights matter. Validation "
        "and test rows count the same. Refused with a teacher. By default all rows weigh the same.",
    )
    delimiter: str | None = Field(
        None,
        description="Delimiter of CSV and TSV files: one character, or `tab`. By default it is "
        "found in the first rows of each file.",
    )
    quoting: Quoting | None = Field(
        None,
        description="Whether cells of CSV and TSV may stand in double quotes (`double`), or a "
        "quote is a character like others (`none`), as many tools write TSV. By default it is "
        "found in the first rows of each file.",
    )
    encoding: str | None = Field(
        None,
        description="Encoding of text files, such as `cp1252`. By default it is found in the first "
        "bytes of each file.",
    )
    sheet: str | None = Field(
        None, description="Sheet of Excel files. By default the first is read."
    )
    task: Task | Literal["auto"] = Field(
        "auto",
        description="Whether a text has one label, any number of them, or numbers to predict; by "
        "default several if the label column is called `labels`, and numbers if it is `value` or "
        "`values` and was not named by `corpus.label_column`, or if that names several columns.",
    )
    input: Input | Literal["auto"] = Field(
        "auto",
        description="Whether a row is a text or a sequence of numbers; by default a sequence if "
        "there is a column `sequence` and none `text`.",
    )
    probability_prefix: Annotated[str, Field(min_length=1)] | None = Field(
        None,
        description="Soft labels: every column whose name begins with this prefix holds the "
        "probability of the label in the rest of its name, such as from a larger model. The label "
        "column of a corpus with such columns is not read.",
    )
    validation_share: Annotated[float, Field(gt=0, lt=1)] = Field(
        0.1,
        description="Share of each label's rows held out for validation if there is no validation "
        "corpus.",
    )
    fold: Annotated[int, Field(ge=0)] = Field(
        0,
        description="Which rows are held out for validation: for cross-validation, 0, 1 and so on "
        "hold out different ones, and again the first once every row of a label was held out.",
    )
    check: Check = Field(
        "stop",
        description="What the check of the corpus does before training: `stop` ends the run at a "
        "severe finding, such as labels that look the same, `warn` only reports what it finds, "
        "`ignore` does not check.",
    )
    duplicates: Duplicates = Field(
        "report",
        description="Texts that are the same or nearly the same as others: `report` counts them, "
        "`remove` also removes them (from training if validation or test has them too, from "
        "validation if test has them, and all but the first within training), `ignore` does not "
        "search for them.",
    )
    similarity: Annotated[float, Field(gt=0, le=1)] = Field(
        0.8,
        description="Share of their word n-grams that two texts must have in common to be "
        "near-duplicates (estimated Jaccard similarity); 1 finds exact copies only.",
    )

    def columns(self) -> Columns:
        """The columns of a corpus."""
        return Columns(
            self.text_column,
            self.label_column,
            self.task,
            self.probability_prefix,
            self.weight_column,
            self.input,
        )

    def read_options(self) -> ReadOptions:
        """How the files of a corpus are to be read."""
        return ReadOptions(self.delimiter, self.encoding, self.sheet, self.quoting)
