"""Dynamic batching: a bounded queue of texts, tokenized and run in batches by threads.

There is no timer. Texts gather while a batch runs, and the next batch takes what has gathered,
oldest first, up to a number of texts and tokens. Texts that arrive at an idle batcher run at once,
a few short ones in the caller's thread.
"""

import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from operator import itemgetter
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from gatewise.service.model.cascade import Cascade
from gatewise.service.model.classifier import Classifier
from gatewise.service.model.input_encoding import Item
from gatewise.service.model.scores import ScoreFunction, apply
from gatewise.vocab.errors import EmptyTextError, GatewiseError
from gatewise.vocab.tokenizer.encoding import Encoded

_log = logging.getLogger(__name__)

MAX_BATCH_TEXTS = 256
"""The most texts that a thread tokenizes or runs at a time."""

MAX_BATCH_TOKENS = 8192
"""The most tokens that a thread runs at a time, unless a single text has more."""

MAX_INLINE_CHARACTERS = 512
"""The most characters that run in the caller's thread, which is blocked meanwhile."""


class EmptyTextsError(EmptyTextError):
    """Some texts of a job have no token."""

    def __init__(self, indices: Sequence[int]) -> None:
        super().__init__(f"no token to classify in the texts {', '.join(map(str, indices))}")
        self.indices = tuple(indices)


class QueueFullError(GatewiseError):
    """The queue has no room for a job; `retry_after` is when those that wait are answered."""

    def __init__(self, waiting: int, max_texts: int, retry_after: float) -> None:
        super().__init__(f"the queue is full: {waiting} texts wait, at most {max_texts} may")
        self.retry_after = retry_after


class DeadlineError(GatewiseError):
    """The texts were not answered in time."""


class ClosedError(GatewiseError):
    """The model takes no more texts."""


@dataclass(frozen=True, slots=True)
class Capacity:
    """Limits on the texts that a model takes at a time."""

    threads: int = 1  # batches that run at a time, each in its own thread
    max_texts: int = 2048  # texts that may wait. A job is always taken if no other text waits
    max_characters: int = 16 * 2**20  # characters of all texts that wait
    seconds: float = 10.0  # time after which an answer is too late


@dataclass(frozen=True, slots=True)
class Scored:
    """The scores of some texts."""

    # The score of every class for every text, float32, shape `(texts, classes)`.
    scores: NDArray[np.float32]
    # The answer to each text that gets none of the labels; None if it gets labels.
    none: list[str | None]
    truncated: int = 0  # the number of texts that are longer than the model reads


@dataclass(slots=True, eq=False)
class Job:
    """The texts of one caller."""

    texts: Sequence[Item]
    # The score function; None for the model's own.
    function: ScoreFunction | None
    deadline: float  # when the answer becomes useless, on `time.monotonic`'s clock
    # The scores, or the reason why there are none; None until the job is finished.
    answer: Scored | Exception | None = None
    # When the job was made, on the same clock.
    created: float = field(default_factory=time.monotonic)
    # The characters of all texts, or the numbers of all sequences.
    characters: int = field(init=False)
    # The ids of each text, once it is tokenized.
    encoded: list[Encoded] = field(default_factory=list)
    started: int = 0  # the number of texts that no longer wait
    # The scores so far, each part under the index of its first text.
    parts: dict[int, Scored] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.characters = _characters(self.texts)

    def is_wanted(self) -> bool:
        """Whether the caller still waits; called before the job costs anything."""
        return True

    def is_in_time(self) -> bool:
        """Whether the answer is still of use."""
        return self.is_wanted() and time.monotonic() < self.deadline

    def merged(self) -> Scored | None:
        """Returns the scores of all texts, or None while a part is missing."""
        parts = list(self.parts.items())
        if sum(len(part.none) for _, part in parts) < len(self.texts):
            return None
        ordered = [part for _, part in sorted(parts, key=itemgetter(0))]
        return Scored(
            np.concatenate([part.scores for part in ordered]),
            [label for part in ordered for label in part.none],
            sum(part.truncated for part in ordered),
        )


