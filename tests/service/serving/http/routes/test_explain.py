"""`POST /explain`: its responses, refusals and queue."""

import asyncio
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import numpy as np
import pytest

from gatewise.service.model.explanation import explain
from gatewise.service.serving.http.protocol.problems import ProblemError
from gatewise.service.serving.http.routes import explain as explain_route
from gatewise.service.serving.http.routes.explain import MAX_TOKENS, MAX_WAITING, ExplainQueue

TEXTS = ["Wo finde ich bitte die nächste Haltestelle?", "東京は 👩‍👩‍👧 大きい", "e\u0301te\u0301"]
PAGE = (Path(__file__).parents[5] / "docs" / "service.md").read_text(encoding="utf-8")
COLOURS = "/models/colours/explain"


@pytest.fixture(scope="module")
def client(serve_app, make_app):
    return serve_app(make_app())


def explained(client, inputs, path="/explain", **parameters):
    response = client.post(path, json={"inputs": inputs, "parameters": parameters})
    assert response.status_code == 200, response.text
    return response.json()


class TestAnswers:
    def test_the_labels_are_those_of_predict(self, client):
        for parameters in ({}, {"top_k": 2}, {"function_to_apply": "none"}):
            body = {"inputs": TEXTS, "parameters": parameters}
            predicted = client.post("/predict", json=body).json()
            answer = explained(client, TEXTS, **parameters)
            assert [each["labels"] for each in answer] == predicted

    def test_the_shares_are_those_of_the_classifier(self, client, classifier):
        expected = explain(classifier, classifier.locate(TEXTS))
        probabilities = classifier.predict_proba(TEXTS)
        answers = explained(client, TEXTS)
        assert answers == [explained(client, text)[0] for text in TEXTS]
        for text, answer, found, row in zip(TEXTS, answers, expected, probabilities, strict=True):
            label = classifier.classes_[found.index]
            assert answer["label"] == label == answer["labels"][0]["label"]
            assert np.float32(answer["score"]) == row.max()
            assert answer["log_odds"] == found.log_odds
            assert (answer["task"], answer["truncated"]) == ("single_label", False)
            shares = [(each["start"], each["end"], each["share"]) for each in answer["tokens"]]
            assert shares == [(each.start, each.end, each.share) for each in found.shares]
            # Offsets count code points, as in Python.
            for each in answer["tokens"]:
                assert each["text"] == text[each["start"] : each["end"]]

    def test_the_label_of_the_parameters_is_explained(self, client):
        (best,) = explained(client, TEXTS[0])
        (other,) = explained(client, TEXTS[0], label="ja")
        assert (best["label"], other["label"]) == ("de", "ja")
        assert other["labels"] == best["labels"]
        assert {"label": "ja", "score": other["score"]} in best["labels"]
        assert other["log_odds"] < 0 < best["log_odds"]

    def test_models_and_versions_by_name(self, client):
        default = explained(client, TEXTS[0])
        assert explained(client, TEXTS[0], "/models/languages/explain") == default
        assert explained(client, TEXTS[0], "/models/languages/versions/1/explain") == default
        (colours,) = explained(client, "blue grey", COLOURS)
        assert (colours["task"], colours["label"]) == ("multi_label", "blue")
        assert colours["log_odds"] == 3
        shares = {each["text"]: each["share"] for each in colours["tokens"]}
        assert shares == {"blue": 6, "grey": 0}
        # The best label of a rejected text is explained.
        (answer,) = explained(client, "1 2", "/models/rejecting/explain")
        none, best = answer["labels"][:2]
        assert none["label"] == "no language"
        assert (answer["label"], answer["score"]) == (best["label"], none["score"])

    def test_the_headers(self, client):
        long = " ".join(["word"] * 5000)
        response = client.post(COLOURS, json={"inputs": ["red", long, long]})
        assert response.headers["Gatewise-Model"] == "colours"
        assert response.headers["Gatewise-Version"] == "2"
        assert response.headers["Gatewise-Truncated-Texts"] == "2"
        response = client.post("/explain", json={"inputs": "wo"})
        assert "Gatewise-Truncated-Texts" not in response.headers


