"""A served model, awaited: answers, refusals, deadlines, cancellation, health."""

import asyncio
from contextlib import AsyncExitStack

import pytest

from gatewise.service.model.errors import ModelFolderError
from gatewise.service.serving.batching import (
    MAX_INLINE_CHARACTERS,
    Capacity,
    DeadlineError,
    EmptyTextsError,
    QueueFullError,
)
from gatewise.service.serving.served_model import ServedModel

pytestmark = pytest.mark.anyio

LONG = "where " * MAX_INLINE_CHARACTERS
"""A text that does not run inline."""


@pytest.fixture
async def serve(classifier):
    """Serves the model with some capacity."""
    async with AsyncExitStack() as stack:

        def served(observer=None, **capacity):
            model = ServedModel("model", "1", classifier, Capacity(**capacity), observer)
            stack.push_async_callback(model.close)
            return model

        yield served


async def test_a_deadline_passes_while_the_batch_runs(serve, blocked):
    served = serve(seconds=0.1)
    answers = [served.ask([LONG]) for _ in range(3)]
    results = await asyncio.gather(*answers, return_exceptions=True)
    assert [type(result) for result in results] == [DeadlineError] * 3
    blocked.resume.set()
    assert (await served.scores(["who"])).scores.shape[0] == 1


async def test_when_slow_is_called_once(serve, blocked, monkeypatch):
    monkeypatch.setattr("gatewise.service.serving.served_model._TICK", 0.01)
    served, calls = serve(), []
    slow = served.ask([LONG], when_slow=lambda: calls.append(1))
    await asyncio.sleep(0.1)
    assert calls == [1]
    blocked.resume.set()
    await slow
    await served.ask(["who"], when_slow=lambda: calls.append(2))
    await asyncio.sleep(0.03)
    assert calls == [1]


async def test_a_cancelled_request_is_not_run_and_the_event_loop_stays_free(serve, blocked):
    served = serve()
    first = served.ask([LONG])
    await asyncio.to_thread(blocked.running.wait, 30)
    cancelled, last = served.ask(["where"]), served.ask(["how"])
    cancelled.cancel()
    assert not first.done()
    blocked.resume.set()
    await asyncio.gather(first, last)
    assert cancelled.cancelled()
    assert served.waiting == 0


class Observer:
    def __init__(self):
        self.batches, self.refused = [], []

    def observe_batch(self, stats):
        self.batches.append(len(stats.texts))

    def observe_later(self, stats):
        self.observe_batch(stats())

    def count_refused(self, reason, jobs):
        self.refused.append((reason, jobs))


async def until_idle(served):
    while not served._batcher.takes_inline(1):
        await asyncio.sleep(0.01)


async def test_short_texts_of_one_turn_of_the_event_loop_are_one_batch(serve, classifier):
    observer = Observer()
    served = serve(observer)
    await until_idle(served)
    texts = ["who", "where is it", "", "how many"]
    answers = await asyncio.gather(
        *map(served.scores, [[text] for text in texts]), return_exceptions=True
    )
    assert isinstance(answers.pop(2), EmptyTextsError)
    expected = classifier.predict_proba([text for text in texts if text])
    assert [answer.scores.tolist() for answer in answers] == [[row] for row in expected.tolist()]
    assert observer.batches == [3]


async def test_more_characters_than_run_inline_are_queued_with_those_before_them(serve, blocked):
    served = serve()
    await until_idle(served)
    answers = [asyncio.ensure_future(served.scores([text])) for text in ("who", LONG)]
    await asyncio.to_thread(blocked.running.wait, 30)  # the event loop is free
    blocked.resume.set()
    assert [len(answer.scores) for answer in await asyncio.gather(*answers)] == [1, 1]


async def test_a_full_queue_refuses_and_is_counted(serve, blocked):
    observer = Observer()
    served = serve(observer, max_texts=1)
    first = served.ask([LONG])
    await asyncio.to_thread(blocked.running.wait, 30)
    second, third = served.ask(["where"]), served.ask(["how"])
    with pytest.raises(QueueFullError):
        await third
    assert observer.refused == [("queue_full", 1)]
    blocked.resume.set()
    await asyncio.gather(first, second)


class FailingObserver:
    def observe_batch(self, stats):
        raise AssertionError

    def count_refused(self, reason, jobs):
        raise AssertionError


async def test_a_health_check_fails_with_the_network_and_is_not_counted(
    classifier, serve, monkeypatch
):
    def fail(encoded):
        raise ModelFolderError("broken")

    served = serve(FailingObserver())
    served.check()
    monkeypatch.setattr(classifier, "logits", fail)
    with pytest.raises(ModelFolderError, match="broken"):
        served.check()


async def test_a_health_check_fails_while_texts_wait_without_progress(serve, blocked, monkeypatch):
    monkeypatch.setattr("gatewise.service.serving.served_model._STALLED_SECONDS", 0.0)
    served = serve(seconds=0.05)
    first = served.ask([LONG])
    await asyncio.to_thread(blocked.running.wait, 30)
    await asyncio.sleep(0.06)
    served.check()  # a text runs, and none waits
    second = served.ask(["who"])
    await asyncio.sleep(0.06)
    with pytest.raises(DeadlineError, match="1 texts wait, without progress"):
        served.check()
    blocked.resume.set()
    await asyncio.gather(first, second, return_exceptions=True)
    while served.waiting:
        await asyncio.sleep(0.01)
    served.check()
