"""Texts of many callers, answered together: tokenized, queued, and run in batches by threads.

There is no timer. While a batch is run, texts gather; the next batch is what has gathered, oldest
first, up to a number of tokens, texts of like length side by side. A lonely text is run at once.
Knows neither HTTP nor the event loop: a caller hands in a job and is called back from a thread.
"""

import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence

from gatewise.service.model.classifier import Classifier
from gatewise.service.serving.batching_jobs import (
    ClosedError,
    DeadlineError,
    Job,
    MetricsObserver,
    QueueFullError,
)
from gatewise.service.serving.batching_rounds import Answered, Row, compute, encode

_log = logging.getLogger(__name__)

ROUND_TEXTS = 256
"""Most texts that a thread takes at a time, to tokenize or to run."""

ROUND_TOKENS = 8192
"""Most tokens that a thread takes at a time, unless one text alone has more."""

AT_ONCE_CHARACTERS = 512
"""Most characters that are worth answering in the caller's thread, which does nothing else then."""


class Batcher:
    """A classifier that answers many callers at a time.

    Args:
        classifier: The model.
        threads: Batches that are run at a time, each in a thread of its own.
        most_texts: Texts that may wait; a job is always taken where none does.
        most_characters: Characters that these may have together.
        done: Called from a thread with the jobs that are finished, their `answer` filled in.
        watcher: Who counts what is done.
    """

    def __init__(
        self,
        classifier: Classifier,
        *,
        threads: int,
        most_texts: int,
        most_characters: int,
        done: Callable[[list[Job]], None],
        watcher: MetricsObserver | None = None,
    ) -> None:
        self._classifier = classifier
        self._most_texts = most_texts
        self._most_characters = most_characters
        self._done = done
        self._watcher = watcher
        self._arrived: deque[Job] = deque()
        self._encoded: deque[Job] = deque()
        self._waiting = self._characters = 0
        self._moved = 0.0
        self._seconds_of_text = 1e-4  # a running mean, from what is usual to what is measured
        self._closing = False
        self._idle = 0
        self._change = threading.Condition()
        self._threads = [
            threading.Thread(target=self._work, name=f"gatewise-{number}", daemon=True)
            for number in range(threads)
        ]
        for thread in self._threads:
            thread.start()

    @property
    def waiting(self) -> int:
        """Texts that were taken and are not being run yet."""
        return self._waiting

    @property
    def stalled(self) -> float:
        """Seconds for which texts have waited and nothing was done with any."""
        return time.monotonic() - self._moved if self._waiting else 0.0

    def submit(self, job: Job) -> None:
        """Takes a job, which is then always handed back to `done`.

        Raises:
            QueueFullError: If too many texts wait; the job is not taken.
            ClosedError: If the batcher was closed.
        """
        texts, characters = len(job.texts), sum(map(len, job.texts))
        with self._change:
            if self._closing:
                raise ClosedError("the model takes no more texts")
            waiting = self._waiting
            if waiting and (
                waiting + texts > self._most_texts
                or self._characters + characters > self._most_characters
            ):
                seconds = waiting * self._seconds_of_text / len(self._threads)
                raise QueueFullError(waiting, self._most_texts, seconds)
            if not waiting:
                self._moved = job.asked
            self._waiting += texts
            self._characters += characters
            self._arrived.append(job)
            if self._idle:
                self._change.notify()

    def answer(self, job: Job) -> bool:
        """Answers a short job in the caller's own thread, if no other waits.

        For a lone text the way to another thread and back takes longer than the text itself.

        Returns:
            Whether `job.answer` is filled in; `done` is not called.
        """
        if self._waiting or self._closing or sum(map(len, job.texts)) > AT_ONCE_CHARACTERS:
            return False
        try:
            _, answered = encode(self._classifier, [job])
            if not answered:
                answered, done = compute(self._classifier, [(job, 0, len(job.texts))])
                if self._watcher:
                    self._watcher.ran(done)
            ((_, job.answer),) = answered
        except Exception as error:  # it is the caller's to tell
            job.answer = error
        return True

    def close(self) -> None:
        """Takes no more jobs, answers those that were taken, and waits for the threads to end."""
        with self._change:
            self._closing = True
            self._change.notify_all()
        for thread in self._threads:
            thread.join()

    def _work(self) -> None:
        while True:
            with self._change:
                while not self._arrived and not self._encoded:
                    if self._closing:
                        return
                    self._idle += 1
                    self._change.wait()
                    self._idle -= 1
                self._moved = time.monotonic()
                arrived = self._take_arrived()
                if (self._arrived or self._encoded) and self._idle:
                    self._change.notify()
            try:
                self._tokenize(arrived)
                self._run()
            except Exception:  # a fault of ours or of the watcher's must not end the thread
                _log.exception("a batch was not finished")

    def _take_arrived(self) -> list[Job]:
        """As many jobs as are tokenized at a time; at least one if there is any."""
        taken: list[Job] = []
        texts = 0
        while self._arrived and texts < ROUND_TEXTS:
            job = self._arrived.popleft()
            texts += len(job.texts)
            taken.append(job)
        return taken

    def _tokenize(self, jobs: list[Job]) -> None:
        """Tokenizes jobs and puts them among those that are to be run."""
        jobs = self._still_wanted(jobs)
        if not jobs:
            return
        try:
            ready, refused = encode(self._classifier, jobs)
        except Exception as error:  # every waiter is told, whatever it was
            self._fail(jobs, error)
            return
        with self._change:
            self._encoded.extend(ready)
        self._hand_back(refused)

    def _run(self) -> None:
        """Runs one round of what is tokenized."""
        rows = self._take_encoded()
        if not rows:
            return
        try:
            start = time.monotonic()
            finished, done = compute(self._classifier, rows)
        except Exception as error:  # every waiter is told, whatever it was
            self._fail([job for job, _, _ in rows], error)
            return
        self._hand_back(finished)
        seconds = (time.monotonic() - start) / len(done.texts)
        self._seconds_of_text += 0.1 * (seconds - self._seconds_of_text)
        if self._watcher:
            self._watcher.ran(done)

    def _take_encoded(self) -> list[Row]:
        """Which texts of which jobs are run at a time, oldest first."""
        rows: list[Row] = []
        dropped: list[Job] = []
        texts = tokens = 0
        with self._change:
            while self._encoded and texts < ROUND_TEXTS:
                job = self._encoded[0]
                if not job.is_in_time():
                    dropped.append(self._encoded.popleft())
                    continue
                start = end = job.taken
                while end < len(job.texts) and texts < ROUND_TEXTS:
                    length = len(job.encoded[end].ids)
                    if texts and tokens + length > ROUND_TOKENS:
                        break
                    end, texts, tokens = end + 1, texts + 1, tokens + length
                self._count_out(job, end)
                if end > start:
                    rows.append((job, start, end))
                if end < len(job.texts):
                    break
                self._encoded.popleft()
        self._drop(dropped)
        return rows

    def _count_out(self, job: Job, end: int) -> None:
        """Counts a job's texts before `end` no longer among those that wait."""
        self._waiting -= end - job.taken
        self._characters -= sum(map(len, job.texts[job.taken : end]))
        job.taken = end

    def _still_wanted(self, jobs: list[Job]) -> list[Job]:
        unwanted = [job for job in jobs if not job.is_in_time()]
        self._drop(unwanted)
        return [job for job in jobs if job.answer is None] if unwanted else jobs

    def _drop(self, jobs: list[Job]) -> None:
        """Hands back jobs that nobody waits for, or that are late, before they cost anything."""
        gone = sum(not job.is_wanted() for job in jobs)
        late = DeadlineError("the texts were not answered in time")
        self._hand_back([(job, late) for job in jobs])
        self._tell("gone", gone)
        self._tell("deadline", len(jobs) - gone)

    def _fail(self, jobs: list[Job], error: Exception) -> None:
        """Tells every waiter of a batch why it failed."""
        self._hand_back([(job, error) for job in jobs])
        self._tell("failed", len(jobs))

    def _tell(self, reason: str, jobs: int) -> None:
        if self._watcher and jobs:
            self._watcher.refused(reason, jobs)

    def _hand_back(self, answered: Sequence[Answered]) -> None:
        """Hands jobs back, each once, whatever became of the rest of it."""
        if not answered:
            return
        handed = []
        with self._change:
            for job, answer in answered:
                if job.answer is None:
                    job.answer = answer
                    if job.taken < len(job.texts):
                        self._count_out(job, len(job.texts))
                        if job in self._encoded:
                            self._encoded.remove(job)
                    handed.append(job)
        if handed:
            self._done(handed)
