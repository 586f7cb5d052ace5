"""The section `sequence`: how sequences of numbers are read."""

from typing import Literal

from pydantic import Field

from gatewise.training.config.section import Section


class SequenceConfig(Section):
    """How sequences of numbers are read, in a corpus that has them in place of texts."""

    scale: Literal["standard", "none"] = Field(
        "standard",
        description="Whether each feature is standardized by the mean and the standard deviation "
        "of the training rows (`standard`), in the network itself, or read as it is (`none`). A "
        "missing number counts as the mean.",
    )
