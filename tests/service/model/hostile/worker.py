"""Loads the models that it is told of on standard input and tells what came of each.

A process of its own for `test_hostile.py`: what would bring a process down, fill the memory or
never end does it here. It is bounded in memory and answers a line of JSON for each line it reads.
"""

import json
import resource
import sys

import numpy as np
from gatewise.service.model.classifier import Classifier
from gatewise.service.model.streaming_classifier import StreamingClassifier
from gatewise.vocab.errors import GatewiseError

TEXTS = [
    "Wo ist der Bahnhof?",
    "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa!",
    "Ένα μήνυμα, 有効なアドレスを入力してください。 " * 20,
    "a b",
]
SPARE_BYTES = 4 * 2**30


def limit_memory() -> None:
    with open("/proc/self/statm", encoding="ascii") as statm:
        used = int(statm.read().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (used + SPARE_BYTES, used + SPARE_BYTES))


def outcome(path: str) -> dict[str, str]:
    try:
        classifier = Classifier.load(path)
        scores = classifier.predict_proba(TEXTS)
        alone = classifier.predict_proba(TEXTS[:1])
        streamed = stream(classifier) if classifier.artifact.step else []
    except GatewiseError as error:
        return {"refused": str(error)}
    except BaseException as error:  # a panic of the Rust side is no Exception
        return {"fault": f"{type(error).__name__}: {error}"}
    labels = len(classifier.classes_)
    if scores.shape != (len(TEXTS), labels) or not np.isfinite([*scores, *alone, *streamed]).all():
        return {"fault": f"scores of {scores.shape}: {scores}"}
    return {"answered": f"{labels} labels" + (", and token by token" if streamed else "")}


def stream(classifier: Classifier) -> list[np.ndarray]:
    streaming = StreamingClassifier(classifier.artifact)
    readings = []
    for text in TEXTS:
        text_in_pieces = streaming.stream()
        readings += text_in_pieces.feed(text)
        readings.append(text_in_pieces.end())
    return [reading.scores for reading in readings]


def main() -> None:
    limit_memory()
    for line in sys.stdin:
        sys.stdout.write(json.dumps(outcome(json.loads(line))) + "\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
