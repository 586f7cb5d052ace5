"""A batcher as its callers see it: jobs go in, and each comes back once with its answer."""

import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

import numpy as np
import pytest
from gatewise.service.model.classifier import Classifier
from gatewise.service.serving import batching
from gatewise.service.serving.batching import Batcher
from gatewise.service.serving.batching_jobs import (
    BatchStats,
    ClosedError,
    DeadlineError,
    EmptyTextsError,
    Job,
    QueueFullError,
    Scored,
)
from gatewise.vocab.tokenizer.encoding import Encoded


class Watching:
    def __init__(self) -> None:
        self.rounds: list[BatchStats] = []
        self.refusals: list[tuple[str, int]] = []

    def ran(self, done: BatchStats) -> None:
        self.rounds.append(done)

    def refused(self, reason: str, jobs: int) -> None:
        self.refusals.append((reason, jobs))


class Desk:
    """Hands jobs to a batcher and waits for them."""

    def __init__(self, classifier: Classifier, **bounds: int) -> None:
        self.watching = Watching()
        self.returned: list[Job] = []
        self._came = threading.Condition()
        given = {"threads": 1, "most_texts": 1000, "most_characters": 10**6, **bounds}
        self.batcher = Batcher(classifier, done=self._done, watcher=self.watching, **given)

    def _done(self, jobs: list[Job]) -> None:
        with self._came:
            self.returned += jobs
            self._came.notify_all()

    def submit(self, texts: Sequence[str], seconds: float = 60) -> Job:
        job = Job(texts, None, time.monotonic() + seconds)
        self.batcher.submit(job)
        return job

    def wait(self, jobs: int) -> None:
        with self._came:
            assert self._came.wait_for(lambda: len(self.returned) >= jobs, 30)


@contextmanager
def desk(classifier: Classifier, **bounds: int) -> Iterator[Desk]:
    one = Desk(classifier, **bounds)
    try:
        yield one
    finally:
        one.batcher.close()


@pytest.fixture
def held_up(
    classifier: Classifier, monkeypatch: pytest.MonkeyPatch
) -> tuple[threading.Event, threading.Event]:
    """A classifier that, once it runs (the first event), runs on after the second event only."""
    running, go_on = threading.Event(), threading.Event()
    run = classifier.padded_logits

    def wait_and_run(encoded: Sequence[Encoded]) -> object:
        running.set()
        assert go_on.wait(30)
        return run(encoded)

    monkeypatch.setattr(classifier, "padded_logits", wait_and_run)
    return running, go_on


def scores(job: Job) -> np.ndarray:
    assert isinstance(job.answer, Scored), job.answer
    return job.answer.scores


@pytest.mark.parametrize("threads", [1, 3])
def test_every_job_gets_the_scores_of_its_own_texts(classifier: Classifier, threads: int) -> None:
    words = ["where", "who", "how many", "is it", "the station", "why" * 40]
    with desk(classifier, threads=threads) as one:
        jobs = [
            one.submit(
                [" ".join(words[: 1 + (number + text) % 6]) for text in range(number % 7 + 1)]
            )
            for number in range(120)
        ]
        one.wait(120)
    assert len(one.returned) == 120
    for job in jobs:
        np.testing.assert_array_equal(scores(job), classifier.predict_proba(list(job.texts)))


