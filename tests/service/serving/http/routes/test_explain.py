"""`POST /explain`: its responses, refusals, queue and documents."""

import asyncio
import json
import re
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import jsonschema
import numpy as np
import pytest

from gatewise.service.model.classifier import Classifier
from gatewise.service.model.explanation import explain
from gatewise.service.serving.http.protocol.problems import ProblemError
from gatewise.service.serving.http.routes import explain as explain_route
from gatewise.service.serving.http.routes.explain import MAX_TOKENS, MAX_WAITING, ExplainQueue

TEXTS = ["Wo finde ich bitte die nächste Haltestelle?", "東京は 👩‍👩‍👧 大きい", "e\u0301te\u0301"]
SERVICE_PAGE = Path(__file__).parents[5] / "docs" / "service.md"


@pytest.fixture(scope="module")
def colours(multi_label_folder: Path) -> Classifier:
    return Classifier.load(multi_label_folder)


@pytest.fixture(scope="module")
def client(
    serve_models: Callable[..., httpx.Client], classifier: Classifier, colours: Classifier
) -> httpx.Client:
    return serve_models({"languages": classifier, "colours": colours})


def explained(client: httpx.Client, inputs: Any, path: str = "/explain", **parameters: Any) -> Any:
    response = client.post(path, json={"inputs": inputs, "parameters": parameters})
    assert response.status_code == 200, response.text
    return response.json()


def refused(response: httpx.Response, status: int, kind: str) -> list[str]:
    assert response.status_code == status, response.text
    document = response.json()
    assert document["type"] == f"urn:gatewise:problem:{kind}"
    return [error["pointer"] for error in document.get("errors", [])]


class TestResponses:
    def test_the_labels_are_those_of_predict(self, client: httpx.Client) -> None:
        for parameters in ({}, {"top_k": 2}, {"function_to_apply": "none"}):
            body = {"inputs": TEXTS, "parameters": parameters}
            predicted = client.post("/predict", json=body).json()
            answer = explained(client, TEXTS, **parameters)
            assert [each["labels"] for each in answer] == predicted

    def test_the_shares_are_those_of_the_classifier(
        self, client: httpx.Client, classifier: Classifier
    ) -> None:
        expected = explain(classifier, classifier.locate(TEXTS))
        probabilities = classifier.predict_proba(TEXTS)
        for text, answer, found, row in zip(
            TEXTS, explained(client, TEXTS), expected, probabilities, strict=True
        ):
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

    def test_a_text_is_explained_the_same_alone_and_in_a_list(self, client: httpx.Client) -> None:
        together = explained(client, TEXTS)
        assert together == [explained(client, text)[0] for text in TEXTS]

    def test_the_label_of_the_parameters_is_explained(self, client: httpx.Client) -> None:
        (best,) = explained(client, TEXTS[0])
        (other,) = explained(client, TEXTS[0], label="ja")
        assert best["label"] == "de"
        assert other["label"] == "ja"
        assert other["labels"] == best["labels"]
        assert other["score"] == {each["label"]: each["score"] for each in best["labels"]}["ja"]
        assert other["log_odds"] < 0 < best["log_odds"]

    def test_models_and_versions_by_name(self, client: httpx.Client) -> None:
        default = explained(client, TEXTS[0])
        assert explained(client, TEXTS[0], "/models/languages/explain") == default
        assert explained(client, TEXTS[0], "/models/languages/versions/1/explain") == default
        (colours,) = explained(client, "blue grey", "/models/colours/explain")
        assert (colours["task"], colours["label"]) == ("multi_label", "blue")
        assert colours["log_odds"] == 3
        shares = {each["text"]: each["share"] for each in colours["tokens"]}
        assert shares == {"blue": 6, "grey": 0}

    def test_the_best_label_of_a_rejected_text_is_explained(
        self, serve_models: Callable[..., httpx.Client], rejecting_folder: Path
    ) -> None:
        client = serve_models({"rejecting": Classifier.load(rejecting_folder)})
        (answer,) = explained(client, "1 2")
        assert answer["labels"][0]["label"] == "no language"
        assert answer["label"] == answer["labels"][1]["label"]
        assert answer["score"] == answer["labels"][0]["score"]


class TestRefusals:
    @pytest.mark.parametrize(
        ("body", "pointer"),
        [
            ({"inputs": 1}, "#/inputs"),
            ({"inputs": "a", "parameters": {"top_k": 0}}, "#/parameters/top_k"),
            ({"inputs": "a", "parameters": {"label": "klingon"}}, "#/parameters/label"),
            (
                {"inputs": "a", "parameters": {"above_threshold": True}},
                "#/parameters/above_threshold",
            ),
            ({"inputs": ["a"] * 129}, "#/inputs"),
        ],
    )
    def test_invalid_requests(
        self, client: httpx.Client, body: dict[str, Any], pointer: str
    ) -> None:
        assert refused(client.post("/explain", json=body), 422, "invalid-request") == [pointer]

    def test_a_text_without_a_token(self, client: httpx.Client) -> None:
        response = client.post("/explain", json={"inputs": ["a", " ", "b", "\u200b"]})
        assert refused(response, 422, "empty-text") == ["#/inputs/1", "#/inputs/3"]

    def test_texts_that_would_take_too_long(self, client: httpx.Client) -> None:
        # 64 tokens each, including [CLS]: 64 variants of 64 tokens.
        limit = MAX_TOKENS // 64**2
        text = "Wo ist der Bahnhof? " * 5000
        assert len(explained(client, [text[:80]] * limit)) == limit
        response = client.post("/explain", json={"inputs": [text[:80]] * (limit + 1)})
        assert refused(response, 422, "invalid-request") == ["#/inputs"]
        assert "262144 tokens" in response.json()["detail"]
        (answer,) = explained(client, text)
        assert answer["truncated"]

    @pytest.mark.parametrize("path", ["/models/none/explain", "/models/colours/versions/7/explain"])
    def test_unknown_models(self, client: httpx.Client, path: str) -> None:
        refused(client.post(path, json={"inputs": "a"}), 404, "no-model")


