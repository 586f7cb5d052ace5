"""The settings of the section `reject`: when a text is given none of the labels."""

from typing import Annotated

from gatewise.service.model.model_documents import NONE_LABEL
from gatewise.training.config.section import Section
from pydantic import Field, model_validator


class RejectConfig(Section):
    """When a text is given none of the labels."""

    target_precision: Annotated[float, Field(gt=0, lt=1)] | None = Field(
        None,
        description="Share of the answers that are to be right: a text whose best label is less "
        "probable than a threshold is given none, and the threshold is the lowest with which that "
        "share of the answered validation rows is right.",
    )
    out_of_scope: Annotated[str, Field(min_length=1)] | None = Field(
        None,
        description="Label of the rows, in any part of the corpus, that have none of the labels. "
        "The model has no such label: it learns to find all labels as likely for those rows, and "
        "the threshold is chosen so that it tells such validation rows from the others.",
    )
    label: Annotated[str, Field(min_length=1)] = Field(
        NONE_LABEL, description="What a text is given instead of a label."
    )

    @property
    def is_wanted(self) -> bool:
        """Whether a text may be given none of the labels."""
        return self.target_precision is not None or self.out_of_scope is not None

    @model_validator(mode="after")
    def _named_where_wanted(self) -> "RejectConfig":
        if self.label != RejectConfig.model_fields["label"].default and not self.is_wanted:
            raise ValueError(
                f"reject.label={self.label}: expected reject.target_precision or "
                "reject.out_of_scope beside it, for without one of them every text is given a label"
            )
        return self
