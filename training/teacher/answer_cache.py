"""The answers of an endpoint on disk, by text, so that none is paid for twice.

A file of JSON Lines that only grows: each answer is a line, on disk before the next step. A line
that a killed process left incomplete is cut off.
"""

import json
import os
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from gatewise.training.teacher.teacher import text_digest
from gatewise.vocab.atomic_files import translate_write_errors


@dataclass(frozen=True)
class KeptAnswers:
    """What was answered for a text.

    Attributes:
        votes: The label of each answer, by its index; None for an answer that is no label.
        probabilities: The probability of each label; None without log-probabilities.
        is_final: Whether no further answer is wanted.
    """

    votes: tuple[int | None, ...] = ()
    probabilities: tuple[float, ...] | None = None
    is_final: bool = False

    @property
    def labels(self) -> list[int]:
        """The labels among the answers."""
        return [vote for vote in self.votes if vote is not None]


class AnswerCache:
    """The answers to one prompt by one model; safe to use from several threads."""

    def __init__(self, file: Path, about: Mapping[str, str]) -> None:
        """Reads the answers that are there.

        Args:
            file: The file; its folder exists and is locked.
            about: What the answers are of, for those who open the file.
        """
        self.file = file
        self._lock = threading.Lock()
        self._kept: dict[str, KeptAnswers] = {}
        with translate_write_errors(file):
            if not self._read():
                self._write(about)

    @property
    def labelled(self) -> int:
        """How many texts have a label."""
        return sum(
            kept.probabilities is not None or bool(kept.labels) for kept in self._kept.values()
        )

    def answers(self, text: str) -> KeptAnswers:
        """What was answered for a text."""
        return self._kept.get(text_digest(text).hex(), KeptAnswers())

    def add_votes(self, text: str, votes: Sequence[int | None]) -> None:
        """Keeps further answers to a text."""
        self._add({"text": text_digest(text).hex(), "votes": list(votes)})

    def end(self, text: str, probabilities: Sequence[float] | None) -> None:
        """Keeps the probabilities of a text; None if no answer to it is a label."""
        found = None if probabilities is None else list(probabilities)
        self._add({"text": text_digest(text).hex(), "probabilities": found})

    def _add(self, entry: Mapping[str, object]) -> None:
        with self._lock, translate_write_errors(self.file):
            self._write(entry)
            self._take(entry)

    def _write(self, entry: Mapping[str, object]) -> None:
        with self.file.open("ab", buffering=0) as file:
            file.write(json.dumps(entry).encode() + b"\n")
            os.fsync(file.fileno())

    def _read(self) -> int:
        """Reads the complete lines, cuts the rest off, and returns how many bytes they are."""
        complete = 0
        with self.file.open("ab+") as file:
            file.seek(0)
            for line in file:
                if not line.endswith(b"\n"):
                    break
                complete += len(line)
                try:
                    entry = json.loads(line)
                except ValueError:
                    continue
                if isinstance(entry, dict) and "text" in entry:
                    self._take(entry)
            file.truncate(complete)
        return complete

    def _take(self, entry: Mapping[str, object]) -> None:
        key, votes, found = str(entry["text"]), entry.get("votes"), entry.get("probabilities")
        kept = self._kept.get(key, KeptAnswers())
        if isinstance(votes, list):
            kept = replace(kept, votes=(*kept.votes, *votes))
        if "probabilities" in entry:
            probabilities = tuple(found) if isinstance(found, list) else None
            kept = replace(kept, probabilities=probabilities, is_final=True)
        self._kept[key] = kept
