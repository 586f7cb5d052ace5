"""Questions for a runtime, its answers, and their differences from the reference's."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.lib.command import BenchmarkError
from gatewise.service.model.model_documents import DTYPES, Precision
from gatewise.service.model.model_folder import ModelFolder

TOLERANCE = 1e-5
"""How far a score may be from the reference's."""


@dataclass(frozen=True)
class Question:
    """What a runtime is asked, and what the reference answers: Gatewise's classifier in Python."""

    folder: Path  # a model folder; for the tokenizer alone, one with its two files
    precision: Precision | None  # which of its models answers; None asks for the tokenizer alone
    texts: Sequence[str]
    ids: Sequence[Sequence[int]]  # the reference's, for runtimes without a tokenizer
    scores: NDArray[np.float32] | None = None  # the reference's, `(texts, labels)`
    labels: Sequence[str] = ()  # in the order of the scores
    multi_label: bool = False
    # Texts that are longer than the model reads, of which other runtimes keep another part.
    left_out: int = 0

    def as_json(self, model: str) -> dict[str, Any]:
        """The question as the scripts read it; `model` is where they find the folder."""
        folder = ModelFolder(self.folder.resolve())
        precision = self.precision
        return {
            "model": model,
            "file": precision and folder.name_of(folder.model_in(precision)),
            "dtype": precision and DTYPES[precision],
            "texts": list(self.texts),
            "ids": list(map(list, self.ids)),
            "labels": list(self.labels),
            "multiLabel": self.multi_label,
        }

    def answers_of(self, found: Mapping[str, Mapping[str, Any]]) -> list["Answers"]:
        """What the scripts answered, by runtime."""
        failed = [None] * len(self.labels)
        answers = []
        for runtime, answer in found.items():
            scores = None
            if answer["scores"] is not None:
                rows = [failed if row is None else row for row in answer["scores"]]
                scores = np.array(rows, dtype=np.float32).reshape(len(rows), len(self.labels))
            ids = answer["ids"] and [text or [] for text in answer["ids"]]
            answers.append(Answers(runtime, ids, scores))
        return answers


@dataclass(frozen=True)
class Answers:
    """What a runtime answered."""

    runtime: str
    ids: Sequence[Sequence[int]] | None  # empty where it failed; None if they were given to it
    scores: NDArray[np.float32] | None  # `(texts, labels)`, not a number where it failed


@dataclass(frozen=True)
class Comparison:
    """How the answers of a runtime differ from the reference's."""

    runtime: str
    precision: Precision | None
    texts: int
    ids_differ: int | None  # texts with other ids; None where the ids were given
    largest: float | None  # difference between two scores; None without scores
    beyond: int  # scores that are further apart than `TOLERANCE`
    tops_differ: int  # texts with another best label
    differing: tuple[int, ...]  # the numbers of the texts that differ in any of these


def compare(question: Question, answers: Answers) -> Comparison:
    """Compares answers with the reference's.

    Raises:
        BenchmarkError: If there are not as many answers as texts.
    """
    count, reference = len(question.texts), question.scores
    other_ids = np.zeros(count, dtype=bool)
    if answers.ids is not None:
        if len(answers.ids) != count:
            raise BenchmarkError(f"expected ids of {count} texts, received {len(answers.ids)}")
        pairs = zip(question.ids, answers.ids, strict=True)
        other_ids = np.array([list(one) != list(other) for one, other in pairs], dtype=bool)
    beyond = np.zeros((count, 0), dtype=bool)
    other_tops = np.zeros(count, dtype=bool)
    largest = None
    if reference is not None and answers.scores is not None:
        if answers.scores.shape != reference.shape:
            raise BenchmarkError(
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
