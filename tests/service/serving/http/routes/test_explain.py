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
from gatewise.service.serving.http.routes import explain as route
from gatewise.service.serving.http.routes.explain import MOST_TOKENS, MOST_WAITING, ExplainQueue

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


def asked(client: httpx.Client, inputs: Any, path: str = "/explain", **parameters: Any) -> Any:
    response = client.post(path, json={"inputs": inputs, "parameters": parameters})
    assert response.status_code == 200, response.text
    return response.json()


def refused(response: httpx.Response, status: int, kind: str) -> list[str]:
    assert response.status_code == status, response.text
    document = response.json()
    assert document["type"] == f"urn:gatewise:problem:{kind}"
    return [error["pointer"] for error in document.get("errors", [])]


class TestAnswers:
    def test_the_labels_are_those_of_predict(self, client: httpx.Client) -> None:
        for parameters in ({}, {"top_k": 2}, {"function_to_apply": "none"}):
            body = {"inputs": TEXTS, "parameters": parameters}
            predicted = client.post("/predict", json=body).json()
            answer = asked(client, TEXTS, **parameters)
            assert [each["labels"] for each in answer] == predicted

    def test_the_shares_are_those_of_the_classifier(
        self, client: httpx.Client, classifier: Classifier
    ) -> None:
        expected = explain(classifier, classifier.locate(TEXTS))
        probabilities = classifier.predict_proba(TEXTS)
        for text, told, found, row in zip(
            TEXTS, asked(client, TEXTS), expected, probabilities, strict=True
        ):
            assert told["label"] == classifier.classes_[found.index] == told["labels"][0]["label"]
            assert np.float32(told["score"]) == row.max()
            assert told["log_odds"] == found.log_odds
            assert (told["task"], told["truncated"]) == ("single_label", False)
            offsets = [(each["start"], each["end"], each["share"]) for each in told["tokens"]]
            assert offsets == [(each.start, each.end, each.share) for each in found.shares]
            # Offsets count code points, as Python does.
            for each in told["tokens"]:
                assert each["text"] == text[each["start"] : each["end"]]

    def test_one_text_and_a_list_are_answered_alike(self, client: httpx.Client) -> None:
        together = asked(client, TEXTS)
        assert together == [asked(client, text)[0] for text in TEXTS]

    def test_a_label_of_choice_is_explained(self, client: httpx.Client) -> None:
        (best,) = asked(client, TEXTS[0])
        (other,) = asked(client, TEXTS[0], label="ja")
        assert best["label"] == "de"
        assert other["label"] == "ja"
        assert other["labels"] == best["labels"]
        assert other["score"] == {each["label"]: each["score"] for each in best["labels"]}["ja"]
        assert other["log_odds"] < 0 < best["log_odds"]

    def test_models_and_versions_by_name(self, client: httpx.Client) -> None:
        (unnamed,) = asked(client, TEXTS[0])
        assert asked(client, TEXTS[0], "/models/languages/explain") == [unnamed]
        assert asked(client, TEXTS[0], "/models/languages/versions/1/explain") == [unnamed]
        (colours,) = asked(client, "blue grey", "/models/colours/explain")
        assert (colours["task"], colours["label"], colours["log_odds"]) == (
            "multi_label",
            "blue",
            3,
        )
        assert [(each["text"], each["share"]) for each in colours["tokens"]] == [
            ("blue", 6),
            ("grey", 0),
        ]

    def test_a_text_that_is_given_none_is_explained_by_its_best_label(
        self, serve_models: Callable[..., httpx.Client], rejecting_folder: Path
    ) -> None:
        client = serve_models({"rejecting": Classifier.load(rejecting_folder)})
        (told,) = asked(client, "1 2")
        assert told["labels"][0]["label"] == "no language"
        assert told["label"] == told["labels"][1]["label"]
        assert told["score"] == told["labels"][0]["score"]


class TestRefusals:
    @pytest.mark.parametrize(
        ("body", "pointer"),
        [
            ({"inputs": 1}, "#/inputs"),
            ({"inputs": []}, "#/inputs"),
            ({"inputs": "a", "parameters": {"top_k": 0}}, "#/parameters/top_k"),
            ({"inputs": "a", "parameters": {"label": 3}}, "#/parameters/label"),
            ({"inputs": "a", "parameters": {"label": "klingon"}}, "#/parameters/label"),
            (
                {"inputs": "a", "parameters": {"above_threshold": True}},
                "#/parameters/above_threshold",
            ),
            ({"inputs": ["a"] * 129}, "#/inputs"),
        ],
    )
    def test_what_is_not_valid(
        self, client: httpx.Client, body: dict[str, Any], pointer: str
    ) -> None:
        assert refused(client.post("/explain", json=body), 422, "invalid-request") == [pointer]

    def test_a_text_without_a_token(self, client: httpx.Client) -> None:
        response = client.post("/explain", json={"inputs": ["a", " ", "b", "\u200b"]})
        assert refused(response, 422, "empty-text") == ["#/inputs/1", "#/inputs/3"]
        response = client.post("/explain", json={"inputs": ""})
        assert refused(response, 422, "empty-text") == ["#/inputs"]

    def test_texts_that_would_take_too_long(self, client: httpx.Client) -> None:
        # 64 tokens each, the begin mark among them: 64 variants of 64 tokens.
        most = MOST_TOKENS // 64**2
        text = "Wo ist der Bahnhof? " * 5000
        assert len(asked(client, [text[:80]] * most)) == most
        response = client.post("/explain", json={"inputs": [text[:80]] * (most + 1)})
        assert refused(response, 422, "invalid-request") == ["#/inputs"]
        assert "262144 tokens" in response.json()["detail"]
        (told,) = asked(client, text)
        assert told["truncated"]

    @pytest.mark.parametrize("path", ["/models/none/explain", "/models/colours/versions/7/explain"])
    def test_models_that_are_not_there(self, client: httpx.Client, path: str) -> None:
        refused(client.post(path, json={"inputs": "a"}), 404, "no-model")


