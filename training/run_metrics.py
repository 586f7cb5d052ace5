"""The metrics of a training run, for `metrics.json`, the report and the model card."""

from dataclasses import asdict, dataclass

from gatewise.training.evaluation.baselines import Baselines, NumberBaselines
from gatewise.training.evaluation.evaluate import Report
from gatewise.training.evaluation.regression import RegressionReport
from gatewise.training.fit.progress import Fitted
from gatewise.training.teacher.comparison import ComparedModel, Comparison
from gatewise.training.teacher.teaching import TeachingCounts
from gatewise.vocab.tokenizer.coverage import Coverage


@dataclass(frozen=True)
class RunMetrics:
    """The metrics of a training run.

    Attributes:
        rows: Training rows; copies and unlabelled texts that a teacher labelled are left out.
        refit_rows: Rows of the second training, whose weights the model has, the validation rows
            among them; None if there was none.
        labels: Number of classes.
        tokens: Tokens in the dictionary.
        parameters: Trained parameters of the network.
        coverage: How much of the validation texts the dictionary knows.
        fitted: The result of each epoch.
        validation: Metrics on the validation rows, by which the best epoch was chosen.
        test: Metrics on the test rows, by which nothing was chosen; None without such rows.
        baselines: The baselines on the test rows, or on the validation rows without such rows.
        teaching: What a teacher labelled; None without a teacher.
        comparison: The teacher beside the network; None likewise.
        earlier: The metrics of the model that the run started from, on the same rows; None if it
            started from a fresh network.
    """

    rows: int
    labels: int
    tokens: int
    parameters: int
    coverage: Coverage
    fitted: Fitted
    validation: Report | RegressionReport
    test: Report | RegressionReport | None
    baselines: Baselines | NumberBaselines | None = None
    refit_rows: int | None = None
    teaching: TeachingCounts | None = None
    comparison: Comparison | None = None
    earlier: ComparedModel | None = None

    @property
    def linear_features(self) -> str:
        """What the linear baseline reads of a text, or of a sequence."""
        return "TF-IDF features" if self.tokens else "the last steps"

    def as_dict(self) -> dict[str, object]:
        """The metrics as a JSON object; the same run gives the same object."""
        return {
            "rows": self.rows,
            "refit_rows": self.refit_rows,
            "labels": self.labels,
            "tokens": self.tokens,
            "parameters": self.parameters,
            "coverage": {**asdict(self.coverage), "share": self.coverage.share},
            "epochs": [asdict(epoch) for epoch in self.fitted.epochs],
            "best_epoch": self.fitted.best.number,
            "paths": list(self.fitted.paths),
            "validation": self.validation.as_dict(),
            "test": self.test.as_dict() if self.test else None,
            "baselines": self.baselines.as_dict() if self.baselines else None,
            "teacher": {**self.teaching.as_dict(), **self.comparison.as_dict()}
            if self.teaching and self.comparison
            else None,
            **({"earlier": asdict(self.earlier)} if self.earlier else {}),
        }
