"""The counts of scored, rejected and truncated rows, and the summary of a run."""

from dataclasses import dataclass

from gatewise.service.scoring.options import ScoringPlan
from gatewise.service.scoring.output_columns import NumberColumns
from gatewise.service.scoring.score_chunk import ScoredChunk


@dataclass(frozen=True, slots=True)
class RowCounts:
    """Counts of rows."""

    scored: int = 0  # rows written to the output
    rejected: int = 0  # bad rows
    truncated: int = 0  # scored rows whose text was truncated

    @property
    def rows(self) -> int:
        """The number of rows read."""
        return self.scored + self.rejected

    def plus(self, chunk: ScoredChunk) -> "RowCounts":
        """The counts with those of a chunk added."""
        return self + RowCounts(chunk.scored, len(chunk.bad), chunk.truncated)

    def __add__(self, other: "RowCounts") -> "RowCounts":
        return RowCounts(
            self.scored + other.scored,
            self.rejected + other.rejected,
            self.truncated + other.truncated,
        )


@dataclass(frozen=True, slots=True)
class Summary:
    """The summary of a run."""

    # Rows read: `scored` plus `rejected`.
    rows: int
    scored: int  # rows written to the output
    rejected: int  # bad rows
    truncated: int  # scored rows whose text was truncated
    resumed: int  # rows that were read by the earlier run which this one resumed
    seconds: float  # wall time of this run
    # The column of the best label: `label`, or `predicted_label` if the input has a column of
    # that name. With several labels per text: `labels` or `predicted_labels`; of a number:
    # `prediction`; of several: their columns, separated by commas.
    label_column: str
    # The column of its probability, or of the list of probabilities; None of predicted numbers.
    score_column: str | None
    probability_columns: int = 0  # the number of columns with the probability of one label each

    @classmethod
    def of(cls, counts: RowCounts, plan: ScoringPlan, *, resumed: int, seconds: float) -> "Summary":
        """Makes the summary of a run."""
        columns = plan.output_columns
        return cls(
            rows=counts.rows,
            scored=counts.scored,
            rejected=counts.rejected,
            truncated=counts.truncated,
            resumed=resumed,
            seconds=seconds,
            label_column=", ".join(columns.predictions)
            if isinstance(columns, NumberColumns)
            else columns.names[0],
            score_column=None if isinstance(columns, NumberColumns) else columns.score_column,
            probability_columns=0
            if isinstance(columns, NumberColumns) or not columns.probabilities
            else len(columns.classes),
        )
