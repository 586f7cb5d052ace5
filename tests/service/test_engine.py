import asyncio
import logging
import threading
from pathlib import Path

import numpy as np
import pytest

from service.classifier import Classifier
from service.engine import EmptyTextsError, Engine


def test_scores_are_those_of_the_classifier(classifier: Classifier) -> None:
    texts = ["where is it", "how many miles", "who"]
    scores = asyncio.run(Engine(classifier).scores(texts, "none")).scores
    np.testing.assert_array_equal(scores, classifier.scores(classifier.encode(texts), "none"))


def test_every_empty_text_is_named(classifier: Classifier) -> None:
    with pytest.raises(EmptyTextsError, match="in the texts 0, 2") as refused:
        asyncio.run(Engine(classifier).scores(["", "who", "  "]))
    assert refused.value.indices == (0, 2)


def test_an_engine_without_a_model_is_not_ready() -> None:
    engine = Engine()
    assert not engine.is_ready
    with pytest.raises(RuntimeError, match="before it was ready"):
        asyncio.run(engine.scores(["who"]))


def test_loading_makes_an_engine_ready(model_folder: Path, classifier: Classifier) -> None:
    engine = Engine()
    asyncio.run(engine.load(model_folder, threads=1))
    assert engine.is_ready
    assert engine.labels == classifier.classes_


def test_a_folder_that_cannot_be_used_is_logged(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    engine = Engine()
    asyncio.run(engine.load(tmp_path / "nothing", threads=1))
    assert not engine.is_ready
    (record,) = caplog.records
    assert record.levelno == logging.ERROR
    assert "nothing" in record.getMessage()
    assert record.exc_info is None


def test_a_fault_in_loading_is_logged_with_its_traceback(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def broken(folder: Path, threads: int) -> Classifier:
        raise RuntimeError("a fault")

    monkeypatch.setattr(Classifier, "load", broken)
    engine = Engine()
    asyncio.run(engine.load(Path("model"), threads=1))
    assert not engine.is_ready
    assert caplog.records[0].exc_info is not None


def test_the_event_loop_stays_free_while_a_text_is_classified(
    classifier: Classifier, monkeypatch: pytest.MonkeyPatch
) -> None:
    loop_has_run = threading.Event()
    encode = classifier.encode

    def encode_late(texts: list[str]) -> object:
        assert loop_has_run.wait(10), "the event loop was held up"
        return encode(texts)

    monkeypatch.setattr(classifier, "encode", encode_late)

    async def both() -> None:
        answer = asyncio.create_task(Engine(classifier).scores(["who"]))
        await asyncio.sleep(0.01)
        loop_has_run.set()
        await answer

    asyncio.run(both())
