"""A served model, awaited: answers, refusals, deadlines, cancellation, health."""

import asyncio
import threading
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager

import numpy as np
import pytest

from gatewise.service.model.classifier import Classifier
from gatewise.service.model.errors import ModelFolderError
from gatewise.service.serving.batching import (
    Capacity,
    ClosedError,
    DeadlineError,
    EmptyTextsError,
    QueueFullError,
    compute,
)
from gatewise.service.serving.served_model import ServedModel
from gatewise.vocab.tokenizer.encoding import Encoded


@asynccontextmanager
async def serving(classifier: Classifier, **capacity: float) -> AsyncIterator[ServedModel]:
    served = ServedModel("model", "1", classifier, Capacity(**capacity))  # type: ignore[arg-type]
    try:
        yield served
    finally:
        await served.close()


def run(
    classifier: Classifier, ask: Callable[[ServedModel], Awaitable[None]], **capacity: float
) -> None:
    async def serve_and_ask() -> None:
        async with serving(classifier, **capacity) as served:
            await ask(served)

    asyncio.run(serve_and_ask())


@pytest.fixture
def blocked(classifier: Classifier, monkeypatch: pytest.MonkeyPatch) -> threading.Event:
    """Blocks the classifier until the event is set."""
    resume = threading.Event()
    logits = classifier.padded_logits

    def wait_and_run(encoded: Sequence[Encoded]) -> object:
        assert resume.wait(30)
        return logits(encoded)

    monkeypatch.setattr(classifier, "padded_logits", wait_and_run)
    return resume


def test_scores_are_those_of_the_classifier(classifier: Classifier) -> None:
    texts = ["where is it", "how many miles", "who"]

    async def ask(served: ServedModel) -> None:
        for inline in (False, True):
            scored = await served.ask(texts, "none", inline=inline)
            expected = classifier.scores(classifier.encode(texts), "none")
            np.testing.assert_array_equal(scored.scores, expected)
        assert served.sha256 == classifier.artifact.sha256
        served.warm_up()

    run(classifier, ask)


@pytest.mark.parametrize("inline", [False, True])
def test_every_empty_text_is_listed(classifier: Classifier, inline: bool) -> None:
    async def ask(served: ServedModel) -> None:
        with pytest.raises(EmptyTextsError, match="in the texts 0, 2") as refused:
            await served.ask(["", "who", "  "], inline=inline)
        assert refused.value.indices == (0, 2)

    run(classifier, ask)


def test_the_event_loop_stays_free_while_texts_are_classified(
    classifier: Classifier, blocked: threading.Event
) -> None:
    async def ask(served: ServedModel) -> None:
        answer = asyncio.create_task(served.scores(["who"]))
        await asyncio.sleep(0.01)
        assert not answer.done()
        blocked.set()
        await answer

    run(classifier, ask)


def test_a_deadline_passes_while_the_batch_runs(
    classifier: Classifier, blocked: threading.Event
) -> None:
    async def ask(served: ServedModel) -> None:
        tasks = [asyncio.create_task(served.scores(["who"])) for _ in range(3)]
        results = await asyncio.gather(*tasks, return_exceptions=True)
        assert [type(result) for result in results] == [DeadlineError] * 3
        blocked.set()
        assert (await served.scores(["who"])).scores.shape[0] == 1

    run(classifier, ask, seconds=0.2)


def test_when_slow_is_called_once(classifier: Classifier, blocked: threading.Event) -> None:
    async def ask(served: ServedModel) -> None:
        calls: list[int] = []
        slow = served.ask(["who"], when_slow=lambda: calls.append(1))
        await asyncio.sleep(0.3)
        assert calls == [1]
        blocked.set()
        await slow
        quick = served.ask(["who"], when_slow=lambda: calls.append(2))
        await quick
        await asyncio.sleep(0.12)
        assert calls == [1]

    run(classifier, ask)


def test_a_cancelled_request_is_not_run(classifier: Classifier, blocked: threading.Event) -> None:
    async def ask(served: ServedModel) -> None:
        first = served.ask(["who"])
        await asyncio.sleep(0.05)  # it runs
        second, third = served.ask(["where"]), served.ask(["how"])
        second.cancel()
        blocked.set()
        await first
        await third
        assert second.cancelled()
        assert served.waiting == 0

    run(classifier, ask)


def test_a_full_queue_and_a_closed_model(classifier: Classifier, blocked: threading.Event) -> None:
    async def ask(served: ServedModel) -> None:
        first = served.ask(["who"])
        await asyncio.sleep(0.05)
        second = served.ask(["who"])
        with pytest.raises(QueueFullError):
            served.ask(["who"])
        blocked.set()
        await asyncio.gather(first, second)
        await served.close()
        with pytest.raises(ClosedError):
            served.ask(["who"])

    run(classifier, ask, max_texts=1)


def test_no_metric_counts_a_health_check(classifier: Classifier) -> None:
    class FailingObserver:
        def observe_batch(self, stats: object) -> None:
            raise AssertionError

        def count_refused(self, reason: str, jobs: int) -> None:
            raise AssertionError

    served = ServedModel("model", "1", classifier, Capacity(), FailingObserver())
    served.check()
    asyncio.run(served.close())


def test_a_health_check_fails_with_the_network(
    classifier: Classifier, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(encoded: Sequence[Encoded]) -> object:
        raise ModelFolderError("broken")

    monkeypatch.setattr(classifier, "logits", fail)

    async def ask(served: ServedModel) -> None:
        with pytest.raises(ModelFolderError, match="broken"):
            served.check()

    run(classifier, ask)


def test_a_health_check_fails_while_texts_wait_without_progress(
    classifier: Classifier, monkeypatch: pytest.MonkeyPatch
) -> None:
    resume, begun = threading.Event(), threading.Event()

    def wait_and_run(*arguments: object) -> object:
        begun.set()
        assert resume.wait(30)
        return compute(*arguments)  # type: ignore[arg-type]

    monkeypatch.setattr("gatewise.service.serving.batching.compute", wait_and_run)
    monkeypatch.setattr("gatewise.service.serving.served_model._STALLED_SECONDS", 0.0)

    async def ask(served: ServedModel) -> None:
        first = served.ask(["where is it"])
        await asyncio.to_thread(begun.wait, 30)
        await asyncio.sleep(0.2)
        served.check()  # a text runs, and none waits
        second = served.ask(["who"])
        await asyncio.sleep(0.2)
        with pytest.raises(DeadlineError, match="1 texts wait, without progress"):
            served.check()
        resume.set()
        await asyncio.gather(first, second, return_exceptions=True)
        while served.waiting:
            await asyncio.sleep(0.01)
        served.check()

    run(classifier, ask, seconds=0.1)