class TestTurns:
    def test_one_at_a_time_and_few_wait(self) -> None:
        refusals: list[ProblemError] = []

        async def scenario() -> list[int]:
            turns, running, seen = ExplainQueue(), 0, []
            go_on = asyncio.Event()

            async def one() -> None:
                nonlocal running
                try:
                    async with turns.turn(10):
                        running += 1
                        seen.append(running)
                        await go_on.wait()
                        running -= 1
                except ProblemError as problem:
                    refusals.append(problem)

            async with asyncio.TaskGroup() as group:
                for _ in range(MOST_WAITING + 5):
                    group.create_task(one())
                    await asyncio.sleep(0)
                go_on.set()
            return seen

        assert asyncio.run(scenario()) == [1] * (MOST_WAITING + 1)
        assert len(refusals) == 4
        assert {problem.kind.status for problem in refusals} == {429}
        assert refusals[0].headers == {"Retry-After": "1"}

    def test_nobody_waits_for_ever(self) -> None:
        async def scenario() -> int:
            turns = ExplainQueue()
            async with turns.turn(0.01):
                with pytest.raises(ProblemError) as late:
                    async with turns.turn(0.01):
                        pass
            async with turns.turn(0.01):
                return late.value.kind.status

        assert asyncio.run(scenario()) == 504

    def test_other_requests_do_not_wait_for_an_explanation(
        self, client: httpx.Client, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        begun, go_on = threading.Event(), threading.Event()

        def slow(*_: object) -> list[object]:
            begun.set()
            go_on.wait(30)
            return []

        monkeypatch.setattr(route, "answers", slow)
        with ThreadPoolExecutor(1) as pool:
            explaining = pool.submit(client.post, "/explain", json={"inputs": "a"})
            assert begun.wait(30)
            assert client.post("/predict", json={"inputs": "a"}).status_code == 200
            assert not explaining.done()
            go_on.set()
            assert explaining.result().json() == []

    def test_a_client_that_has_gone_while_it_waited_costs_nothing(
        self, client: httpx.Client, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        begun, go_on, runs = threading.Event(), threading.Event(), []

        def slow(_: object, asked_for: Any) -> list[object]:
            runs.append(asked_for.inputs)
            begun.set()
            go_on.wait(30)
            return []

        monkeypatch.setattr(route, "answers", slow)
        with ThreadPoolExecutor(1) as pool:
            explaining = pool.submit(client.post, "/explain", json={"inputs": "first"})
            assert begun.wait(30)
            with pytest.raises(httpx.ReadTimeout):
                client.post("/explain", json={"inputs": "gone"}, timeout=0.2)
            time.sleep(0.2)  # the server hears of it
            go_on.set()
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
    def test_requests_and_answers_are_as_described(
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

    def test_the_documented_request_is_answered_in_the_documented_form(
        self, client: httpx.Client
    ) -> None:
        page = SERVICE_PAGE.read_text()
        (body,) = re.findall(r"/explain --json '(.*)'", page)
        (shown,) = re.findall(r'^\[\{"labels".*\]$', page, re.MULTILINE)
        (told,) = json.loads(shown)
        (answer,) = client.post("/explain", json=json.loads(body)).json()
        assert set(told) == set(answer)
        assert set(told["tokens"][0]) == set(answer["tokens"][0])

    def test_the_documented_limits_are_those_that_hold(self) -> None:
        page = SERVICE_PAGE.read_text()
        assert f"{MOST_TOKENS:,} tokens" in page
        assert f"{MOST_WAITING} more wait" in page


def validate(value: Any, schema: dict[str, Any], openapi: dict[str, Any]) -> None:
    jsonschema.validate(value, {**schema, "components": openapi["components"]})


def test_the_answer_names_what_has_answered(client: httpx.Client) -> None:
    long = " ".join(["word"] * 5000)
    response = client.post("/models/colours/explain", json={"inputs": ["red", long, long]})
    assert response.headers["Gatewise-Model"] == "colours"
    assert response.headers["Gatewise-Version"] == "1"
    assert response.headers["Gatewise-Truncated-Texts"] == "2"
    response = client.post("/explain", json={"inputs": "wo"})
    assert "Gatewise-Truncated-Texts" not in response.headers
