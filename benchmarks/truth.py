"""What a model says of texts when no server is asked, and whether an answer is just that.

Knows models and answers; no server.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path

import bodies
from bodies import Scores
from closed_loop import Judge

import gatewise

LOST, MIXED = "no answer", "of no version"
"""What `judge_of` calls a broken connection, and an answer that no version gives."""

_TOLERANCE = 1e-5


def truth(model: Path, texts: Sequence[str]) -> list[Scores]:
    """The score of every label for each text."""
    classifier = gatewise.load(model)
    rows = classifier.predict_proba(list(texts)).tolist()
    return [dict(zip(classifier.classes_, row, strict=True)) for row in rows]


def same(said: Scores, scores: Scores, tolerance: float = _TOLERANCE) -> bool:
    """Whether an answer has the same labels, and scores that are as far apart at most."""
    return said.keys() == scores.keys() and all(
        abs(said[label] - score) <= tolerance for label, score in scores.items()
    )


def judge_of(versions: Mapping[str, Sequence[Scores]]) -> Judge:
    """Tells of which version an answer is.

    Args:
        versions: By the name of each version, what it says of the text of each request.
    """

    def judge(number: int, status: int | None, body: bytes) -> str:
        if status != 200:
            return LOST if status is None else f"status {status}"
        said = bodies.HUGGING_FACE.scores(body)
        found = (name for name, scores in versions.items() if same(said, scores[number]))
        return next(found, MIXED)

    return judge
