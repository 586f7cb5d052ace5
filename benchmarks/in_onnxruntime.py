"""Python's onnxruntime: the reference, through Gatewise's classifier, and the ORT format.

Owns what every other runtime is compared with. Knows no other runtime.
"""

import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import onnxruntime as ort
from answers import PRECISIONS, Answers, Precision, Question
from numpy.typing import NDArray

from service import artifact
from service.classifier import Classifier
from vocab.encoding import Encoded

REFERENCE = "Python onnxruntime"
ORT_FORMAT = "ORT format in Python onnxruntime"

FILES: dict[Precision, str] = {
    "fp32": "onnx/model.onnx",
    "fp16": "onnx/model_fp16.onnx",
    "int8": "onnx/model_quantized.onnx",
}
_TIMED_TOKENS = 40
_ROUNDS, _CALLS = 15, 20


@dataclass(frozen=True)
class Asked:
    """A question with the reference's answers.

    Attributes:
        question: What the other runtimes are asked.
        scores: float32, shape `(texts, labels)`.
        left_out: How many texts are not among those of the question, since they are longer than
            the model reads and other runtimes keep another part of them.
        milliseconds: What one classification of the timed text takes, in several rounds.
    """

    question: Question
    scores: NDArray[np.float32]
    left_out: int
    milliseconds: tuple[float, ...]


def precisions(folder: Path) -> list[Precision]:
    """The precisions that a model folder holds."""
    return [precision for precision in PRECISIONS if (folder / FILES[precision]).is_file()]


def ask(folder: Path, precision: Precision, texts: Sequence[str], *, timed: bool = False) -> Asked:
    """Asks the reference, and makes of it the question for all other runtimes.

    A text without a token is asked of the network too, though Gatewise refuses it.

    Args:
        folder: A model folder.
        precision: Which of its models answers.
        texts: The texts.
        timed: Whether one of them, of about 40 tokens, is timed.

    Raises:
        ModelFolderError: If the folder is missing, damaged or foreign.
    """
    asked = _classifier(folder, folder / FILES[precision])
    encoded = asked.encode(texts)
    whole = list(range(len(texts)))
    if asked.artifact.config.gatewise.tokens.keep != "head":
        whole = [number for number in whole if not encoded[number].truncated]
    kept = [encoded[number] for number in whole]
    lengths = [abs(len(text.ids) - _TIMED_TOKENS) for text in kept]
    number = lengths.index(min(lengths)) if timed else None
    question = Question(
        folder=folder,
        precision=precision,
        texts=[texts[number] for number in whole],
        ids=[text.ids.tolist() for text in kept],
        labels=asked.classes_,
        multi_label=asked.multi_label,
        timed=number,
    )
    milliseconds: tuple[float, ...] = ()
    if number is not None:
        text = question.texts[number]
        milliseconds = tuple(_times(lambda: asked.scores(asked.encode([text]))))
    return Asked(question, asked.scores(kept), len(texts) - len(kept), milliseconds)


def in_ort_format(question: Question) -> Answers:
    """The answers of the same model, once it is written in the format of small builds.

    The file is optimized in ways that are good for every processor, as those for phones are.
    """
    if question.precision is None:
        raise ValueError("expected a precision: the format has no tokenizer")
    with tempfile.TemporaryDirectory() as scratch:
        written = Path(scratch) / "model.ort"
        options = ort.SessionOptions()
        options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_ENABLE_BASIC
        options.optimized_model_filepath = str(written)
        options.add_session_config_entry("session.save_model_format", "ORT")
        source = question.folder / FILES[question.precision]
        ort.InferenceSession(source, options, providers=["CPUExecutionProvider"])
        asked = _classifier(question.folder, written)
    encoded = [Encoded(np.array(ids, dtype=np.int64), truncated=False) for ids in question.ids]
    milliseconds: tuple[float, ...] = ()
    if question.timed is not None:
        one = [encoded[question.timed]]
        milliseconds = tuple(_times(lambda: asked.scores(one)))
    return Answers(ORT_FORMAT, None, asked.scores(encoded), milliseconds)


def _classifier(folder: Path, model: Path) -> Classifier:
    """The classifier of a folder with another model."""
    loaded = artifact.load(folder)
    return Classifier(replace(loaded, model=model.read_bytes()))


def _times(call: Callable[[], object]) -> Iterator[float]:
    """Milliseconds of one call, the mean of each round; the first round is not counted."""
    for number in range(_ROUNDS + 1):
        start = time.perf_counter()
        for _ in range(_CALLS):
            call()
        if number:
            yield 1000 * (time.perf_counter() - start) / _CALLS
