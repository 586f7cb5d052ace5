"""Questions and answers as JSON, between Gatewise and runtimes in processes of their own.

Knows what the JSON looks like, and no runtime.
"""

import json
import subprocess
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from answers import Answers, Question, RuntimeFailedError
from gatewise.service.model.model_documents import DTYPES
from gatewise.service.model.model_folder import ModelFolder

SCRIPTS = Path(__file__).resolve().parent / "parity"
"""Where the scripts are that run in other runtimes."""

_TOLD = 2000  # characters of what a process said before it failed


def answered_by(
    command: Sequence[str | Path], questions: Sequence[Question]
) -> list[list[Answers]]:
    """The answers of a process to each question.

    Args:
        command: What to run; it is given two files more, of the questions and for the answers.
        questions: The questions.

    Raises:
        RuntimeFailedError: If it cannot be run, or fails.
    """
    with tempfile.TemporaryDirectory() as scratch:
        asked, answered = Path(scratch) / "questions.json", Path(scratch) / "answers.json"
        asked.write_text(json.dumps(list(map(as_json, questions))), encoding="utf-8")
        whole = [*map(str, command), str(asked), str(answered)]
        try:
            ended = subprocess.run(whole, capture_output=True, encoding="utf-8", check=False)
        except OSError as error:
            raise RuntimeFailedError(f"{command[0]}: cannot be run: {error.strerror}") from None
        if ended.returncode:
            said = ended.stderr.strip()[-_TOLD:]
            raise RuntimeFailedError(f"{command[0]} ended with {ended.returncode}: {said}")
        found = json.loads(answered.read_text(encoding="utf-8"))
    return [from_json(*pair) for pair in zip(questions, found, strict=True)]


def as_json(question: Question) -> dict[str, Any]:
    """A question as the scripts read it."""
    precision, timed = question.precision, question.timed
    folder = ModelFolder(question.folder.resolve())
    return {
        "folder": str(folder.path),
        "file": precision and folder.name_of(folder.model_in(precision)),
        "dtype": precision and DTYPES[precision],
        "texts": list(question.texts),
        "ids": list(map(list, question.ids)),
        "labels": list(question.labels),
        "multiLabel": question.multi_label,
        "timed": None if timed is None else question.texts[timed],
        "timedIds": None if timed is None else list(question.ids[timed]),
    }


def from_json(question: Question, found: Mapping[str, Mapping[str, Any]]) -> list[Answers]:
    """What the scripts answered; a text that a runtime failed on has no ids and no numbers."""
    failed = [None] * len(question.labels)
    answers = []
    for runtime, answer in found.items():
        scores = None
        if answer["scores"] is not None:
            rows = [failed if row is None else row for row in answer["scores"]]
            scores = np.array(rows, dtype=np.float32).reshape(len(rows), len(question.labels))
        ids = answer["ids"] and [text or [] for text in answer["ids"]]
        answers.append(Answers(runtime, ids, scores, answer["milliseconds"]))
    return answers
