"""Python's onnxruntime: the reference, through Gatewise's classifier, and the ORT format.

Owns what every other runtime is compared with. Knows no other runtime.
"""

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnxruntime as ort
from answers import Answers, Question
from gatewise.service.model.classifier import Classifier
from gatewise.service.model.model_documents import PRECISIONS, Precision
from gatewise.service.model.model_folder import ModelFolder, read_model_folder
from gatewise.service.model.scores import ScoreFunction, apply
from gatewise.training.mobile.ort_format import to_ort
from gatewise.vocab.tokenizer.encoding import pad
from numpy.typing import NDArray

REFERENCE = "Python onnxruntime"
ORT_FORMAT = "ORT format in Python onnxruntime"

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
    layout = ModelFolder(folder)
    return [precision for precision in PRECISIONS if layout.model_in(precision).is_file()]


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
    asked = Classifier.load(folder, precision=precision)
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

    By onnxruntime itself: the classifier takes ONNX alone.
    """
    model = to_ort(read_model_folder(question.folder, question.precision).model)
    options = ort.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    session = ort.InferenceSession(model, options, providers=["CPUExecutionProvider"])
    function: ScoreFunction = "sigmoid" if question.multi_label else "softmax"

    def scores_of(ids: Sequence[int]) -> NDArray[np.float32]:
        batch = pad([np.array(ids, dtype=np.int64)])
        inputs = {"input_ids": batch.input_ids, "attention_mask": batch.attention_mask}
        return apply(function, session.run(["logits"], inputs)[0])

    milliseconds: tuple[float, ...] = ()
    if question.timed is not None:
        timed = question.ids[question.timed]
        milliseconds = tuple(_times(lambda: scores_of(timed)))
    return Answers(
        ORT_FORMAT, None, np.concatenate(list(map(scores_of, question.ids))), milliseconds
    )


def _times(call: Callable[[], object]) -> Iterator[float]:
    """Milliseconds of one call, the mean of each round; the first round is not counted."""
    for number in range(_ROUNDS + 1):
        start = time.perf_counter()
        for _ in range(_CALLS):
            call()
        if number:
            yield 1000 * (time.perf_counter() - start) / _CALLS
