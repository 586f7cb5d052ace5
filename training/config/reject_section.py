"""The section `reject`: when no label is predicted."""

from typing import Annotated

from pydantic import Field, model_validator

from gatewise.service.model.model_documents import NONE_LABEL
from gatewise.training.config.section import Section


class RejectConfig(Section):
    """When no label is predicted."""

    target_precision: Annotated[float, Field(gt=0, lt=1)] | None = Field(
        None,
        description="Share of the predicted labels that should be correct: no label is predicted "
        "if the best one is less probable than a threshold, the lowest with which this share of "
        "the labels predicted for the validation rows is correct.",
    )
    out_of_scope: Annotated[str, Field(min_length=1)] | None = Field(
        None,
        description="Label of the rows, in any part of the corpus, that have none of the labels. "
        "The model has no such label: it is trained to find all labels equally likely for these "
        "rows, and the threshold is chosen so that it separates them from the others on the "
        "validation rows.",
    )
    label: Annotated[str, Field(min_length=1)] = Field(
        NONE_LABEL, description="What is predicted instead of a label."
    )

    @property
    def is_wanted(self) -> bool:
        """Whether a text may get no label."""
        return self.target_precision is not None or self.out_of_scope is not None

    @model_validator(mode="after")
    def _named_where_wanted(self) -> "RejectConfig":
        if self.label != RejectConfig.model_fields["label"].default and not self.is_wanted:
            raise ValueError(
                f"reject.label={self.label}: expected reject.target_precision or "
                "reject.out_of_scope too: without one of them every text gets a label"
            )
        return self
