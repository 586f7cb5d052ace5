"""What a report tells: everything it is made from, and the same as a JSON object.

Computes no figure and draws nothing.
"""

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Literal

from gatewise.service.model.model_documents import Manifest
from gatewise.training.config.config import Config
from gatewise.training.data.corpora import Copy
from gatewise.training.data.duplicates import Duplicates
from gatewise.training.evaluation.calibration import Calibration
from gatewise.training.evaluation.error_analysis import ErrorAnalysis
from gatewise.training.evaluation.evaluate import Report
from gatewise.training.evaluation.model_benchmark import ExportedModel
from gatewise.training.evaluation.rejection import Rejection
from gatewise.training.network.parameters import LayerParameters
from gatewise.training.run_metrics import RunMetrics


@dataclass(frozen=True)
class VectorCoverage:
    """How much of a dictionary pretrained vectors know.

    Attributes:
        found: Entries that have a vector.
        of: Entries, special tokens left out.
    """

    found: int
    of: int

    @property
    def share(self) -> float:
        """Share of the entries that have a vector."""
        return self.found / self.of if self.of else 0.0


@dataclass(frozen=True)
class ReportContents:
    """Everything that a report is made from.

    Attributes:
        run: The figures of the run.
        config: Every setting of it.
        manifest: Where the model came from: versions, seed, digest of the corpus.
        reviewed: What a close look at labelled rows found.
        part: Which rows those were: the test rows if there are any.
        layers: What each layer of the network holds.
        models: The exported models, with their timings.
        calibration: The temperature of the model and what it did; None without.
        rejection: From which probability on the model gives a label; None if it always does.
        duplicates: The texts that occur more than once; None if they were not looked for.
        copies: A few of them.
        vectors: How much of the dictionary the pretrained vectors know; None without such vectors.
    """

    run: RunMetrics
    config: Config
    manifest: Manifest
    reviewed: ErrorAnalysis
    part: Literal["validation", "test"]
    layers: tuple[LayerParameters, ...]
    models: tuple[ExportedModel, ...]
    calibration: Calibration | None = None
    rejection: Rejection | None = None
    duplicates: Duplicates | None = None
    copies: tuple[Copy, ...] = ()
    vectors: VectorCoverage | None = None

    @property
    def shown(self) -> Report:
        """The figures of the rows that were looked at closely."""
        return self.run.test if self.part == "test" and self.run.test else self.run.validation

    def as_dict(self) -> dict[str, object]:
        """The figures as a JSON object.

        Another run of the same seed, settings and rows gives the same object, but for what is
        under `latency`.
        """
        fitted = self.run.fitted
        document = {
            **self.run.as_dict(),
            "metric": fitted.metric,
            "rate_test": asdict(fitted.rate_test) if fitted.rate_test else None,
            "findings": fitted.findings,
            "reviewed": self.part,
            "review": self.reviewed.as_dict(),
            "calibration": self.calibration.as_dict() if self.calibration else None,
            "reject": self.rejection.as_dict() if self.rejection else None,
            "layers": [asdict(layer) for layer in self.layers],
            "duplicates": self.duplicates.as_dict() if self.duplicates else None,
            "vectors": asdict(self.vectors) if self.vectors else None,
            "models": [
                {
                    "name": model.name,
                    "precision": model.precision,
                    "file": model.file,
                    "bytes": model.bytes,
                    "accuracy": model.accuracy,
                    "macro_f1": model.macro_f1,
                }
                for model in self.models
            ],
            "config": self.config.without_places().model_dump(mode="json"),
            "latency": {
                model.name: {
                    "tokens": model.tokens,
                    "latency_ms": model.latency_ms,
                    "texts_per_second": model.texts_per_second,
                }
                for model in self.models
            },
        }
        return {name: _finite(value) for name, value in document.items()}


def _finite(value: Any) -> Any:
    """A value for JSON, which has no infinity: null stands for it."""
    if isinstance(value, float) and not math.isfinite(value):
        return None
    if isinstance(value, Mapping):
        return {name: _finite(inner) for name, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(inner) for inner in value]
    return value
