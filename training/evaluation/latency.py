"""How large an exported model is and how fast it answers, asked as it will serve.

The only figures of a run that another run of the same seed does not repeat. Knows a loaded
classifier and texts; does not import TensorFlow.
"""

import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from service.classifier import Classifier

_SECONDS = 0.25
"""Time given to each of the two measurements."""

_LEAST_RUNS = 5


@dataclass(frozen=True)
class ExportedModel:
    """One exported model.

    Attributes:
        name: What it is called, such as `32-bit floats`.
        file: Its file's name in the model folder.
        bytes: The size of the file.
        tokens: Length of the short text that was asked about, in ids.
        latency_ms: Median time from that text to its probabilities, in milliseconds.
        texts_per_second: Texts answered in a second when many are asked about at once.
    """

    name: str
    file: str
    bytes: int
    tokens: int
    latency_ms: float
    texts_per_second: float


def measure(name: str, file: Path, classifier: Classifier, texts: Sequence[str]) -> ExportedModel:
    """Times a model on one thread, in about half a second.

    Args:
        name: What to call it.
        file: Its file, inside the classifier's folder.
        classifier: The model, loaded.
        texts: Texts as they come, each with a token in it; some hundreds are enough. The one of
            median length is the short text.
    """
    by_length = sorted(texts, key=lambda text: (len(text), text))
    short = by_length[len(by_length) // 2]
    one = _times(lambda: classifier.probabilities(classifier.encode([short])))
    many = _times(lambda: classifier.probabilities(classifier.encode(texts)))
    return ExportedModel(
        name=name,
        file=classifier.artifact.folder.name_of(file),
        bytes=file.stat().st_size,
        tokens=len(classifier.encode([short])[0].ids),
        latency_ms=1000 * statistics.median(one),
        texts_per_second=len(texts) / statistics.median(many),
    )


def _times(asked: Callable[[], object]) -> list[float]:
    """The seconds that each of some calls took, after one that does not count."""
    asked()
    times: list[float] = []
    while len(times) < _LEAST_RUNS or sum(times) < _SECONDS:
        start = time.perf_counter()
        asked()
        times.append(time.perf_counter() - start)
    return times
