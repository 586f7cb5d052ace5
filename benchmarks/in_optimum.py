"""Hugging Face's optimum, which runs the folder with its own tokenizer classes.

It pins other versions of what Gatewise uses, so it lives in an environment of its own and answers
from there. How it is asked is in `parity/optimum_answers.py`.
"""

from collections.abc import Sequence
from pathlib import Path

from answers import Answers, Question
from exchange import SCRIPTS, answered_by


def ask(questions: Sequence[Question], python: Path) -> list[list[Answers]]:
    """The answers to each question, one process for all.

    Args:
        questions: The questions.
        python: The Python of an environment that has optimum.

    Raises:
        RuntimeFailedError: If it has not, or fails.
    """
    return answered_by([python, SCRIPTS / "optimum_answers.py"], questions)
