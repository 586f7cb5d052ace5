"""What teachers have time for: `teacher.minutes`, and what an earlier run of the same had time for.

A later run of the same rows and settings labels as many texts as the first, however fast it is.
"""

import json
from pathlib import Path
from typing import Any

from gatewise.training.teacher.labeller import Labeller
from gatewise.training.teacher.teacher import TeacherError, duration
from gatewise.vocab.atomic_files import atomic_write

_FILE = "limits.json"
"""What earlier runs had time for, in the folder of the caches."""


class TimeBudget:
    """The time of one run.

    Attributes:
        copies: Copies of each text that an earlier run made; None without one.
        unlabelled: Unlabelled texts that it read; None likewise.
    """

    def __init__(
        self, minutes: float | None, spent: float, labeller: Labeller, folder: Path, identity: str
    ) -> None:
        """Reads what an earlier run had time for.

        Args:
            minutes: `teacher.minutes`; None for as many as it takes.
            spent: Seconds that went by before the first text was read.
            labeller: What takes the time.
            folder: Folder of the caches, locked.
            identity: Digest of what the labelled texts depend on, but for the time.
        """
        self._minutes, self._spent, self._labeller = minutes, spent, labeller
        self._file, self._identity = folder / _FILE, identity
        self._kept = self._read()
        found = self._kept.get(identity, {})
        self.copies: int | None = found.get("copies")
        self.unlabelled: int | None = found.get("unlabelled")

    def has_for(self, texts: int) -> bool:
        """Whether there is time for more texts; always for what an earlier run had time for."""
        if self._minutes is None or self.copies is not None:
            return True
        return self._spent + self._seconds_with(texts) <= 60 * self._minutes

    def check(self, texts: int) -> None:
        """Refuses to begin with texts of the corpus that cannot be read in time."""
        if texts and not self.has_for(texts):
            raise TeacherError(
                f"teacher.minutes={self._minutes:g}: expected time for the texts of the corpus, "
                f"which take about {duration(self._seconds_with(texts))}: allow more"
            )

    def keep(self, copies: int, unlabelled: int) -> None:
        """Keeps what this run had time for."""
        if self._minutes is not None:
            found = {"copies": copies, "unlabelled": unlabelled}
            with atomic_write(self._file) as temporary:
                document = {**self._kept, self._identity: found}
                temporary.write_text(json.dumps(document), encoding="utf-8")

    def _seconds_with(self, texts: int) -> float:
        """Seconds of labelling so far and for more texts."""
        return self._labeller.seconds + texts * (self._labeller.seconds_per_text or 0.0)

    def _read(self) -> dict[str, Any]:
        try:
            document = json.loads(self._file.read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return {}
        return document if isinstance(document, dict) else {}
