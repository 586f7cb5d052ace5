"""A served version, awaited: answers, refusals, deadlines, callers that go."""

import asyncio
import threading
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager

import numpy as np
import pytest
from gatewise.service.model.classifier import Classifier
from gatewise.service.model.errors import ModelFolderError
from gatewise.service.serving.batching_jobs import (
    ClosedError,
    DeadlineError,
    EmptyTextsError,
    QueueFullError,
)
from gatewise.service.serving.batching_rounds import compute
from gatewise.service.serving.served_model import Capacity, ServedModel
from gatewise.vocab.tokenizer.encoding import Encoded


@asynccontextmanager
async def serving(classifier: Classifier, **capacity: float) -> AsyncIterator[ServedModel]:
    given: dict[str, float] = {"threads": 1, **capacity}
    served = ServedModel("model", "1", classifier, Capacity(**given))  # type: ignore[arg-type]
    try:
        yield served
    finally:
        await served.close()


def run(
    classifier: Classifier, ask: Callable[[ServedModel], Awaitable[None]], **capacity: float
) -> None:
    async def whole() -> None:
        async with serving(classifier, **capacity) as served:
            await ask(served)

    asyncio.run(whole())


@pytest.fixture
def held_up(classifier: Classifier, monkeypatch: pytest.MonkeyPatch) -> threading.Event:
    """A classifier that runs only once the event is set."""
    go_on = threading.Event()
    logits = classifier.padded_logits

    def wait_and_run(encoded: Sequence[Encoded]) -> object:
        assert go_on.wait(30)
        return logits(encoded)

    monkeypatch.setattr(classifier, "padded_logits", wait_and_run)
    return go_on


def test_scores_are_those_of_the_classifier(classifier: Classifier) -> None:
    texts = ["where is it", "how many miles", "who"]

    async def ask(served: ServedModel) -> None:
        for alone in (False, True):
            scored = await served.ask(texts, "none", alone=alone)
            expected = classifier.scores(classifier.encode(texts), "none")
            np.testing.assert_array_equal(scored.scores, expected)
        assert served.sha256 == classifier.artifact.sha256
        served.warm_up()

    run(classifier, ask)


@pytest.mark.parametrize("alone", [False, True])
def test_every_empty_text_is_named(classifier: Classifier, alone: bool) -> None:
    async def ask(served: ServedModel) -> None:
        with pytest.raises(EmptyTextsError, match="in the texts 0, 2") as refused:
            await served.ask(["", "who", "  "], alone=alone)
        assert refused.value.indices == (0, 2)

    run(classifier, ask)


def test_the_event_loop_stays_free_while_texts_are_classified(
    classifier: Classifier, held_up: threading.Event
) -> None:
    async def ask(served: ServedModel) -> None:
        answer = asyncio.create_task(served.scores(["who"]))
        await asyncio.sleep(0.01)
        assert not answer.done()
        held_up.set()
        await answer

    run(classifier, ask)


def test_who_waits_too_long_is_told_also_while_the_batch_is_run(
    classifier: Classifier, held_up: threading.Event
) -> None:
    async def ask(served: ServedModel) -> None:
        asked = [asyncio.create_task(served.scores(["who"])) for _ in range(3)]
        ended = await asyncio.gather(*asked, return_exceptions=True)
        assert [type(one) for one in ended] == [DeadlineError] * 3
        held_up.set()
        assert (await served.scores(["who"])).scores.shape[0] == 1

    run(classifier, ask, seconds=0.2)


def test_who_waits_long_is_looked_after_once(
    classifier: Classifier, held_up: threading.Event
) -> None:
    async def ask(served: ServedModel) -> None:
        calls: list[int] = []
        slow = served.ask(["who"], when_slow=lambda: calls.append(1))
        await asyncio.sleep(0.3)
        assert calls == [1]
        held_up.set()
        await slow
        quick = served.ask(["who"], when_slow=lambda: calls.append(2))
        await quick
        await asyncio.sleep(0.12)
        assert calls == [1]

    run(classifier, ask)


def test_what_is_taken_back_is_not_run(classifier: Classifier, held_up: threading.Event) -> None:
    async def ask(served: ServedModel) -> None:
        first = served.ask(["who"])
        await asyncio.sleep(0.05)  # it is being run
        second, third = served.ask(["where"]), served.ask(["how"])
        second.cancel()
        held_up.set()
        await first
        await third
        assert second.cancelled()
        assert served.waiting == 0

    run(classifier, ask)


def test_a_full_queue_and_a_closed_model(classifier: Classifier, held_up: threading.Event) -> None:
    async def ask(served: ServedModel) -> None:
        first = served.ask(["who"])
        await asyncio.sleep(0.05)
        second = served.ask(["who"])
        with pytest.raises(QueueFullError):
            served.ask(["who"])
        held_up.set()
        await asyncio.gather(first, second)
        await served.close()
        with pytest.raises(ClosedError):
            served.ask(["who"])

    run(classifier, ask, most_texts=1)


def test_a_check_is_an_answer_that_nobody_counts(classifier: Classifier) -> None:
    class Nobody:
        def ran(self, done: object) -> None:
            raise AssertionError

        def refused(self, reason: str, jobs: int) -> None:
            raise AssertionError

    served = ServedModel("model", "1", classifier, Capacity(), Nobody())
    served.check()
    asyncio.run(served.close())


def test_a_check_tells_of_a_network_that_cannot_answer(
    classifier: Classifier, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(encoded: Sequence[Encoded]) -> object:
        raise ModelFolderError("broken")

    monkeypatch.setattr(classifier, "logits", fail)

    async def ask(served: ServedModel) -> None:
        with pytest.raises(ModelFolderError, match="broken"):
            served.check()

    run(classifier, ask)


def test_a_check_tells_of_texts_that_wait_for_nothing(
    classifier: Classifier, monkeypatch: pytest.MonkeyPatch
) -> None:
    go_on, begun = threading.Event(), threading.Event()

    def wait_and_run(*arguments: object) -> object:
        begun.set()
        assert go_on.wait(30)
        return compute(*arguments)  # type: ignore[arg-type]

    monkeypatch.setattr("gatewise.service.serving.batching.compute", wait_and_run)
    monkeypatch.setattr("gatewise.service.serving.served_model._STALLED_SECONDS", 0.0)

    async def ask(served: ServedModel) -> None:
        first = served.ask(["where is it"])
        await asyncio.to_thread(begun.wait, 30)
        await asyncio.sleep(0.2)
        served.check()  # one is run, and none waits
        second = served.ask(["who"])
        await asyncio.sleep(0.2)
        with pytest.raises(DeadlineError, match="1 texts wait, and nothing was done"):
            served.check()
        go_on.set()
        await asyncio.gather(first, second, return_exceptions=True)
        while served.waiting:
            await asyncio.sleep(0.01)
        served.check()

    run(classifier, ask, seconds=0.1)
