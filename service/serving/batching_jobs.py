"""A job: texts that one caller asks a model about, and what becomes of them.

Owns the job, its answer, and the reasons for which there is none. Knows neither threads nor HTTP.
"""

import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from operator import itemgetter
from typing import Protocol

import numpy as np
from gatewise.service.model.scores import ScoreFunction
from gatewise.vocab.errors import EmptyTextError, GatewiseError
from gatewise.vocab.tokenizer.encoding import Encoded
from numpy.typing import NDArray


class EmptyTextsError(EmptyTextError):
    """Texts without a token among those that were asked about.

    Attributes:
        indices: Which of the texts they are.
    """

    def __init__(self, indices: Sequence[int]) -> None:
        super().__init__(f"no token to classify in the texts {', '.join(map(str, indices))}")
        self.indices = tuple(indices)


class QueueFullError(GatewiseError):
    """More texts wait than may.

    Attributes:
        retry_after: Seconds after which the texts that wait now will have been answered.
    """

    def __init__(self, waiting: int, most: int, retry_after: float) -> None:
        super().__init__(f"{waiting} texts wait already, of {most} that may")
        self.retry_after = retry_after


class DeadlineError(GatewiseError):
    """Texts that were not answered in time."""


class ClosedError(GatewiseError):
    """A model that takes no more texts."""


@dataclass(frozen=True, slots=True)
class Scored:
    """What a model says of some texts.

    Attributes:
        scores: The score of every class for every text, float32, shape `(texts, classes)`.
        none: What each text is given instead of a label; None where it is given one.
        truncated: How many of the texts were longer than the model reads.
    """

    scores: NDArray[np.float32]
    none: list[str | None]
    truncated: int = 0


@dataclass(slots=True, eq=False)
class Job:
    """Texts that one caller asks about, from being asked until they are answered.

    Attributes:
        texts: The texts.
        function: The score function; None for the model's own.
        deadline: By when the answer is wanted, on `time.monotonic`'s clock.
        answer: What came of it, once it is handed back: scores, or why there are none.
        asked: When it was asked, on the same clock.
        encoded: The ids of each text, once it is tokenized.
        taken: How many of the texts no longer wait to be run.
        parts: What has come of them, each stretch under the index of its first text.
    """

    texts: Sequence[str]
    function: ScoreFunction | None
    deadline: float
    answer: Scored | Exception | None = None
    asked: float = field(default_factory=time.monotonic)
    encoded: list[Encoded] = field(default_factory=list)
    taken: int = 0
    parts: dict[int, Scored] = field(default_factory=dict)

    def is_wanted(self) -> bool:
        """Whether somebody still waits for the answer; asked before work is done on it."""
        return True

    def is_in_time(self) -> bool:
        """Whether its answer is still of use to anybody."""
        return self.is_wanted() and time.monotonic() < self.deadline

    def whole(self) -> Scored | None:
        """The answer to all of its texts, once the last part of it is there."""
        parts = list(self.parts.items())
        if sum(len(part.none) for _, part in parts) < len(self.texts):
            return None
        if len(parts) == 1:
            return parts[0][1]
        ordered = [part for _, part in sorted(parts, key=itemgetter(0))]
        return Scored(
            np.concatenate([part.scores for part in ordered]),
            [label for part in ordered for label in part.none],
            sum(part.truncated for part in ordered),
        )


@dataclass(frozen=True, slots=True)
class BatchStats:
    """What a thread has done at a time, for whoever counts.

    Attributes:
        texts: The encoded texts.
        padding: Tokens of padding beside theirs.
        best: The highest probability of each text, float32, shape `(texts,)`.
        none: How many texts were given no label.
        unknown: Tokens that the dictionary does not hold.
        waited: For each job that the round began, the seconds since it was asked.
    """

    texts: list[Encoded]
    padding: int
    best: NDArray[np.float32]
    none: int
    unknown: int
    waited: list[float]


class MetricsObserver(Protocol):
    """Whoever counts what is done; called from the threads, so it must be quick and safe there."""

    def ran(self, done: BatchStats) -> None:
        """A round was run."""

    def refused(self, reason: str, jobs: int) -> None:
        """Jobs were not answered: `gone`, `deadline` or `failed`."""
