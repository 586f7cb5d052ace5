"""One version of one model, awaited from the event loop: futures, deadlines, cancellation."""

import asyncio
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cached_property

from gatewise.service.model.classifier import Classifier
from gatewise.service.model.input_encoding import Item
from gatewise.service.model.scores import ScoreFunction
from gatewise.service.model.streaming_classifier import is_streamed
from gatewise.service.serving.batching import (
    Batcher,
    Capacity,
    DeadlineError,
    Job,
    MetricsObserver,
    QueueFullError,
    Scored,
)
from gatewise.vocab.errors import GatewiseError
from gatewise.vocab.tokenizer.encoding import Ragged

_TICK = 0.05
"""Seconds between two checks of the pending requests: a timer for each would cost more."""

_STALLED_SECONDS = 10.0
"""Seconds without progress after which a model counts as failed: a batch takes far less."""


@dataclass(slots=True, eq=False)
class _PendingRequest(Job):
    """A job with the future that its caller awaits, and a callback for a slow answer."""

    future: asyncio.Future[Scored] = field(kw_only=True)
    when_slow: Callable[[], None] | None = None

    def is_wanted(self) -> bool:
        """Whether its caller has not cancelled it."""
        return not self.future.cancelled()


class ServedModel:
    """A version of a model that answers without blocking the event loop."""

    def __init__(
        self,
        name: str,
        version: str,
        classifier: Classifier,
        capacity: Capacity,
        observer: MetricsObserver | None = None,
        *,
        cascade: bool = False,
    ) -> None:
        self.name = name
        self.version = version
        self.classifier = classifier
        self.capacity = capacity
        self._observer = observer
        self._cascade = cascade
        self._arrived: list[_PendingRequest] = []  # that may run inline
        self._arrived_characters = 0
        self._pending: deque[_PendingRequest] = deque()
        self._batcher = Batcher(
            classifier, capacity, done=_hand_over, observer=observer, cascade=cascade
        )

    @property
    def sha256(self) -> str:
        """The digest of the folder's manifest, which has the digests of all its files."""
        return self.classifier.artifact.sha256

    @cached_property
    def streams(self) -> bool:
        """Whether it can classify a text token by token."""
        return is_streamed(self.classifier.artifact)

    @property
    def waiting(self) -> int:
        """The number of texts in the queue."""
        return self._batcher.waiting

    def warm_up(self) -> None:
        """Runs some texts, so that the first caller does not wait for one-time preparations."""
        samples = self.classifier.encoding.samples()
        # The first run of a shape is slower than the others.
        for texts in (samples[:1], samples):
            encoded = self.classifier.encode(texts)
            self.classifier.coverage_counter.count_unknown([text.ids for text in encoded])
            self.classifier.scores(encoded)
            if self._cascade:  # which leaves texts to the network as it reads many
                self.classifier.scores(Ragged.of(encoded))

    def check(self) -> None:
        """Checks its health by a text that no metric counts."""
        self.classifier.scores(self.classifier.encode(self.classifier.encoding.samples()[:1]))
        stalled = self._batcher.stalled
        if stalled > max(_STALLED_SECONDS, self.capacity.seconds):
            raise DeadlineError(f"{self.waiting} texts wait, without progress for {stalled:.0f} s")

    def ask(
        self,
        texts: Sequence[Item],
        function_to_apply: ScoreFunction | None = None,
        *,
        when_slow: Callable[[], None] | None = None,
    ) -> asyncio.Future[Scored]:
        """Starts to classify texts; the future ends with their scores or with an exception.

        A few short texts run in the event loop where nothing else runs, together with those of the
        requests that arrive meanwhile; others are queued. Cancelling the future removes the texts
        from the queue, unless they are running already. `when_slow` is called once if the answer
        takes longer than a twentieth of a second.
        """
        loop, arrived = asyncio.get_running_loop(), self._arrived
        future: asyncio.Future[Scored] = loop.create_future()
        deadline = time.monotonic() + self.capacity.seconds
        job = _PendingRequest(
            texts, function_to_apply, deadline, future=future, when_slow=when_slow
        )
        if not arrived or arrived[0].future.get_loop() is not loop:
            arrived = self._arrived = []
            self._arrived_characters = 0
        arrived.append(job)
        self._arrived_characters += job.characters
        if not self._batcher.takes_inline(self._arrived_characters):
            self._submit(arrived)
            arrived.clear()
        elif len(arrived) == 1:
            loop.call_soon(self._run_inline, arrived)
        return future

    def _run_inline(self, jobs: list[_PendingRequest], before: int = 0) -> None:
        """Runs jobs, once a turn of the event loop adds none; not if they are queued by then."""
        loop = asyncio.get_running_loop()
        if len(jobs) > before:
            # Without it, two groups of clients that take turns would stay apart, each a batch.
            loop.call_soon(self._run_inline, jobs, len(jobs))
        elif jobs:
            self._batcher.run_inline(jobs)
            _resolve(jobs)
            jobs.clear()  # before the next ones arrive

    def _submit(self, jobs: list[_PendingRequest]) -> None:
        """Queues jobs."""
        for job in jobs:
            try:
                self._batcher.submit(job)
            except GatewiseError as error:
                if self._observer and isinstance(error, QueueFullError):
                    self._observer.count_refused("queue_full", 1)
                job.answer = error
                _resolve([job])
                continue
            if not self._pending:
                asyncio.get_running_loop().call_later(_TICK, self._check_pending)
            self._pending.append(job)

    def _check_pending(self) -> None:
        """Fails late requests and calls `when_slow`; the first pending request is the oldest."""
        now = time.monotonic()
        late = DeadlineError(f"the texts were not answered within {self.capacity.seconds:g} s")
        while self._pending and (
            self._pending[0].future.done() or self._pending[0].deadline <= now
        ):
            job = self._pending.popleft()
            if not job.future.done():
                job.future.set_exception(late)
        for job in self._pending:
            if now - job.created < _TICK:
                break
            if job.when_slow and not job.future.done():
                job.when_slow()
                job.when_slow = None
        if self._pending:
            asyncio.get_running_loop().call_later(_TICK, self._check_pending)

    async def scores(
        self, texts: Sequence[Item], function_to_apply: ScoreFunction | None = None
    ) -> Scored:
        """Returns the score of every class for every text."""
        return await self.ask(texts, function_to_apply)

    async def close(self) -> None:
        """Takes no more texts, answers the queued ones, and ends the threads."""
        await asyncio.to_thread(self._batcher.close)


def _hand_over(jobs: list[Job]) -> None:
    """Resolves the futures of finished jobs, each in its own event loop; called from a thread."""
    by_loop: dict[asyncio.AbstractEventLoop, list[_PendingRequest]] = {}
    for job in jobs:
        if isinstance(job, _PendingRequest):
            by_loop.setdefault(job.future.get_loop(), []).append(job)
    for loop, pending in by_loop.items():
        loop.call_soon_threadsafe(_resolve, pending)


def _resolve(jobs: list[_PendingRequest]) -> None:
    for job in jobs:
        if job.future.done():
            continue
        if isinstance(job.answer, Scored):
            job.future.set_result(job.answer)
        elif job.answer is not None:
            job.future.set_exception(job.answer)