@pytest.mark.parametrize("threads", [1, 4])
def test_a_job_that_is_run_in_parts_is_put_together(
    classifier: Classifier, threads: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(batching, "ROUND_TEXTS", 3)
    monkeypatch.setattr(batching, "ROUND_TOKENS", 20)
    texts = [f"{'where is it ' * (number % 5)} {number}" for number in range(100)]
    with desk(classifier, threads=threads) as one:
        job = one.submit(texts)
        one.wait(1)
        assert one.batcher.waiting == 0
    np.testing.assert_array_equal(scores(job), classifier.predict_proba(texts))
    assert len(one.watching.rounds) > 30
    assert sum(len(done.waited) for done in one.watching.rounds) == 1


def test_what_comes_while_a_batch_is_run_is_the_next_batch(
    classifier: Classifier, held_up: tuple[threading.Event, threading.Event]
) -> None:
    running, go_on = held_up
    with desk(classifier) as one:
        one.submit(["who"])
        assert running.wait(30)
        for _ in range(20):
            one.submit(["where is it", "how many"])
        go_on.set()
        one.wait(21)
        one.batcher.close()
    assert [len(done.texts) for done in one.watching.rounds] == [1, 40]


def test_texts_are_counted_with_their_padding(classifier: Classifier) -> None:
    with desk(classifier) as one:
        one.submit(["who", "where is the station"])
        one.wait(1)
        one.batcher.close()
    (done,) = one.watching.rounds
    lengths = [len(text.ids) for text in done.texts]
    assert done.padding == max(lengths) * 2 - sum(lengths)
    assert done.best.shape == (2,)
    assert len(done.waited) == 1


def test_a_full_queue_refuses_and_says_when_to_come_again(
    classifier: Classifier, held_up: tuple[threading.Event, threading.Event]
) -> None:
    running, go_on = held_up
    with desk(classifier, most_texts=4, most_characters=100) as one:
        one.submit(["who"])
        assert running.wait(30)
        one.submit(["who", "how"])
        one.submit(["who"])
        with pytest.raises(QueueFullError, match="3 texts wait already, of 4") as refused:
            one.submit(["who", "how"])
        assert refused.value.retry_after > 0
        with pytest.raises(QueueFullError):  # there is room for a text, but not for so long a one
            one.submit(["a" * 100])
        go_on.set()
        one.wait(3)
        one.submit(["a" * 1000])  # none waits: whatever it is, it is taken
        one.wait(4)
    assert one.batcher.waiting == 0


def test_a_failing_batch_fails_every_waiter_and_nobody_else(
    classifier: Classifier, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = classifier.padded_logits
    running, go_on = threading.Event(), threading.Event()

    def fail_once(encoded: Sequence[Encoded]) -> object:
        first = not running.is_set()
        running.set()
        if first:
            assert go_on.wait(30)
            return run(encoded)
        monkeypatch.setattr(classifier, "padded_logits", run)
        raise RuntimeError("a fault")

    monkeypatch.setattr(classifier, "padded_logits", fail_once)
    with desk(classifier) as one:
        before = one.submit(["who"])
        assert running.wait(30)
        failing = [one.submit(["where"]), one.submit(["how many"])]
        go_on.set()
        one.wait(3)
        after = one.submit(["who"])
        one.wait(4)
    assert [str(job.answer) for job in failing] == ["a fault", "a fault"]
    assert isinstance(before.answer, Scored)
    assert isinstance(after.answer, Scored)
    assert one.watching.refusals == [("failed", 2)]


def test_a_failing_dictionary_fails_every_waiter(
    classifier: Classifier, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(texts: Sequence[str]) -> list[Encoded]:
        raise RuntimeError("a fault")

    with monkeypatch.context() as patched, desk(classifier) as one:
        patched.setattr(classifier, "encode", broken)
        job = one.submit(["who"])
        one.wait(1)
        assert str(job.answer) == "a fault"
        patched.undo()
        assert isinstance(after_one(one).answer, Scored)


def after_one(one: Desk) -> Job:
    job = one.submit(["who"])
    one.wait(2)
    return job


def test_a_text_without_a_token_fails_its_own_job_only(classifier: Classifier) -> None:
    with desk(classifier) as one:
        bad, good = one.submit(["who", " ", ""]), one.submit(["who"])
        one.wait(2)
    assert isinstance(bad.answer, EmptyTextsError)
    assert bad.answer.indices == (1, 2)
    assert isinstance(good.answer, Scored)


class Unwanted(Job):
    def is_wanted(self) -> bool:
        return False


def test_what_nobody_waits_for_costs_nothing(
    classifier: Classifier, held_up: tuple[threading.Event, threading.Event]
) -> None:
    running, go_on = held_up
    with desk(classifier) as one:
        one.submit(["who"])
        assert running.wait(30)
        gone = Unwanted(["where"], None, time.monotonic() + 60)
        one.batcher.submit(gone)
        late = one.submit(["how"], seconds=0)
        one.submit(["why"])
        go_on.set()
        one.wait(4)
        one.batcher.close()
    assert isinstance(late.answer, DeadlineError)
    assert not isinstance(gone.answer, Scored)
    assert sum(len(done.texts) for done in one.watching.rounds) == 2
    assert sorted(one.watching.refusals) == [("deadline", 1), ("gone", 1)]
    assert one.batcher.waiting == 0


def test_closing_answers_what_was_taken_and_takes_no_more(
    classifier: Classifier, held_up: tuple[threading.Event, threading.Event]
) -> None:
    running, go_on = held_up
    one = Desk(classifier)
    jobs = [one.submit(["who"])]
    assert running.wait(30)
    jobs += [one.submit(["where"]) for _ in range(5)]
    closing = threading.Thread(target=one.batcher.close)
    closing.start()
    refuses: Callable[[], bool] = lambda: one.batcher._closing  # noqa: E731
    while not refuses():
        time.sleep(0.001)
    with pytest.raises(ClosedError):
        one.submit(["how"])
    go_on.set()
    closing.join(30)
    assert not closing.is_alive()
    assert all(isinstance(job.answer, Scored) for job in jobs)


def test_a_watcher_that_fails_does_not_end_the_thread(
    classifier: Classifier, caplog: pytest.LogCaptureFixture
) -> None:
    with desk(classifier) as one:
        broken = Watching()

        def fail(done: BatchStats) -> None:
            raise RuntimeError("a watcher's fault")

        broken.ran = fail  # type: ignore[method-assign]
        one.batcher._watcher = broken
        jobs = [one.submit(["who"])]
        one.wait(1)
        jobs.append(one.submit(["who"]))
        one.wait(2)
    assert all(isinstance(job.answer, Scored) for job in jobs)
    assert "not finished" in caplog.text


def test_a_lone_short_text_may_be_answered_on_the_spot(classifier: Classifier) -> None:
    with desk(classifier) as one:
        job = Job(["who", "where is it"], "none", time.monotonic() + 60)
        assert one.batcher.answer(job)
        expected = classifier.scores(classifier.encode(list(job.texts)), "none")
        np.testing.assert_array_equal(scores(job), expected)
        empty = Job([""], None, time.monotonic() + 60)
        assert one.batcher.answer(empty)
        assert isinstance(empty.answer, EmptyTextsError)
        assert not one.batcher.answer(Job(["where " * 200], None, time.monotonic() + 60))
    assert not one.returned
    assert not one.batcher.answer(Job(["who"], None, time.monotonic() + 60))
