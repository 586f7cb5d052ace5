"""The figures of a training run, as its report, its metrics and its model card tell them.

Knows how to say them as JSON; computes none of them.
"""

from dataclasses import asdict, dataclass

from gatewise.training.evaluation.evaluate import Report
from gatewise.training.fit.progress import Fitted
from gatewise.vocab.tokenizer.tokenizer import Coverage


@dataclass(frozen=True)
class RunMetrics:
    """What a training run gave, beside the model.

    Attributes:
        rows: Rows that were learnt from.
        labels: Number of classes.
        tokens: Tokens in the dictionary.
        parameters: Trained numbers in the network.
        coverage: How much of the validation texts the dictionary knows.
        fitted: What each epoch gave.
        validation: The figures on the validation rows, which the best epoch was chosen by.
        test: The figures on the test rows, which nothing was chosen by; None without such rows.
    """

    rows: int
    labels: int
    tokens: int
    parameters: int
    coverage: Coverage
    fitted: Fitted
    validation: Report
    test: Report | None

    def as_dict(self) -> dict[str, object]:
        """The figures as a JSON object; the same run gives the same object."""
        return {
            "rows": self.rows,
            "labels": self.labels,
            "tokens": self.tokens,
            "parameters": self.parameters,
            "coverage": {**asdict(self.coverage), "share": self.coverage.share},
            "epochs": [asdict(epoch) for epoch in self.fitted.epochs],
            "best_epoch": self.fitted.best.number,
            "paths": list(self.fitted.paths),
            "validation": self.validation.as_dict(),
            "test": self.test.as_dict() if self.test else None,
        }
