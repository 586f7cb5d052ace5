"""The size, metrics and latency of an exported model.

The times are the only metrics of a run that differ between runs of the same seed.
"""

import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from gatewise.service.model.classifier import Classifier
from gatewise.service.model.model_documents import Precision
from gatewise.training.evaluation.evaluate import Report
from gatewise.training.evaluation.regression import RegressionReport

NAMES: dict[Precision, str] = {
    "fp32": "32-bit floats",
    "fp16": "16-bit floats",
    "int8": "8-bit integers",
}
"""The name of each precision in reports."""

_MAX_ACCURACY_LOSS = 0.002
"""Accuracy that a smaller precision may lose before it is reported: 0.2 points."""

_MAX_RMSE_RISE = 0.01
"""Share by which the RMSE of a smaller precision may rise before it is reported."""

_SECONDS = 0.25
"""Duration of each of the two measurements."""

_MIN_RUNS = 5


@dataclass(frozen=True)
class ExportedModel:
    """One exported model.

    Attributes:
        precision: How its weights are stored.
        file: Its file's name in the model folder.
        bytes: The size of the file.
        metrics: Its main metrics on the rows of the report, by name: `accuracy` and `macro_f1`, or
            `rmse` and `mae`.
        tokens: Length of the short text that is timed, in ids.
        latency_ms: Median time from that text to its probabilities, in milliseconds.
        texts_per_second: Texts classified in a second, many at once.
    """

    precision: Precision
    file: str
    bytes: int
    metrics: Mapping[str, float]
    tokens: int
    latency_ms: float
    texts_per_second: float

    @property
    def name(self) -> str:
        """Its name in reports, such as `32-bit floats`."""
        return NAMES[self.precision]


def measure(
    classifier: Classifier, report: Report | RegressionReport, texts: Sequence[str]
) -> ExportedModel:
    """Times a model on one thread, in about half a second.

    Args:
        classifier: The model, loaded.
        report: Its metrics.
        texts: Typical texts, each with a token in it; some hundreds are enough. The one of median
            length is the short text.
    """
    by_length = sorted(texts, key=lambda text: (len(text), text))
    short = by_length[len(by_length) // 2]
    one = _times(lambda: classifier.probabilities(classifier.encode([short])))
    many = _times(lambda: classifier.probabilities(classifier.encode(texts)))
    loaded = classifier.artifact
    return ExportedModel(
        precision=loaded.precision,
        file=loaded.folder.name_of(loaded.model_file),
        bytes=len(loaded.model),
        metrics=report.main_metrics,
        tokens=len(classifier.encode([short])[0].ids),
        latency_ms=1000 * statistics.median(one),
        texts_per_second=len(texts) / statistics.median(many),
    )


def costs_too_much(exact: Mapping[str, float], smaller: Mapping[str, float]) -> bool:
    """Whether a smaller precision loses more than 0.2 points of accuracy, or 1 % of RMSE.

    >>> [costs_too_much({"accuracy": 0.9}, {"accuracy": found}) for found in (0.898, 0.897)]
    [False, True]
    >>> [costs_too_much({"rmse": 2.0}, {"rmse": found}) for found in (2.01, 2.03)]
    [False, True]

    Args:
        exact: The metrics in 32-bit floats; see `ExportedModel`.
        smaller: The metrics in the smaller precision.
    """
    if "rmse" in exact:
        return smaller["rmse"] > (1 + _MAX_RMSE_RISE) * exact["rmse"]
    return exact["accuracy"] - smaller["accuracy"] > _MAX_ACCURACY_LOSS + 1e-9


def accuracy_losses(models: Sequence[ExportedModel]) -> list[str]:
    """A message for each model that is worse than the first by more than is allowed."""
    if not models:
        return []
    exact = models[0]
    name = "RMSE" if "rmse" in exact.metrics else "accuracy"
    return [
        f"{model.name} ({model.file}): {name} {model.metrics[name.lower()]:.4f}, where "
        f"{exact.name} have {exact.metrics[name.lower()]:.4f}: use {exact.file} where that counts"
        for model in models
        if costs_too_much(exact.metrics, model.metrics)
    ]


def _times(call: Callable[[], object]) -> list[float]:
    """The seconds of each of some calls, after one call that is not counted."""
    call()
    times: list[float] = []
    while len(times) < _MIN_RUNS or sum(times) < _SECONDS:
        start = time.perf_counter()
        call()
        times.append(time.perf_counter() - start)
    return times
