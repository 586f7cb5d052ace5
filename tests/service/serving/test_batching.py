"""The batcher: every job comes back once, with its scores or the reason for none."""

import threading
import time
from contextlib import contextmanager

import numpy as np
import pytest

from gatewise.service.serving import batching
from gatewise.service.serving.batching import (
    Batcher,
    Capacity,
    ClosedError,
    DeadlineError,
    EmptyTextsError,
    Job,
    QueueFullError,
    Scored,
)


class Client:
    """Submits jobs to a batcher, waits for them, and observes the batches."""

    def __init__(self, classifier, **capacity):
        self.batches, self.later = [], []
        self.refused = []
        self.returned = []
        self._changed = threading.Condition()
        self.batcher = Batcher(classifier, Capacity(**capacity), done=self._done, observer=self)

    def observe_batch(self, stats):
        self.batches.append(stats)

    def observe_later(self, stats):
        self.later.append(stats)

    def count_refused(self, reason, jobs):
        self.refused.append((reason, jobs))

    def _done(self, jobs):
        with self._changed:
            self.returned += jobs
            self._changed.notify_all()

    def submit(self, *texts, seconds=60, kind=Job):
        job = kind(texts, None, time.monotonic() + seconds)
        self.batcher.submit(job)
        return job

    def wait(self, jobs):
        with self._changed:
            assert self._changed.wait_for(lambda: len(self.returned) >= jobs, 30)


@contextmanager
def batching_client(classifier, **capacity):
    client = Client(classifier, **capacity)
    try:
        yield client
    finally:
        client.batcher.close()


def scores(job):
    assert isinstance(job.answer, Scored), job.answer
    return job.answer.scores


@pytest.mark.parametrize("threads", [1, 3])
def test_every_job_gets_the_scores_of_its_own_texts(classifier, threads):
    words = ["where", "who", "how many", "is it", "the station", "why" * 40]
    with batching_client(classifier, threads=threads) as client:
        jobs = [
            client.submit(
                *(" ".join(words[: 1 + (number + text) % 6]) for text in range(number % 7 + 1))
            )
            for number in range(120)
        ]
        client.wait(120)
    assert len(client.returned) == 120
    for job in jobs:
        np.testing.assert_array_equal(scores(job), classifier.predict_proba(list(job.texts)))


@pytest.mark.parametrize("threads", [1, 4])
def test_the_parts_of_a_long_job_are_merged(classifier, threads, monkeypatch):
    monkeypatch.setattr(batching, "MAX_BATCH_TEXTS", 3)
    monkeypatch.setattr(batching, "MAX_BATCH_TOKENS", 20)
    texts = [f"{'where is it ' * (number % 5)} {number}" for number in range(100)]
    with batching_client(classifier, threads=threads) as client:
        job = client.submit(*texts)
        client.wait(1)
        assert client.batcher.waiting == 0
    np.testing.assert_array_equal(scores(job), classifier.predict_proba(texts))
    assert len(client.batches) > 30
    assert sum(len(stats.waited) for stats in client.batches) == 1


def test_texts_that_arrive_while_a_batch_runs_form_the_next_batch(classifier, blocked):
    with batching_client(classifier) as client:
        client.submit("who")
        assert blocked.running.wait(30)
        for _ in range(20):
            client.submit("where is the station", "how many")
        blocked.resume.set()
        client.wait(21)
    first, second = client.batches
    assert (len(first.texts), len(second.texts)) == (1, 40)
    assert (second.best.shape, len(second.waited)) == ((40,), 20)
    lengths = [len(text.ids) for text in second.texts]
    assert second.padding == max(lengths) * 40 - sum(lengths)


def test_a_full_queue_refuses_and_says_when_to_retry(classifier, blocked):
    with batching_client(classifier, max_texts=4, max_characters=100) as client:
        client.submit("who")
        assert blocked.running.wait(30)
        client.submit("who", "how")
        client.submit("who")
        with pytest.raises(QueueFullError, match="3 texts wait, at most 4 may") as refused:
            client.submit("who", "how")
        assert refused.value.retry_after > 0
        with pytest.raises(QueueFullError):  # for its characters
            client.submit("a" * 100)
        blocked.resume.set()
        client.wait(3)
        client.submit("a" * 1000)  # no text waits: a job of any size is taken
        client.wait(4)
    assert client.batcher.waiting == 0


