"""What an exported model is worth: its size, how often it is right, how fast it answers.

The times are the only figures of a run that another run of the same seed does not repeat. Knows a
loaded classifier and texts; does not import TensorFlow.
"""

import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from gatewise.service.model.classifier import Classifier
from gatewise.service.model.model_documents import Precision
from gatewise.training.evaluation.evaluate import Report

NAMES: dict[Precision, str] = {
    "fp32": "32-bit floats",
    "fp16": "16-bit floats",
    "int8": "8-bit integers",
}
"""What people call each precision."""

_BUDGET = 0.002
"""How much accuracy a smaller precision may cost before it is told of: 0.2 points."""

_SECONDS = 0.25
"""Time given to each of the two measurements."""

_LEAST_RUNS = 5


@dataclass(frozen=True)
class ExportedModel:
    """One exported model.

    Attributes:
        precision: How its weights are stored.
        file: Its file's name in the model folder.
        bytes: The size of the file.
        accuracy: Of the rows that the report looks at closely, as `Report` counts it.
        macro_f1: Of the same rows.
        tokens: Length of the short text that was asked about, in ids.
        latency_ms: Median time from that text to its probabilities, in milliseconds.
        texts_per_second: Texts answered in a second when many are asked about at once.
    """

    precision: Precision
    file: str
    bytes: int
    accuracy: float
    macro_f1: float
    tokens: int
    latency_ms: float
    texts_per_second: float

    @property
    def name(self) -> str:
        """What people call it, such as `32-bit floats`."""
        return NAMES[self.precision]


def measure(classifier: Classifier, report: Report, texts: Sequence[str]) -> ExportedModel:
    """Times a model on one thread, in about half a second.

    Args:
        classifier: The model, loaded.
        report: Its figures.
        texts: Texts as they come, each with a token in it; some hundreds are enough. The one of
            median length is the short text.
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
        accuracy=report.accuracy,
        macro_f1=report.macro_f1,
        tokens=len(classifier.encode([short])[0].ids),
        latency_ms=1000 * statistics.median(one),
        texts_per_second=len(texts) / statistics.median(many),
    )


def costs_too_much(exact: float, smaller: float) -> bool:
    """Whether fewer bits cost more accuracy than they may, 0.2 points.

    >>> costs_too_much(0.9, 0.898), costs_too_much(0.9, 0.897)
    (False, True)

    Args:
        exact: Accuracy with the weights as they were learnt.
        smaller: Accuracy with fewer bits.
    """
    return exact - smaller > _BUDGET + 1e-9


def costly(models: Sequence[ExportedModel]) -> list[str]:
    """What to tell of models that are less often right than the first, by more than they may."""
    exact = models[0]
    return [
        f"{model.name} ({model.file}): accuracy {model.accuracy:.4f}, where {exact.name} have "
        f"{exact.accuracy:.4f}: use {exact.file} where that counts"
        for model in models
        if costs_too_much(exact.accuracy, model.accuracy)
    ]


def _times(asked: Callable[[], object]) -> list[float]:
    """The seconds that each of some calls took, after one that does not count."""
    asked()
    times: list[float] = []
    while len(times) < _LEAST_RUNS or sum(times) < _SECONDS:
        start = time.perf_counter()
        asked()
        times.append(time.perf_counter() - start)
    return times
