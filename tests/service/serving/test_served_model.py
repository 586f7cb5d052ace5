"""A served model, awaited: answers, refusals, deadlines, cancellation, health."""

import asyncio
from contextlib import AsyncExitStack

import pytest

from gatewise.service.model.errors import ModelFolderError
from gatewise.service.serving.batching import (
    Capacity,
    DeadlineError,
)
from gatewise.service.serving.served_model import ServedModel

pytestmark = pytest.mark.anyio


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
    answers = (served.scores(["who"]) for _ in range(3))
    results = await asyncio.gather(*answers, return_exceptions=True)
    assert [type(result) for result in results] == [DeadlineError] * 3
    blocked.resume.set()
    assert (await served.scores(["who"])).scores.shape[0] == 1


async def test_when_slow_is_called_once(serve, blocked, monkeypatch):
    monkeypatch.setattr("gatewise.service.serving.served_model._TICK", 0.01)
    served, calls = serve(), []
    slow = served.ask(["who"], when_slow=lambda: calls.append(1))
    await asyncio.sleep(0.1)
    assert calls == [1]
    blocked.resume.set()
    await slow
    await served.ask(["who"], when_slow=lambda: calls.append(2))
    await asyncio.sleep(0.03)
    assert calls == [1]


async def test_a_cancelled_request_is_not_run_and_the_event_loop_stays_free(serve, blocked):
    served = serve()
    first = served.ask(["who"])
    await asyncio.to_thread(blocked.running.wait, 30)
    cancelled, last = served.ask(["where"]), served.ask(["how"])
    cancelled.cancel()
    assert not first.done()
    blocked.resume.set()
    await asyncio.gather(first, last)
    assert cancelled.cancelled()
    assert served.waiting == 0


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
    first = served.ask(["where is it"])
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