class TestQueue:
    def test_one_request_runs_and_a_limited_number_wait(self) -> None:
        refusals: list[ProblemError] = []

        async def run_all() -> list[int]:
            queue, running, seen = ExplainQueue(), 0, []
            released = asyncio.Event()

            async def run() -> None:
                nonlocal running
                try:
                    async with queue.turn(10):
                        running += 1
                        seen.append(running)
                        await released.wait()
                        running -= 1
                except ProblemError as problem:
                    refusals.append(problem)

            async with asyncio.TaskGroup() as group:
                for _ in range(MAX_WAITING + 5):
                    group.create_task(run())
                    await asyncio.sleep(0)
                released.set()
            return seen

        assert asyncio.run(run_all()) == [1] * (MAX_WAITING + 1)
        assert len(refusals) == 4
        assert {problem.kind.status for problem in refusals} == {429}
        assert refusals[0].headers == {"Retry-After": "1"}

    def test_a_wait_that_is_too_long(self) -> None:
        async def wait_twice() -> int:
            queue = ExplainQueue()
            async with queue.turn(0.01):
                with pytest.raises(ProblemError) as late:
                    async with queue.turn(0.01):
                        pass
            async with queue.turn(0.01):
                return late.value.kind.status

        assert asyncio.run(wait_twice()) == 504

    def test_predictions_do_not_wait_for_an_explanation(
        self, client: httpx.Client, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        begun, released = threading.Event(), threading.Event()

        def slow(*_: object) -> list[object]:
            begun.set()
            released.wait(30)
            return []

        monkeypatch.setattr(explain_route, "explain_request", slow)
        with ThreadPoolExecutor(1) as pool:
            explaining = pool.submit(client.post, "/explain", json={"inputs": "a"})
            assert begun.wait(30)
            assert client.post("/predict", json={"inputs": "a"}).status_code == 200
            assert not explaining.done()
            released.set()
            assert explaining.result().json() == []

    def test_a_client_that_disconnects_in_the_queue_is_skipped(
        self, client: httpx.Client, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        begun, released, runs = threading.Event(), threading.Event(), []

        def slow(_: object, request: Any) -> list[object]:
            runs.append(request.inputs)
            begun.set()
            released.wait(30)
            return []

        monkeypatch.setattr(explain_route, "explain_request", slow)
        with ThreadPoolExecutor(1) as pool:
            explaining = pool.submit(client.post, "/explain", json={"inputs": "first"})
            assert begun.wait(30)
            with pytest.raises(httpx.ReadTimeout):
                client.post("/explain", json={"inputs": "gone"}, timeout=0.2)
            time.sleep(0.2)  # until the server has seen it
            released.set()
            explaining.result()
            assert client.post("/explain", json={"inputs": "last"}).status_code == 200
        assert runs == ["first", "last"]


class TestDocuments:
    @pytest.fixture
    def openapi(self, client: httpx.Client) -> dict[str, Any]:
        document: dict[str, Any] = client.get("/openapi.json").json()
        return document

    @pytest.mark.parametrize(
        "path", ["/explain", "/models/{name}/explain", "/models/{name}/versions/{version}/explain"]
    )
    def test_requests_and_responses_are_as_described(
        self, client: httpx.Client, openapi: dict[str, Any], path: str
    ) -> None:
        described = openapi["paths"][path]["post"]
        answer = described["responses"]["200"]["content"]["application/json"]["schema"]
        request = described["requestBody"]["content"]["application/json"]["schema"]
        address = path.format(name="languages", version="1")
        for example in openapi["components"]["schemas"]["ExplainRequest"]["examples"]:
            validate(example, request, openapi)
            response = client.post(address, json=example)
            assert response.status_code == 200
            validate(response.json(), answer, openapi)
        statuses = {"200", "400", "413", "415", "422", "429", "503", "504"}
        named = {"404"} if "name" in path else set()
        assert set(described["responses"]) == statuses | named

    def test_the_documented_example_works(self, client: httpx.Client) -> None:
        page = SERVICE_PAGE.read_text()
        (body,) = re.findall(r"/explain --json '(.*)'", page)
        (response,) = re.findall(r'^\[\{"labels".*\]$', page, re.MULTILINE)
        (documented,) = json.loads(response)
        (answer,) = client.post("/explain", json=json.loads(body)).json()
        assert set(documented) == set(answer)
        assert set(documented["tokens"][0]) == set(answer["tokens"][0])

    def test_the_documented_limits(self) -> None:
        page = SERVICE_PAGE.read_text()
        assert f"{MAX_TOKENS:,} tokens" in page
        assert f"{MAX_WAITING} more wait" in page


def validate(value: Any, schema: dict[str, Any], openapi: dict[str, Any]) -> None:
    jsonschema.validate(value, {**schema, "components": openapi["components"]})


def test_the_headers_of_a_response(client: httpx.Client) -> None:
    long = " ".join(["word"] * 5000)
    response = client.post("/models/colours/explain", json={"inputs": ["red", long, long]})
    assert response.headers["Gatewise-Model"] == "colours"
    assert response.headers["Gatewise-Version"] == "1"
    assert response.headers["Gatewise-Truncated-Texts"] == "2"
    response = client.post("/explain", json={"inputs": "wo"})
    assert "Gatewise-Truncated-Texts" not in response.headers