Answered = tuple[Job, Scored | Exception]
"""A job with its answer."""

JobSlice = tuple[Job, int, int]
"""A job, and the range of its texts that run in a batch."""


@dataclass(frozen=True, slots=True)
class BatchStats:
    """Statistics of one batch."""

    texts: list[Encoded]
    padding: int  # padding tokens
    # The highest probability of each text, float32, shape `(texts,)`; empty of predicted numbers.
    best: NDArray[np.float32]
    none: int  # texts that got none of the labels
    # The labels of the texts: of each one, or any number if it may have several.
    predicted: list[str]
    unknown: int  # tokens that are not in the vocabulary; a word in pieces is one
    waited: list[float]  # seconds from creation to this batch of each job that it begins
    linear: int = 0  # texts that the linear path alone classified


class MetricsObserver(Protocol):
    """Counts batches and refusals. The batching threads call it: it must be quick and safe."""

    def observe_batch(self, stats: BatchStats) -> None:
        """A batch has run."""

    def observe_later(self, stats: Callable[[], BatchStats]) -> None:
        """A batch has run in the event loop, which need not wait for its statistics."""

    def count_refused(self, reason: str, jobs: int) -> None:
        """Jobs got no scores: `gone`, `deadline`, `failed` or `queue_full`."""


class Batcher:
    """Runs the jobs of many callers through one classifier.

    `done` is called from a thread with finished jobs, whose `answer` is set.
    """

    def __init__(
        self,
        classifier: Classifier,
        capacity: Capacity,
        *,
        done: Callable[[list[Job]], None],
        observer: MetricsObserver | None = None,
        cascade: bool = False,
    ) -> None:
        self._classifier = classifier
        self._scored_by = classifier.cascade if cascade else classifier
        self._capacity = capacity
        self._done = done
        self._observer = observer
        self._arrived: deque[Job] = deque()
        self._encoded: deque[Job] = deque()
        self._waiting = self._characters = 0
        self._last_progress = 0.0
        self._seconds_per_text = 1e-4  # a running mean, which starts at a usual value
        self._closing = False
        self._idle = 0
        self._changed = threading.Condition()
        self._threads = [
            threading.Thread(target=self._work, name=f"gatewise-{number}", daemon=True)
            for number in range(capacity.threads)
        ]
        for thread in self._threads:
            thread.start()

    @property
    def waiting(self) -> int:
        """The number of texts in the queue, tokenized or not."""
        return self._waiting

    @property
    def stalled(self) -> float:
        """Seconds without progress while texts wait."""
        return time.monotonic() - self._last_progress if self._waiting else 0.0

    def submit(self, job: Job) -> None:
        """Queues a job, which `done` gets back in any case."""
        texts, characters = len(job.texts), job.characters
        with self._changed:
            if self._closing:
                raise ClosedError("the model takes no more texts")
            waiting, capacity = self._waiting, self._capacity
            if waiting and (
                waiting + texts > capacity.max_texts
                or self._characters + characters > capacity.max_characters
            ):
                seconds = waiting * self._seconds_per_text / capacity.threads
                raise QueueFullError(waiting, capacity.max_texts, seconds)
            if not waiting:
                self._last_progress = job.created
            self._waiting += texts
            self._characters += characters
            self._arrived.append(job)
            if self._idle:
                self._changed.notify()

    def takes_inline(self, characters: int) -> bool:
        """Whether texts of so many characters in all may run inline: all threads are idle."""
        return (
            characters <= MAX_INLINE_CHARACTERS
            and self._idle == len(self._threads)
            and not self._waiting
            and not self._closing
        )

    def run_inline(self, jobs: Sequence[Job]) -> None:
        """Runs a few short texts as one batch in the caller's thread.

        Handing them to another thread and back takes longer than running them. Each job's `answer`
        is set, and `done` is not called.
        """
        try:
            slices: list[JobSlice] = []
            for job in jobs:  # one at a time, which is faster where no other thread could run
                _, refused = encode(self._classifier, [job])
                if refused:
                    job.answer = refused[0][1]
                else:
                    slices.append((job, 0, len(job.texts)))
            if slices:
                answered, stats = compute(self._classifier, slices, self._scored_by)
                for job, answer in answered:
                    job.answer = answer
                if self._observer:
                    self._observer.observe_later(stats)
        except Exception as error:  # the callers get it as the answer
            failed = [job for job in jobs if job.answer is None]
            for job in failed:
                job.answer = error
            self._count_refused("failed", len(failed))

    def close(self) -> None:
        """Takes no more jobs, finishes the queued ones, and waits for the threads to end."""
        with self._changed:
            self._closing = True
            self._changed.notify_all()
        for thread in self._threads:
            thread.join()

    def _work(self) -> None:
        while True:
            with self._changed:
                while not self._arrived and not self._encoded:
                    if self._closing:
                        return
                    self._idle += 1
                    self._changed.wait()
                    self._idle -= 1
                self._last_progress = time.monotonic()
                arrived = self._take_arrived()
                if (self._arrived or self._encoded) and self._idle:
                    self._changed.notify()
            try:
                self._tokenize(arrived)
                self._run_batch()
            except Exception:  # a fault here or in the observer must not end the thread
                _log.exception("a batch was not finished")

    def _take_arrived(self) -> list[Job]:
        """Takes the jobs to tokenize next; at least one if there is any."""
        taken: list[Job] = []
        texts = 0
        while self._arrived and texts < MAX_BATCH_TEXTS:
            job = self._arrived.popleft()
            texts += len(job.texts)
            taken.append(job)
        return taken

    def _tokenize(self, jobs: list[Job]) -> None:
        """Tokenizes jobs and queues them for running."""
        jobs = self._drop_useless(jobs)
        if not jobs:
            return
        try:
            ready, refused = encode(self._classifier, jobs)
        except Exception as error:  # every waiter gets it, whatever it is
            self._fail(jobs, error)
            return
        with self._changed:
            self._encoded.extend(ready)
        self._finish(refused)

    def _run_batch(self) -> None:
        """Runs one batch of tokenized texts."""
        slices = self._take_batch()
        if not slices:
            return
        try:
            start = time.monotonic()
            finished, stats = compute(self._classifier, slices, self._scored_by)
        except Exception as error:  # every waiter gets it, whatever it is
            self._fail([job for job, _, _ in slices], error)
            return
        self._finish(finished)
        seconds = (time.monotonic() - start) / sum(end - first for _, first, end in slices)
        self._seconds_per_text += 0.1 * (seconds - self._seconds_per_text)
        if self._observer:
            self._observer.observe_batch(stats())

    def _take_batch(self) -> list[JobSlice]:
        """Takes the texts to run next, oldest first."""
        slices: list[JobSlice] = []
        useless: list[Job] = []
        texts = tokens = 0
        with self._changed:
            while self._encoded and texts < MAX_BATCH_TEXTS:
                job = self._encoded[0]
                if not job.is_in_time():
                    useless.append(self._encoded.popleft())
                    continue
                start = end = job.started
                while end < len(job.texts) and texts < MAX_BATCH_TEXTS:
                    length = len(job.encoded[end].ids)
                    if texts and tokens + length > MAX_BATCH_TOKENS:
                        break
                    end, texts, tokens = end + 1, texts + 1, tokens + length
                self._mark_started(job, end)
                if end > start:
                    slices.append((job, start, end))
                if end < len(job.texts):
                    break
                self._encoded.popleft()
        self._drop(useless)
        return slices

    def _mark_started(self, job: Job, end: int) -> None:
        """Counts a job's texts before `end` as no longer waiting."""
        self._waiting -= end - job.started
        self._characters -= _characters(job.texts[job.started : end])
        job.started = end

    def _drop_useless(self, jobs: list[Job]) -> list[Job]:
        """Drops the jobs whose answer is of no use any more; returns the others."""
        useless = [job for job in jobs if not job.is_in_time()]
        self._drop(useless)
        return [job for job in jobs if job.answer is None] if useless else jobs

    def _drop(self, jobs: list[Job]) -> None:
        """Finishes jobs that nobody waits for, or that are late, before they cost anything."""
        gone = sum(not job.is_wanted() for job in jobs)
        late = DeadlineError("the texts were not answered in time")
        self._finish([(job, late) for job in jobs])
        self._count_refused("gone", gone)
        self._count_refused("deadline", len(jobs) - gone)

    def _fail(self, jobs: list[Job], error: Exception) -> None:
        """Finishes every job of a failed batch with the error."""
        self._finish([(job, error) for job in jobs])
        self._count_refused("failed", len(jobs))

    def _count_refused(self, reason: str, jobs: int) -> None:
        if self._observer and jobs:
            self._observer.count_refused(reason, jobs)

    def _finish(self, answered: Sequence[Answered]) -> None:
        """Sets the answers of jobs and hands them back, each once, even if a part still waits."""
        if not answered:
            return
        finished = []
        with self._changed:
            for job, answer in answered:
                if job.answer is None:
                    job.answer = answer
                    if job.started < len(job.texts):
                        self._mark_started(job, len(job.texts))
                        if job in self._encoded:
                            self._encoded.remove(job)
                    finished.append(job)
        if finished:
            self._done(finished)