def test_a_failing_batch_fails_all_its_jobs_and_no_other(classifier, blocked, monkeypatch):
    run = classifier.padded_logits

    def fail_two(encoded):
        if len(encoded) == 2:
            raise RuntimeError("a fault")
        return run(encoded)

    monkeypatch.setattr(classifier, "padded_logits", fail_two)
    with batching_client(classifier) as client:
        before = client.submit("who")
        assert blocked.running.wait(30)
        failing = [client.submit("where"), client.submit("how many")]
        blocked.resume.set()
        client.wait(3)
        after = client.submit("who")
        client.wait(4)
    assert [str(job.answer) for job in failing] == ["a fault", "a fault"]
    assert isinstance(before.answer, Scored)
    assert isinstance(after.answer, Scored)
    assert client.refused == [("failed", 2)]


def test_a_fault_of_the_tokenizer_or_the_observer_does_not_end_the_thread(
    classifier, caplog, monkeypatch
):
    def fail(argument):
        raise RuntimeError("a fault")

    with batching_client(classifier) as client:
        with monkeypatch.context() as patched:
            patched.setattr(classifier, "encode", fail)
            failing = client.submit("who")
            client.wait(1)
        with monkeypatch.context() as patched:
            patched.setattr(client, "observe_batch", fail)
            scored = [client.submit("who")]
            client.wait(2)
            scored.append(client.submit("who"))
            client.wait(3)
    assert str(failing.answer) == "a fault"
    assert all(isinstance(job.answer, Scored) for job in scored)
    assert "not finished" in caplog.text


def test_a_text_without_a_token_fails_its_own_job_only(classifier):
    with batching_client(classifier) as client:
        bad, good = client.submit("who", " ", ""), client.submit("who")
        client.wait(2)
    assert isinstance(bad.answer, EmptyTextsError)
    assert bad.answer.indices == (1, 2)
    assert isinstance(good.answer, Scored)


class CancelledJob(Job):
    def is_wanted(self):
        return False


def test_late_and_cancelled_jobs_are_not_run(classifier, blocked):
    with batching_client(classifier) as client:
        client.submit("who")
        assert blocked.running.wait(30)
        cancelled = client.submit("where", kind=CancelledJob)
        late = client.submit("how", seconds=0)
        client.submit("why")
        blocked.resume.set()
        client.wait(4)
    assert isinstance(late.answer, DeadlineError)
    assert not isinstance(cancelled.answer, Scored)
    assert sum(len(stats.texts) for stats in client.batches) == 2
    assert sorted(client.refused) == [("deadline", 1), ("gone", 1)]
    assert client.batcher.waiting == 0


def test_closing_answers_the_queued_jobs_and_takes_no_more(classifier, blocked):
    client = Client(classifier)
    jobs = [client.submit("who")]
    assert blocked.running.wait(30)
    jobs += [client.submit("where") for _ in range(5)]
    closing = threading.Thread(target=client.batcher.close)
    closing.start()

    def submit_until_closed():
        while True:
            jobs.append(client.submit("how"))
            time.sleep(0.001)

    with pytest.raises(ClosedError):
        submit_until_closed()
    blocked.resume.set()
    closing.join(30)
    assert not closing.is_alive()
    assert all(isinstance(job.answer, Scored) for job in jobs)


def test_a_few_short_texts_run_inline_as_one_batch(classifier, blocked, wait_until):
    def job(*texts):
        return Job(texts, "none", time.monotonic() + 60)

    jobs = [job("who", "where is it"), job(""), job("how many")]
    with batching_client(classifier) as client:
        wait_until(lambda: client.batcher.takes_inline(batching.MAX_INLINE_CHARACTERS))
        assert not client.batcher.takes_inline(batching.MAX_INLINE_CHARACTERS + 1)
        blocked.resume.set()
        client.batcher.run_inline(jobs)
        assert isinstance(jobs[1].answer, EmptyTextsError)
        for each in (jobs[0], jobs[2]):
            expected = classifier.scores(classifier.encode(list(each.texts)), "none")
            np.testing.assert_array_equal(scores(each), expected)
        assert not client.batches
        (stats,) = client.later
        assert len(stats().texts) == 3
        assert not client.returned
        blocked.running.clear()
        blocked.resume.clear()
        client.submit("who")
        assert blocked.running.wait(30)
        assert not client.batcher.takes_inline(1)  # for a thread is at work
        blocked.resume.set()
    assert not client.batcher.takes_inline(1)


def test_a_batch_that_fails_inline_is_counted(classifier, monkeypatch):
    def fail(encoded):
        raise RuntimeError("a fault")

    monkeypatch.setattr(classifier, "padded_logits", fail)
    jobs = [Job([text], None, time.monotonic() + 60) for text in ("who", "", "where")]
    with batching_client(classifier) as client:
        client.batcher.run_inline(jobs)
    assert [str(job.answer) for job in jobs if job.texts != [""]] == ["a fault"] * 2
    assert isinstance(jobs[1].answer, EmptyTextsError)
    assert client.refused == [("failed", 2)]
    assert not client.batches
    assert not client.later
