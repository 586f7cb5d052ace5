import asyncio
import itertools
import json
import re
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import jsonschema
import numpy as np
import pytest
from fastapi import FastAPI
from huggingface_hub import InferenceClient
from hypothesis import HealthCheck, given
from hypothesis import settings as effort
from hypothesis import strategies as st

from gatewise.service.model.classifier import Classifier, ScoreFunction
from gatewise.service.serving.app import create_app
from gatewise.service.serving.settings import Settings, SettingsError

SERVICE_PAGE = Path(__file__).parents[3] / "docs" / "service.md"
LIMIT = 8192

ServeApp = Callable[[FastAPI], httpx.Client]


@pytest.fixture(scope="module")
def settings() -> Settings:
    return Settings(max_body_bytes=LIMIT, max_texts=8)


@pytest.fixture(scope="module")
def client(serve_app: ServeApp, settings: Settings, classifier: Classifier) -> httpx.Client:
    return serve_app(create_app(settings, classifier))


def predict(client: httpx.Client, inputs: Any, **parameters: Any) -> Any:
    body = {"inputs": inputs, "parameters": parameters} if parameters else {"inputs": inputs}
    response = client.post("/predict", json=body)
    assert response.status_code == 200, response.text
    return response.json()


def post(client: httpx.Client, body: bytes | Iterator[bytes]) -> httpx.Response:
    return client.post("/predict", content=body, headers={"Content-Type": "application/json"})


def refused(response: httpx.Response, status: int, kind: str) -> dict[str, Any]:
    assert (response.status_code, response.headers["content-type"]) == (
        status,
        "application/problem+json",
    ), response.text
    document: dict[str, Any] = response.json()
    assert document["type"] == f"urn:gatewise:problem:{kind}"
    assert document["status"] == status
    assert document["instance"] == "/predict"
    assert document["title"]
    assert document["detail"]
    return document


class TestAnswers:
    def test_requests_that_arrive_together_run_in_few_batches(self, classifier: Classifier) -> None:
        app = create_app(Settings(), classifier)

        async def ask_together() -> str:
            transport = httpx.ASGITransport(app)
            async with httpx.AsyncClient(transport=transport, base_url="http://service") as client:
                posts = (client.post("/predict", json={"inputs": f"text {n}"}) for n in range(16))
                for response in await asyncio.gather(*posts):
                    assert response.status_code == 200, response.text
                return (await client.get("/metrics")).text

        metrics = asyncio.run(ask_together())
        (batches,) = re.findall(r"^gatewise_batch_texts_count\{.*\} (\S+)$", metrics, re.M)
        assert float(batches) <= 4

    def test_one_text_gets_one_list_of_every_label_best_first(
        self, client: httpx.Client, classifier: Classifier
    ) -> None:
        (answer,) = predict(client, "where is the station")
        assert sorted(each["label"] for each in answer) == sorted(classifier.classes_)
        scores = [each["score"] for each in answer]
        assert scores == sorted(scores, reverse=True)
        assert sum(scores) == pytest.approx(1, abs=1e-6)

    def test_scores_are_the_classifiers_own(
        self, client: httpx.Client, classifier: Classifier
    ) -> None:
        texts = ["where is the station", "who", "how many miles is it"]
        expected = classifier.predict_proba(texts)
        for answer, row in zip(predict(client, texts), expected, strict=True):
            scores = {each["label"]: each["score"] for each in answer}
            assert [np.float32(scores[label]) for label in classifier.classes_] == row.tolist()

    @pytest.mark.parametrize("top_k", [2, 1000, None])
    def test_top_k(self, client: httpx.Client, top_k: int | None) -> None:
        every = predict(client, ["who", "where"])
        assert predict(client, ["who", "where"], top_k=top_k) == [row[:top_k] for row in every]

    @pytest.mark.parametrize("function", ["sigmoid", "none", None])
    def test_functions(
        self, client: httpx.Client, classifier: Classifier, function: ScoreFunction | None
    ) -> None:
        ((best,),) = predict(client, "who", function_to_apply=function, top_k=1)
        expected = classifier.scores(classifier.encode(["who"]), function)
        assert best["score"] == expected.max()

    def test_truncated_texts_are_counted_in_a_header(self, client: httpx.Client) -> None:
        texts = ["who", "where is it " * 20, "how many " * 20]
        answer = client.post("/predict", json={"inputs": texts})
        assert answer.headers["gatewise-truncated-texts"] == "2"
        answer = client.post("/predict", json={"inputs": "who"})
        assert "gatewise-truncated-texts" not in answer.headers

    def test_the_hugging_face_client_is_answered(self, client: httpx.Client) -> None:
        url = str(client.base_url.join("/predict"))
        hugging_face = InferenceClient(url)
        (expected,) = predict(client, "where is it")
        found = hugging_face.text_classification("where is it")
        assert [(each.label, each.score) for each in found] == [
            (each["label"], each["score"]) for each in expected
        ]
        (best,) = hugging_face.text_classification(
            "where is it", top_k=1, function_to_apply="sigmoid"
        )
        assert best.label == expected[0]["label"]

    def test_fifty_requests_at_once_equal_single_ones(self, client: httpx.Client) -> None:
        words = ["where", "who", "how", "many", "is", "it", "the"]
        texts = [" ".join(pair) for pair in itertools.islice(itertools.permutations(words, 2), 40)]
        texts += [f"{text} station " * 10 for text in texts[:10]]
        singly = [predict(client, text) for text in texts]
        with ThreadPoolExecutor(50) as pool:
            at_once = list(pool.map(lambda text: predict(client, text), texts))
        assert at_once == singly


