"""The contents of a report: everything that it is made from, also as a JSON object."""

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Literal

from gatewise.service.model.model_documents import Manifest
from gatewise.training.config.config import Config
from gatewise.training.data.corpora import Copy
from gatewise.training.data.corpus_findings import CorpusCheck
from gatewise.training.data.duplicates import Duplicates
from gatewise.training.evaluation.calibration import Calibration
from gatewise.training.evaluation.cascade_choice import CascadeChoice
from gatewise.training.evaluation.error_analysis import ErrorAnalysis
from gatewise.training.evaluation.evaluate import Report
from gatewise.training.evaluation.model_benchmark import ExportedModel
from gatewise.training.evaluation.regression import RegressionReport, ResidualAnalysis
from gatewise.training.evaluation.rejection import Rejection
from gatewise.training.network.parameters import LayerParameters
from gatewise.training.network.vectors import Vectors
from gatewise.training.run_metrics import RunMetrics


@dataclass(frozen=True)
class ReportContents:
    """Everything that a report is made from.

    Attributes:
        run: The metrics of the run.
        config: Its settings.
        manifest: The origin of the model: versions, seed, digest of the corpus.
        reviewed: The error analysis of labelled rows.
        part: Which rows those are: the test rows if there are any.
        layers: The parameters of each layer of the network.
        models: The exported models, with their timings.
        calibration: The temperature of the model and its effect; None without calibration.
        rejection: The threshold below which a text is rejected; None without.
        cascade: When the linear path alone classifies a text; None without a linear path.
        duplicates: The texts that occur more than once; None if the corpus was not searched.
        copies: Examples of them.
        vectors: The pretrained vectors, which cover a part of the dictionary; None without.
        check: What the check of the corpus found, and the rows of each label; None without.
        automatic: The settings whose value was chosen by the rows.
    """

    run: RunMetrics
    config: Config
    manifest: Manifest
    reviewed: ErrorAnalysis | ResidualAnalysis
    part: Literal["validation", "test"]
    layers: tuple[LayerParameters, ...]
    models: tuple[ExportedModel, ...]
    calibration: Calibration | None = None
    rejection: Rejection | None = None
    cascade: CascadeChoice | None = None
    duplicates: Duplicates | None = None
    copies: tuple[Copy, ...] = ()
    vectors: Vectors | None = None
    check: CorpusCheck | None = None
    automatic: tuple[str, ...] = ()

    @property
    def report(self) -> Report | RegressionReport:
        """The metrics of the analyzed rows."""
        return self.run.test if self.part == "test" and self.run.test else self.run.validation

    def as_dict(self) -> dict[str, object]:
        """The metrics as a JSON object.

        The same seed, settings and rows give the same object, except for `latency`.
        """
        fitted = self.run.fitted
        speed = self.run.comparison.speed if self.run.comparison else None
        document = {
            **self.run.as_dict(),
            "metric": fitted.metric,
            "rate_test": asdict(fitted.rate_test) if fitted.rate_test else None,
            "findings": fitted.findings,
            "check": [found.as_dict(with_folder=False) for found in self.check.findings]
            if self.check
            else None,
            "training_rows": dict(self.check.survey.training_rows()) if self.check else None,
            "reviewed": self.part,
            "review": self.reviewed.as_dict(),
            "calibration": self.calibration.as_dict() if self.calibration else None,
            "reject": self.rejection.as_dict() if self.rejection else None,
            "cascade": self.cascade.as_dict() if self.cascade else None,
            "layers": [asdict(layer) for layer in self.layers],
            "duplicates": self.duplicates.as_dict() if self.duplicates else None,
            "vectors": self.vectors.as_dict() if self.vectors else None,
            "models": [
                {
                    "name": model.name,
                    "precision": model.precision,
                    "file": model.file,
                    "bytes": model.bytes,
                    **model.metrics,
                }
                for model in self.models
            ],
            "config": self.config.without_places().model_dump(mode="json"),
            "automatic": self.automatic,
            "latency": {
                model.name: {
                    "tokens": model.tokens,
                    "latency_ms": model.latency_ms,
                    "texts_per_second": model.texts_per_second,
                }
                for model in self.models
            }
            | ({"teacher": asdict(speed)} if speed else {}),
        }
        return {name: _finite(value) for name, value in document.items()}


def _finite(value: Any) -> Any:
    """A value with null for infinity and NaN, which JSON does not have."""
    if isinstance(value, float) and not math.isfinite(value):
        return None
    if isinstance(value, Mapping):
        return {name: _finite(inner) for name, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(inner) for inner in value]
    return value
