"""What runtimes are asked and what they answer, and how far two answers lie apart.

Knows no runtime.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from gatewise.service.model.model_documents import Precision
from numpy.typing import NDArray

TOLERANCE = 1e-5
"""How far a score may lie from the reference's."""


class RuntimeFailedError(Exception):
    """A runtime is missing or did not answer."""


@dataclass(frozen=True)
class Question:
    """What a runtime is asked.

    Attributes:
        folder: A model folder; for the tokenizer alone, one with its two files.
        precision: Which of the folder's models answers; None asks for the tokenizer alone.
        texts: What is to be classified.
        ids: What the reference's tokenizer makes of them, for runtimes without a tokenizer.
        labels: The labels in the order of the scores.
        multi_label: Whether scores are those of a sigmoid, not of a softmax.
        timed: The number of a text whose classification is timed; None times nothing.
    """

    folder: Path
    precision: Precision | None
    texts: Sequence[str]
    ids: Sequence[Sequence[int]]
    labels: Sequence[str] = ()
    multi_label: bool = False
    timed: int | None = None


@dataclass(frozen=True)
class Answers:
    """What a runtime answered.

    Attributes:
        runtime: Its name.
        ids: What its tokenizer makes of each text, nothing where it failed; None where it was
            given the reference's.
        scores: float32, shape `(texts, labels)`; a text that it failed on has no numbers. None
            where the tokenizer alone was asked.
        milliseconds: What one classification of the timed text takes, in several rounds.
    """

    runtime: str
    ids: Sequence[Sequence[int]] | None
    scores: NDArray[np.float32] | None
    milliseconds: Sequence[float] = field(default=())


@dataclass(frozen=True)
class Comparison:
    """How the answers of a runtime differ from the reference's.

    Attributes:
        runtime: Its name.
        precision: The precision of both; None if the tokenizer alone was asked.
        texts: How many texts both were asked.
        ids_differ: How many have other ids; None where the ids were given.
        largest: The largest difference between two scores; None without scores.
        beyond: How many scores lie further apart than `TOLERANCE`.
        tops_differ: How many texts have another best label.
        differing: The numbers of the texts that differ in any of these.
    """

    runtime: str
    precision: Precision | None
    texts: int
    ids_differ: int | None
    largest: float | None
    beyond: int
    tops_differ: int
    differing: tuple[int, ...]


def compare(
    question: Question, reference: NDArray[np.float32] | None, answers: Answers
) -> Comparison:
    """Sets answers beside those of the reference.

    Args:
        question: What was asked; it holds the reference's ids.
        reference: The reference's scores, shape `(texts, labels)`; None for the tokenizer alone.
        answers: What the other runtime answered.

    Raises:
        RuntimeFailedError: If the answers are not as many as the texts.
    """
    count = len(question.texts)
    other_ids = np.zeros(count, dtype=bool)
    if answers.ids is not None:
        if len(answers.ids) != count:
            raise RuntimeFailedError(f"expected ids of {count} texts, received {len(answers.ids)}")
        pairs = zip(question.ids, answers.ids, strict=True)
        other_ids = np.array([list(ours) != list(theirs) for ours, theirs in pairs], dtype=bool)
    beyond = np.zeros((count, 0), dtype=bool)
    other_tops = np.zeros(count, dtype=bool)
    largest = None
    if reference is not None and answers.scores is not None:
        if answers.scores.shape != reference.shape:
            raise RuntimeFailedError(
                f"expected scores of shape {reference.shape}, received {answers.scores.shape}"
            )
        apart = np.abs(answers.scores.astype(np.float64) - reference)
        apart[~np.isfinite(apart)] = np.inf
        beyond = apart > TOLERANCE
        largest = float(apart.max(initial=0))
        other_tops = answers.scores.argmax(axis=1) != reference.argmax(axis=1)
    differing = np.flatnonzero(other_ids | beyond.any(axis=1) | other_tops)
    return Comparison(
        runtime=answers.runtime,
        precision=question.precision,
        texts=count,
        ids_differ=None if answers.ids is None else int(other_ids.sum()),
        largest=largest,
        beyond=int(beyond.sum()),
        tops_differ=int(other_tops.sum()),
        differing=tuple(differing.tolist()),
    )