class TestRefusals:
    @pytest.mark.parametrize(
        "body",
        [
            b"",
            b"{",
            b'{"inputs": "a"} {}',
            b'{"inputs": "\xff"}',
            b'{"inputs": "\xed\xa0\x80"}',
            b'\xef\xbb\xbf{"inputs": "a"}',
            rb'{"inputs": "\ud800"}',
            b'{"inputs": ' + b"[" * 4000,
            b'{"inputs": "a", "parameters": {"top_k": ' + b"9" * 5000 + b"}}",
        ],
    )
    def test_a_body_that_is_not_json(self, client: httpx.Client, body: bytes) -> None:
        refused(post(client, body), 400, "malformed-body")

    @pytest.mark.parametrize(
        ("body", "pointer"),
        [
            (b"null", "#"),
            (b"{}", "#/inputs"),
            (b'{"inputs": null}', "#/inputs"),
            (b'{"inputs": []}', "#/inputs"),
            (b'{"inputs": ["a", ["b"]]}', "#/inputs/1"),
            (b'{"inputs": ' + b"[" * 100 + b"]" * 100 + b"}", "#/inputs/0"),
            (b'{"inputs": [' + b"1," * 2000 + b"1]}", "#/inputs/0"),
            (b'{"inputs": "a", "parameter": {}}', "#/parameter"),
            (b'{"inputs": "a", "parameters": {"top_k": 0}}', "#/parameters/top_k"),
            (b'{"inputs": "a", "parameters": {"top_k": 1.5}}', "#/parameters/top_k"),
            (b'{"inputs": "a", "parameters": {"top_k": 1e400}}', "#/parameters/top_k"),
            (
                b'{"inputs": "a", "parameters": {"function_to_apply": "relu"}}',
                "#/parameters/function_to_apply",
            ),
            (b'{"inputs": ["a","a","a","a","a","a","a","a","a"]}', "#/inputs"),
        ],
    )
    def test_json_against_the_schema(self, client: httpx.Client, body: bytes, pointer: str) -> None:
        document = refused(post(client, body), 422, "invalid-request")
        assert [error["pointer"] for error in document["errors"]] == [pointer]

    @pytest.mark.parametrize(
        ("inputs", "pointers"),
        [
            (" \t\n ", ["#/inputs"]),
            (["who", "", "where", " "], ["#/inputs/1", "#/inputs/3"]),
        ],
    )
    def test_texts_without_a_token(
        self, client: httpx.Client, inputs: str | list[str], pointers: list[str]
    ) -> None:
        document = refused(client.post("/predict", json={"inputs": inputs}), 422, "empty-text")
        assert [error["pointer"] for error in document["errors"]] == pointers

    def test_a_body_that_is_too_large(self, client: httpx.Client) -> None:
        body = b"x" * LIMIT
        refused(post(client, body * 2), 413, "body-too-large")
        refused(post(client, itertools.repeat(body, 1000)), 413, "body-too-large")

    def test_a_body_of_another_media_type(self, client: httpx.Client) -> None:
        refused(client.post("/predict", data={"inputs": "a"}), 415, "unsupported-body")

    def test_an_unexpected_exception(
        self, client: httpx.Client, classifier: Classifier, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def broken(encoded: object) -> None:
            raise RuntimeError("the inside")

        with monkeypatch.context() as patched:
            patched.setattr(classifier, "padded_logits", broken)
            response = client.post("/predict", json={"inputs": "who"})
        refused(response, 500, "unexpected")
        assert "the inside" not in response.text
        assert predict(client, "who")

    @effort(
        max_examples=150,
        deadline=None,
        suppress_health_check=[HealthCheck.too_slow],
    )
    @given(
        body=st.one_of(
            st.binary(max_size=200),
            st.recursive(
                st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
                lambda inner: (
                    st.lists(inner)
                    | st.dictionaries(
                        st.sampled_from(["inputs", "parameters", "top_k"]) | st.text(), inner
                    )
                ),
            ).map(lambda value: json.dumps(value).encode()),
            st.fixed_dictionaries({"inputs": st.text() | st.lists(st.text())}).map(
                lambda value: json.dumps(value, ensure_ascii=False).encode()
            ),
        )
    )
    def test_no_body_causes_a_server_error(self, client: httpx.Client, body: bytes) -> None:
        response = post(client, body)
        assert response.status_code in (200, 400, 413, 422), response.text


class TestHealth:
    def test_a_service_with_a_model_is_alive_and_ready(self, client: httpx.Client) -> None:
        assert client.get("/health/live").json() == {"status": "live"}
        assert client.get("/health/ready").json() == {"status": "ready"}

    def test_a_service_is_alive_while_its_model_loads(
        self,
        serve_app: ServeApp,
        classifier: Classifier,
        model_folder: Path,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        loaded = threading.Event()

        def slow(folder: Path, threads: int) -> Classifier:
            assert (folder, threads) == (model_folder, 2)
            loaded.wait(30)
            return classifier

        monkeypatch.setattr(Classifier, "load", slow)
        client = serve_app(create_app(Settings(model=model_folder, threads=2)))
        assert client.get("/health/live").status_code == 200
        assert client.get("/health/ready").status_code == 503
        response = client.post("/predict", json={"inputs": "who"})
        refused(response, 503, "not-ready")
        assert response.headers["retry-after"] == "1"
        loaded.set()
        deadline = time.monotonic() + 10
        while client.get("/health/ready").status_code != 200:
            assert time.monotonic() < deadline
        assert predict(client, "who")

    def test_a_service_without_a_usable_model_never_becomes_ready(
        self, serve_app: ServeApp, tmp_path: Path, caplog: pytest.LogCaptureFixture
    ) -> None:
        client = serve_app(create_app(Settings(model=tmp_path)))
        deadline = time.monotonic() + 10
        while "could not be loaded" not in caplog.text:
            assert time.monotonic() < deadline
            time.sleep(0.01)
        response = client.get("/health/ready")
        assert response.status_code == 503
        assert str(tmp_path) not in response.text

    def test_a_service_needs_a_model(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.delenv("GATEWISE_MODEL", raising=False)
        with pytest.raises(SettingsError, match="GATEWISE_MODEL is not set"):
            create_app()


class TestDocuments:
    @pytest.fixture
    def openapi(self, client: httpx.Client) -> dict[str, Any]:
        document: dict[str, Any] = client.get("/openapi.json").json()
        return document

    def test_the_browsable_page(self, client: httpx.Client) -> None:
        assert "/openapi.json" in client.get("/docs").text

    def test_every_reference_resolves(self, openapi: dict[str, Any]) -> None:
        references = re.findall(r'"\$ref": "#/components/schemas/(\w+)"', json.dumps(openapi))
        assert {"PredictRequest", "PredictParameters", "LabelScore", "Problem"} <= set(references)
        assert set(references) == set(openapi["components"]["schemas"])

    def test_requests_and_answers_are_as_described(
        self, client: httpx.Client, openapi: dict[str, Any]
    ) -> None:
        described = openapi["paths"]["/predict"]["post"]
        answer = described["responses"]["200"]["content"]["application/json"]["schema"]
        request = described["requestBody"]["content"]["application/json"]["schema"]
        examples = openapi["components"]["schemas"]["PredictRequest"]["examples"]
        assert examples
        for example in examples:
            validate(example, request, openapi)
            response = client.post("/predict", json=example)
            assert response.status_code == 200
            validate(response.json(), answer, openapi)

    def test_refusals_are_as_described(self, client: httpx.Client, openapi: dict[str, Any]) -> None:
        described = openapi["paths"]["/predict"]["post"]["responses"]
        assert set(described) == {"200", "400", "404", "413", "415", "422", "429", "503", "504"}
        for body in (b"{", b"{}", b'{"inputs": ""}', b" " * (LIMIT + 1)):
            response = post(client, body)
            content = described[str(response.status_code)]["content"]
            assert list(content) == ["application/problem+json"]
            validate(response.json(), content["application/problem+json"]["schema"], openapi)

    def test_every_documented_route_is_there_and_every_route_documented(
        self, openapi: dict[str, Any]
    ) -> None:
        table = re.findall(
            r"^\| `(GET|POST|PUT|DELETE) (/\S+)` \|", SERVICE_PAGE.read_text(), re.MULTILINE
        )
        routes = {
            (method.upper(), path) for path, route in openapi["paths"].items() for method in route
        }
        assert set(table) == routes | {("GET", "/docs"), ("GET", "/openapi.json")}

    def test_the_documented_requests_are_answered(self, client: httpx.Client) -> None:
        requests = re.findall(r"/predict --json '(.*)'", SERVICE_PAGE.read_text())
        assert len(requests) == 3
        for body in requests:
            # The one about thresholds is for another model: see test_app_multi_label.py.
            status = 422 if "above_threshold" in body else 200
            assert post(client, body.encode()).status_code == status


def validate(value: Any, schema: dict[str, Any], openapi: dict[str, Any]) -> None:
    jsonschema.validate(value, {**schema, "components": openapi["components"]})


def test_the_application_does_not_import_what_only_training_needs() -> None:
    script = (
        "import sys, gatewise.service.serving.app, gatewise.service.serving.server\n"
        "print(*sys.modules)"
    )
    listed = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    ).stdout
    modules = set(listed.split())
    assert modules >= {"fastapi", "onnxruntime", "uvicorn"}
    assert not modules & {"tensorflow", "keras", "onnx", "sklearn", "gatewise.training", "ray"}
