"""Loads the models named on standard input, one path a line, and prints a JSON result for each.

A separate process with a memory limit, because a hostile model may crash it or fill its memory.
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
MEMORY_BYTES = 4 * 2**30


def limit_memory():
    with open("/proc/self/statm", encoding="ascii") as statm:
        used = int(statm.read().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (used + MEMORY_BYTES, used + MEMORY_BYTES))


def outcome(path):
    try:
        classifier = Classifier.load(path)
        scores = classifier.predict_proba(TEXTS)
        alone = classifier.predict_proba(TEXTS[:1])
        streamed = stream(classifier) if classifier.artifact.step else []
    except GatewiseError as error:
        return {"refused": str(error)}
    except BaseException as error:  # a Rust panic is not an Exception
        return {"crash": f"{type(error).__name__}: {error}"}
    labels = len(classifier.classes_)
    if scores.shape != (len(TEXTS), labels) or not np.isfinite([*scores, *alone, *streamed]).all():
        return {"crash": f"scores of {scores.shape}: {scores}"}
    return {"loaded": f"{labels} labels" + (", streamed" if streamed else "")}


def stream(classifier):
    streaming = StreamingClassifier(classifier.artifact)
    scores = []
    for text in TEXTS:
        text_stream = streaming.stream()
        scores += text_stream.feed(text)
        scores.append(text_stream.end())
    return [each.scores for each in scores]


def main():
    limit_memory()
    for line in sys.stdin:
        sys.stdout.write(json.dumps(outcome(json.loads(line))) + "\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
