"""One version of one model, ready to answer from the event loop.

Joins a classifier and its batcher to asyncio: a caller awaits, threads work, and whoever no longer
waits costs nothing. Knows neither HTTP nor which versions there are.
"""

import asyncio
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

from gatewise.service.model.classifier import Classifier
from gatewise.service.model.scores import ScoreFunction
from gatewise.service.model.streaming_classifier import is_streamed
from gatewise.service.serving.batching import Batcher
from gatewise.service.serving.batching_jobs import (
    DeadlineError,
    Job,
    MetricsObserver,
    QueueFullError,
    Scored,
)

_WARM_UP = ("a", "a b c d e f g", "a b c d e f g " * 8)
"""Texts of several lengths: the first run of a shape is slower than the others."""


@dataclass(frozen=True, slots=True)
class Capacity:
    """What a model may take at a time.

    Attributes:
        threads: Batches that are run at a time.
        most_texts: Texts that may wait.
        most_characters: Characters that these may have together.
        seconds: How long an answer may take before it is no longer wanted.
    """

    threads: int = 1
    most_texts: int = 2048
    most_characters: int = 16 * 2**20
    seconds: float = 10.0


_TICK = 0.05
"""Seconds between two looks at the callers that wait: a timer for each would cost more than it."""

_STALLED_SECONDS = 10.0
"""Seconds after which texts that wait show that what runs them does not: a batch takes far less."""


@dataclass(slots=True, eq=False)
class _PendingRequest(Job):
    """A job with the future that its caller awaits, and what to do if that takes long."""

    future: asyncio.Future[Scored] = field(kw_only=True)
    when_slow: Callable[[], None] | None = None

    def is_wanted(self) -> bool:
        """Whether its caller has not taken it back."""
        return not self.future.cancelled()


class ServedModel:
    """A version of a model that answers without holding up the event loop.

    Attributes:
        name: The model's name.
        version: Which version of it.
        classifier: What answers.
        capacity: What it may take at a time.
    """

    def __init__(
        self,
        name: str,
        version: str,
        classifier: Classifier,
        capacity: Capacity,
        watcher: MetricsObserver | None = None,
    ) -> None:
        self.name = name
        self.version = version
        self.classifier = classifier
        self.capacity = capacity
        self._watcher = watcher
        self._asked: deque[_PendingRequest] = deque()
        self._batcher = Batcher(
            classifier,
            threads=capacity.threads,
            most_texts=capacity.most_texts,
            most_characters=capacity.most_characters,
            done=_hand_over,
            watcher=watcher,
        )

    @property
    def folder(self) -> Path:
        """The model folder."""
        return self.classifier.artifact.folder.path

    @property
    def sha256(self) -> str:
        """The digest of the folder's manifest, which has the digests of all its files."""
        return self.classifier.artifact.sha256

    @cached_property
    def streams(self) -> bool:
        """Whether it can classify a text as it comes."""
        return is_streamed(self.classifier.artifact)

    @property
    def waiting(self) -> int:
        """Texts that wait to be run."""
        return self._batcher.waiting

    def warm_up(self) -> None:
        """Answers some texts, so that the first caller does not wait for what is made ready once.

        Raises:
            ModelFolderError: If the network cannot answer.
        """
        for texts in ([_WARM_UP[0]], _WARM_UP):
            self.classifier.scores(self.classifier.encode(texts))

    def check(self) -> None:
        """Looks whether it can answer, by a text that nobody asked for and nothing counts.

        Raises:
            ModelFolderError: If the network cannot answer.
            DeadlineError: If texts wait and nothing has been done with any for long.
        """
        self.classifier.scores(self.classifier.encode(_WARM_UP[:1]))
        stalled = self._batcher.stalled
        if stalled > max(_STALLED_SECONDS, self.capacity.seconds):
            raise DeadlineError(
                f"{self.waiting} texts wait, and nothing was done with any for {stalled:.0f} s"
            )

    def ask(
        self,
        texts: Sequence[str],
        function_to_apply: ScoreFunction | None = None,
        *,
        alone: bool = False,
        when_slow: Callable[[], None] | None = None,
    ) -> asyncio.Future[Scored]:
        """Asks about texts; the future ends in their scores, or in the reason for none.

        A future that is cancelled takes the texts back, unless they are being run already.

        Args:
            texts: The texts.
            function_to_apply: The score function; the model's own if None.
            alone: Whether the caller knows of no other, so that it may be answered on the spot.
            when_slow: Called once if the answer is not there after a twentieth of a second.

        Raises:
            QueueFullError: If too many texts wait.
            ClosedError: If the version is no longer served.
        """
        loop = asyncio.get_running_loop()
        future: asyncio.Future[Scored] = loop.create_future()
        deadline = time.monotonic() + self.capacity.seconds
        job = _PendingRequest(
            texts, function_to_apply, deadline, future=future, when_slow=when_slow
        )
        if alone and self._batcher.answer(job):
            _wake([job])
            return future
        try:
            self._batcher.submit(job)
        except QueueFullError:
            if self._watcher:
                self._watcher.refused("queue_full", 1)
            raise
        if not self._asked:
            loop.call_later(_TICK, self._look)
        self._asked.append(job)
        return future

    def _look(self) -> None:
        """Looks at the callers that wait, the first of whom has waited longest."""
        now = time.monotonic()
        late = DeadlineError(f"the texts were not answered within {self.capacity.seconds:g} s")
        while self._asked and (self._asked[0].future.done() or self._asked[0].deadline <= now):
            job = self._asked.popleft()
            if not job.future.done():
                job.future.set_exception(late)
        for job in self._asked:
            if now - job.asked < _TICK:
                break
            if job.when_slow and not job.future.done():
                job.when_slow()
                job.when_slow = None
        if self._asked:
            asyncio.get_running_loop().call_later(_TICK, self._look)

    async def scores(
        self, texts: Sequence[str], function_to_apply: ScoreFunction | None = None
    ) -> Scored:
        """The score of every class for every text, and which texts are given no label.

        Raises:
            EmptyTextsError: If texts hold no token.
            QueueFullError: If too many texts wait.
            DeadlineError: If they are not answered in time.
            ClosedError: If the version is no longer served.
        """
        return await self.ask(texts, function_to_apply)

    async def close(self) -> None:
        """Answers what was taken, takes no more, and lets the threads go."""
        await asyncio.to_thread(self._batcher.close)


def _hand_over(jobs: list[Job]) -> None:
    """Wakes the callers of finished jobs, each in its own event loop; called from a thread."""
    by_loop: dict[asyncio.AbstractEventLoop, list[_PendingRequest]] = {}
    for job in jobs:
        if isinstance(job, _PendingRequest):
            by_loop.setdefault(job.future.get_loop(), []).append(job)
    for loop, asked in by_loop.items():
        loop.call_soon_threadsafe(_wake, asked)


def _wake(jobs: list[_PendingRequest]) -> None:
    for job in jobs:
        if job.future.done():
            continue
        if isinstance(job.answer, Scored):
            job.future.set_result(job.answer)
        elif job.answer is not None:
            job.future.set_exception(job.answer)