class TestRefusals:
    @pytest.mark.parametrize(
        ("body", "kind", "pointers"),
        [
            ({"inputs": 1}, "invalid-request", ["#/inputs"]),
            (
                {"inputs": "a", "parameters": {"label": "klingon"}},
                "invalid-request",
                ["#/parameters/label"],
            ),
            (
                {"inputs": "a", "parameters": {"above_threshold": True}},
                "invalid-request",
                ["#/parameters/above_threshold"],
            ),
            ({"inputs": ["a"] * 129}, "invalid-request", ["#/inputs"]),
            ({"inputs": ["a", " ", "b", "\u200b"]}, "empty-text", ["#/inputs/1", "#/inputs/3"]),
        ],
    )
    def test_invalid_requests(self, client, body, kind, pointers):
        response = client.post("/explain", json=body)
        assert response.status_code == 422
        document = response.json()
        assert document["type"] == f"urn:gatewise:problem:{kind}"
        assert [error["pointer"] for error in document["errors"]] == pointers

    def test_texts_that_would_take_too_long(self, client):
        # 64 tokens each, including [CLS]: 64 variants of 64 tokens.
        limit = MAX_TOKENS // 64**2
        text = "Wo ist der Bahnhof? " * 5000
        assert len(explained(client, [text[:80]] * limit)) == limit
        response = client.post("/explain", json={"inputs": [text[:80]] * (limit + 1)})
        assert response.status_code == 422
        assert response.json()["errors"][0]["pointer"] == "#/inputs"
        assert "262144 tokens" in response.json()["detail"]
        (answer,) = explained(client, text)
        assert answer["truncated"]

    @pytest.mark.parametrize("path", ["/models/none/explain", "/models/colours/versions/7/explain"])
    def test_unknown_models(self, client, path):
        assert client.post(path, json={"inputs": "a"}).status_code == 404


class TestQueue:
    @pytest.mark.anyio
    async def test_one_request_runs_and_a_limited_number_wait(self):
        queue, running, released = ExplainQueue(), [], asyncio.Event()

        async def run():
            async with queue.turn(10):
                running.append(1)
                assert len(running) == 1
                await released.wait()
                running.pop()

        tasks = []
        for _ in range(MAX_WAITING + 5):
            tasks.append(asyncio.create_task(run()))
            await asyncio.sleep(0)
        released.set()
        results = await asyncio.gather(*tasks, return_exceptions=True)
        assert results[: MAX_WAITING + 1] == [None] * (MAX_WAITING + 1)
        for problem in results[MAX_WAITING + 1 :]:
            assert problem.kind.status == 429
            assert problem.headers == {"Retry-After": "1"}
        assert f"{MAX_WAITING} more wait" in PAGE
        assert f"{MAX_TOKENS:,} tokens" in PAGE

    @pytest.mark.anyio
    async def test_a_wait_that_is_too_long(self):
        queue = ExplainQueue()
        async with queue.turn(0.01):
            with pytest.raises(ProblemError) as late:
                async with queue.turn(0.01):
                    pass
        assert late.value.kind.status == 504
        async with queue.turn(0.01):
            pass

    def test_predictions_do_not_wait_and_a_client_that_disconnects_is_skipped(
        self, client, monkeypatch
    ):
        begun, released, runs = threading.Event(), threading.Event(), []

        def slow(_, request):
            runs.append(request.inputs)
            begun.set()
            released.wait(30)
            return []

        monkeypatch.setattr(explain_route, "explain_request", slow)
        with ThreadPoolExecutor(1) as pool:
            explaining = pool.submit(client.post, "/explain", json={"inputs": "first"})
            assert begun.wait(30)
            assert client.post("/predict", json={"inputs": "a"}).status_code == 200
            with pytest.raises(httpx.ReadTimeout):
                client.post("/explain", json={"inputs": "gone"}, timeout=0.2)
            time.sleep(0.1)  # until the server has seen it
            assert not explaining.done()
            released.set()
            assert explaining.result().json() == []
            assert client.post("/explain", json={"inputs": "last"}).status_code == 200
        assert runs == ["first", "last"]