def _characters(texts: Sequence[Item]) -> int:
    return sum(len(text) if isinstance(text, str) else text.size for text in texts)


def encode(classifier: Classifier, jobs: Sequence[Job]) -> tuple[list[Job], list[Answered]]:
    """Tokenizes the texts of jobs together."""
    encoded = classifier.encode([text for job in jobs for text in job.texts])
    ready: list[Job] = []
    refused: list[Answered] = []
    start = 0
    for job in jobs:
        job.encoded = encoded[start : start + len(job.texts)]
        start += len(job.texts)
        if empty := [index for index, text in enumerate(job.encoded) if text.is_empty]:
            refused.append((job, EmptyTextsError(empty)))
        else:
            ready.append(job)
    return ready, refused


def compute(
    classifier: Classifier, slices: Sequence[JobSlice], scored_by: Classifier | Cascade
) -> tuple[list[Answered], Callable[[], BatchStats]]:
    """Runs texts of jobs as one batch; what counts it is computed once it is called for."""
    now = time.monotonic()
    texts = [text for job, start, end in slices for text in job.encoded[start:end]]
    logits, padding, linear = scored_by.padded_logits(texts)
    own = apply(classifier.score_function, logits)
    none = classifier.none_labels(own)
    finished: list[Answered] = []
    at = 0
    for job, start, end in slices:
        rows = slice(at, at + end - start)
        at = rows.stop
        scores = own[rows] if job.function is None else apply(job.function, logits[rows])
        truncated = sum(text.truncated for text in job.encoded[start:end])
        part = Scored(scores, none[rows], truncated)
        if end - start == len(job.texts):
            finished.append((job, part))
            continue
        job.parts[start] = part
        # Another thread may run the rest of a long job: the last one merges the parts.
        if merged := job.merged():
            finished.append((job, merged))
    return finished, lambda: BatchStats(
        texts=texts,
        padding=padding,
        best=own.max(axis=1) if classifier.task != "regression" else own[:0, 0],
        none=len(none) - none.count(None),
        predicted=classifier.predicted(own, none),
        unknown=classifier.coverage_counter.count_unknown([text.ids for text in texts]),
        waited=[now - job.created for job, start, _ in slices if not start],
        linear=linear,
    )
