"""What became of an input that was scored."""

from dataclasses import dataclass

from gatewise.service.scoring.options import ScoringPlan
from gatewise.service.scoring.score_chunk import ScoredChunk


@dataclass(frozen=True, slots=True)
class RowCounts:
    """How many rows came to which end.

    Attributes:
        scored: Rows written to the output.
        rejected: Rows set aside as bad.
        truncated: Scored rows whose text was longer than the model reads.
    """

    scored: int = 0
    rejected: int = 0
    truncated: int = 0

    @property
    def rows(self) -> int:
        """Rows read."""
        return self.scored + self.rejected

    def plus(self, done: ScoredChunk) -> "RowCounts":
        """The rows of one part more."""
        return self + RowCounts(done.scored, len(done.bad), done.truncated)

    def __add__(self, other: "RowCounts") -> "RowCounts":
        return RowCounts(
            self.scored + other.scored,
            self.rejected + other.rejected,
            self.truncated + other.truncated,
        )


@dataclass(frozen=True, slots=True)
class Summary:
    """What became of an input.

    Attributes:
        rows: Rows read; `scored` and `rejected` together.
        scored: Rows written to the output.
        rejected: Rows set aside as bad.
        truncated: Scored rows whose text was longer than the model reads.
        resumed: How many of the rows were read by an earlier run, which this one went on with.
        seconds: Wall time of this run.
        label_column: The output's column of the best label: `label`, or `predicted_label` where
            the input has such a column of its own. For a model that may give several labels, the
            column of them all: `labels`, or `predicted_labels`.
        score_column: The column of that label's probability, or of theirs, named likewise.
        probability_columns: Number of columns that hold the probability of one label each.
    """

    rows: int
    scored: int
    rejected: int
    truncated: int
    resumed: int
    seconds: float
    label_column: str
    score_column: str
    probability_columns: int = 0

    @classmethod
    def of(cls, counts: RowCounts, plan: ScoringPlan, *, resumed: int, seconds: float) -> "Summary":
        """What became of an input, by what became of its rows.

        Args:
            counts: What became of all rows, those of earlier runs too.
            plan: What was asked for.
            resumed: How many rows were read by an earlier run.
            seconds: Wall time.
        """
        answers = plan.answers
        return cls(
            rows=counts.rows,
            scored=counts.scored,
            rejected=counts.rejected,
            truncated=counts.truncated,
            resumed=resumed,
            seconds=seconds,
            label_column=answers.label_column,
            score_column=answers.score_column,
            probability_columns=len(answers.classes) if answers.probabilities else 0,
        )
