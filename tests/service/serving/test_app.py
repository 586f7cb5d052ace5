"""`POST /predict`: answers, refusals; health of the service while models load."""

import asyncio
import itertools
import json
import re
import socket
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import httpx
import numpy as np
import pytest
from huggingface_hub import InferenceClient
from hypothesis import HealthCheck, given
from hypothesis import settings as effort
from hypothesis import strategies as st

from gatewise.service.model.classifier import Classifier
from gatewise.service.serving import app as application
from gatewise.service.serving.app import create_app
from gatewise.service.serving.settings import Settings, SettingsError

LIMIT = 8192
LONG = {"inputs": "where " * 200}  # too long to run inline
COLOURS = "/models/colours/predict"
SIGMOID_ONLY = "expected function_to_apply to be sigmoid or absent"


@pytest.fixture(scope="module")
def client(serve_app, make_app):
    return serve_app(make_app(max_body_bytes=LIMIT, max_texts=8))


def predict(client, inputs, path="/predict", **parameters):
    response = client.post(path, json={"inputs": inputs, "parameters": parameters})
    assert response.status_code == 200, response.text
    return response.json()


def post(client, body, path="/predict"):
    return client.post(path, content=body, headers={"Content-Type": "application/json"})


def refused(response, status, kind):
    assert (response.status_code, response.headers["content-type"]) == (
        status,
        "application/problem+json",
    ), response.text
    document = response.json()
    assert document["type"] == f"urn:gatewise:problem:{kind}"
    assert (document["status"], document["instance"]) == (status, "/predict")
    assert document["title"]
    assert document["detail"]
    return [error["pointer"] for error in document.get("errors", [])]


def labels(answer):
    return [[each["label"] for each in text] for text in answer]


class TestAnswers:
    @pytest.mark.anyio
    async def test_requests_that_arrive_together_run_in_few_batches(self, classifier):
        transport = httpx.ASGITransport(create_app(Settings(), classifier))
        async with httpx.AsyncClient(transport=transport, base_url="http://service") as client:
            posts = (client.post("/predict", json={"inputs": f"text {n}"}) for n in range(16))
            for response in await asyncio.gather(*posts):
                assert response.status_code == 200, response.text
            metrics = (await client.get("/metrics")).text
        (batches,) = re.findall(r"^gatewise_batch_texts_count\{.*\} (\S+)$", metrics, re.M)
        # At most 4 with today's packages; each alone would be 16.
        assert float(batches) <= 12

    @pytest.mark.parametrize("function", [None, "sigmoid", "none"])
    def test_each_text_gets_the_scores_of_the_classifier_best_first(
        self, client, classifier, function
    ):
        texts = ["where is the station", "who", "how many miles is it"]
        expected = classifier.scores(classifier.encode(texts), function)
        answer = predict(client, texts, function_to_apply=function)
        for found, row in zip(answer, expected, strict=True):
            scores = {each["label"]: each["score"] for each in found}
            assert [np.float32(scores[label]) for label in classifier.classes_] == row.tolist()
            assert list(scores.values()) == sorted(scores.values(), reverse=True)
        assert predict(client, texts[0], function_to_apply=function) == answer[:1]
        for top_k in (2, 1000, None):
            few = predict(client, texts, function_to_apply=function, top_k=top_k)
            assert few == [row[:top_k] for row in answer]

    def test_truncated_texts_are_counted_in_a_header(self, client):
        texts = ["who", "where is it " * 20, "how many " * 20]
        answer = client.post("/predict", json={"inputs": texts, "parameters": None})
        assert answer.headers["gatewise-truncated-texts"] == "2"
        answer = client.post("/predict", json={"inputs": "who"})
        assert "gatewise-truncated-texts" not in answer.headers

    def test_the_hugging_face_client_is_answered(self, client):
        hugging_face = InferenceClient(str(client.base_url.join("/predict")))
        (expected,) = predict(client, "where is it")
        found = hugging_face.text_classification("where is it")
        assert [vars(each) for each in found] == expected
        (best,) = hugging_face.text_classification(
            "where is it", top_k=1, function_to_apply="sigmoid"
        )
        assert best.label == expected[0]["label"]

    def test_fifty_requests_at_once_equal_single_ones(self, client):
        words = ["where", "who", "how", "many", "is", "it", "the"]
        texts = [" ".join(pair) for pair in itertools.islice(itertools.permutations(words, 2), 40)]
        texts += [f"{text} station " * 10 for text in texts[:10]]
        singly = [predict(client, text) for text in texts]
        with ThreadPoolExecutor(50) as pool:
            at_once = list(pool.map(lambda text: predict(client, text), texts))
        assert at_once == singly

    def test_each_label_of_a_multi_label_model_has_its_own_probability(self, client):
        (answer,) = predict(client, "blue green", COLOURS)
        assert labels([answer]) == [["blue", "green", "red"]]
        scores = [each["score"] for each in answer]
        assert scores == pytest.approx([0.9526, 0.9526, 0.0474], abs=1e-4)
        assert predict(client, "blue green", COLOURS, function_to_apply="sigmoid") == [answer]
        (softmax,) = predict(client, "blue green", COLOURS, function_to_apply="softmax")
        assert sum(each["score"] for each in softmax) == pytest.approx(1)

    def test_labels_above_their_thresholds(self, client):
        texts = ["blue reddish", "green", "red green green"]
        answer = predict(client, texts, COLOURS, above_threshold=True)
        assert labels(answer) == [["blue", "red"], [], ["green", "red"]]
        best = predict(client, texts, COLOURS, above_threshold=True, top_k=1)
        assert labels(best) == [["blue"], [], ["green"]]
        for value in (False, None):
            found = predict(client, texts, COLOURS, above_threshold=value)
            assert found == predict(client, texts, COLOURS)


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
    def test_a_body_that_is_not_json(self, client, body):
        refused(post(client, body), 400, "malformed-body")

    @pytest.mark.parametrize(
        ("body", "pointer"),
        [
            (b"null", "#"),
            (b"{}", "#/inputs"),
            (b'{"inputs": {"text": "a"}}', "#/inputs"),
            (b'{"inputs": []}', "#/inputs"),
            (b'{"inputs": ["a", ["b"]]}', "#/inputs/1"),
            (b'{"inputs": ' + b"[" * 100 + b"]" * 100 + b"}", "#/inputs/0"),
            (b'{"inputs": [' + b"1," * 2000 + b"1]}", "#/inputs/0"),
            (b'{"inputs": "a", "parameter": {}}', "#/parameter"),
            (b'{"inputs": "a", "parameters": {"top_k": 0}}', "#/parameters/top_k"),
            (b'{"inputs": "a", "parameters": {"top_k": true}}', "#/parameters/top_k"),
            (b'{"inputs": "a", "parameters": {"top_k": 1e400}}', "#/parameters/top_k"),
            (
                b'{"inputs": "a", "parameters": {"function_to_apply": "relu"}}',
                "#/parameters/function_to_apply",
            ),
            (b'{"inputs": ["a","a","a","a","a","a","a","a","a"]}', "#/inputs"),
        ],
    )
    def test_json_against_the_schema(self, client, body, pointer):
        assert refused(post(client, body), 422, "invalid-request") == [pointer]

    @pytest.mark.parametrize(
        ("path", "function", "pointer", "reason"),
        [
            ("/predict", None, "#/parameters/above_threshold", "expected no above_threshold"),
            (COLOURS, "softmax", "#/parameters", SIGMOID_ONLY),
        ],
    )
    def test_thresholds_need_a_multi_label_model_and_sigmoid(
        self, client, path, function, pointer, reason
    ):
        parameters = {"above_threshold": True, "function_to_apply": function}
        response = client.post(path, json={"inputs": "blue", "parameters": parameters})
        assert response.status_code == 422
        (error,) = response.json()["errors"]
        assert error["pointer"] == pointer
        assert error["detail"].startswith(reason)

    @pytest.mark.parametrize(
        ("inputs", "pointers"),
        [(" \t\n ", ["#/inputs"]), (["who", "", "where", " "], ["#/inputs/1", "#/inputs/3"])],
    )
    def test_texts_without_a_token(self, client, inputs, pointers):
        response = client.post("/predict", json={"inputs": inputs})
        assert refused(response, 422, "empty-text") == pointers

    def test_a_body_that_is_too_large_or_of_another_media_type(self, client):
        body = b"x" * LIMIT
        refused(post(client, body * 2), 413, "body-too-large")
        refused(post(client, itertools.repeat(body, 1000)), 413, "body-too-large")
        refused(client.post("/predict", data={"inputs": "a"}), 415, "unsupported-body")

    def test_an_unexpected_exception(self, client, classifier, monkeypatch):
        def broken(encoded):
            raise RuntimeError("the inside")

        with monkeypatch.context() as patched:
            patched.setattr(classifier, "padded_logits", broken)
            response = client.post("/predict", json={"inputs": "who"})
        refused(response, 500, "unexpected")
        assert "the inside" not in response.text
        assert predict(client, "who")

    @effort(max_examples=100, suppress_health_check=[HealthCheck.too_slow])
    @given(
        path=st.sampled_from(["/predict", "/explain", COLOURS]),
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
        ),
    )
    def test_no_body_causes_a_server_error(self, client, path, body):
        response = post(client, body, path)
        assert response.status_code in (200, 400, 413, 422), response.text


class TestLimits:
    def test_a_full_queue_and_a_deadline(self, serve_app, make_app, blocked, wait_until):
        limits = {"sessions": 1, "max_queued_texts": 1, "deadline_seconds": 0.3}
        client = serve_app(make_app(**limits))

        def ask(_):
            answer = client.post("/predict", json=LONG)
            kind = answer.json()["type"].rpartition(":")[2]
            return answer.status_code, kind, answer.headers.get("retry-after")

        with ThreadPoolExecutor(3) as pool:
            first = pool.submit(ask, 0)
            assert blocked.running.wait(30)
            others = pool.map(ask, range(2))
            answers = [first.result(), *others]
        late = (504, "deadline", None)
        assert sorted(answers) == [(429, "queue-full", "1"), late, late]
        blocked.resume.set()
        # A late job leaves the queue when a thread gets to it.
        wait_until(lambda: client.post("/predict", json=LONG).status_code == 200)

    def test_the_texts_of_a_disconnected_client_are_dropped(
        self, serve_app, make_app, blocked, wait_until
    ):
        client = serve_app(make_app(sessions=1))
        body = json.dumps(LONG).encode()
        head = b"POST /predict HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\n" % len(body)
        with ThreadPoolExecutor(1) as pool:
            answered = pool.submit(client.post, "/predict", json=LONG)
            assert blocked.running.wait(30)
            for _ in range(3):
                with socket.create_connection(("127.0.0.1", client.base_url.port)) as gone:
                    gone.sendall(head + body)
            time.sleep(0.3)  # until the service has seen that they are gone
            blocked.resume.set()
            assert answered.result().status_code == 200

        def are_dropped():
            text = client.get("/metrics").text
            return re.search(
                r'^gatewise_refused_total\{.*reason="gone".* 3\.0$', text, re.MULTILINE
            )

        wait_until(are_dropped)


class TestHealth:
    def test_a_service_is_alive_while_its_model_loads(
        self, serve_app, classifier, model_folder, monkeypatch, wait_until
    ):
        loaded = threading.Event()

        def slow(folder, threads):
            assert (folder, threads) == (model_folder, 2)
            loaded.wait(30)
            return classifier

        monkeypatch.setattr(Classifier, "load", slow)
        client = serve_app(create_app(Settings(model=model_folder, threads=2)))
        assert client.get("/health/live").json() == {"status": "live"}
        assert client.get("/health/ready").status_code == 503
        response = client.post("/predict", json={"inputs": "who"})
        refused(response, 503, "not-ready")
        assert response.headers["retry-after"] == "1"
        loaded.set()
        wait_until(lambda: client.get("/health/ready").status_code == 200)
        assert client.get("/health/ready").json() == {"status": "ready"}
        assert predict(client, "who")

    def test_a_service_without_a_usable_model_never_becomes_ready(
        self, serve_app, tmp_path, caplog, wait_until
    ):
        client = serve_app(create_app(Settings(model=tmp_path)))
        wait_until(lambda: "could not be loaded" in caplog.text)
        response = client.get("/health/ready")
        assert response.status_code == 503
        assert str(tmp_path) not in response.text
        assert "<title>Gatewise</title>" in client.get("/").text

    def test_a_service_needs_a_model(self, monkeypatch):
        monkeypatch.delenv("GATEWISE_MODEL", raising=False)
        with pytest.raises(SettingsError, match="GATEWISE_MODEL is not set"):
            create_app()

    def test_new_versions_are_found_by_watching(
        self, serve_app, versions, model_folder, put, wait_until
    ):
        client = serve_app(create_app(Settings(model=versions, watch_seconds=0.05)))
        wait_until(lambda: client.get("/health/ready").status_code == 200)
        put(model_folder, versions / "2")

        def answering():
            return client.post("/predict", json={"inputs": "who"}).headers["gatewise-version"]

        wait_until(lambda: answering() == "2")


@pytest.mark.anyio
async def test_regular_work_goes_on_after_errors_of_which_one_of_each_type_is_logged(
    monkeypatch, caplog
):
    monkeypatch.setattr(application, "_REPEAT_SECONDS", 0)
    outcomes = [OSError("a"), None, OSError("b"), ValueError("c"), asyncio.CancelledError()]

    def work():
        outcome = outcomes.pop(0)
        if outcome:
            raise outcome

    with pytest.raises(asyncio.CancelledError):
        await application.repeat(work, "updating the gauges")
    assert outcomes == []
    assert [record.exc_info[0] for record in caplog.records] == [OSError, ValueError]
    assert caplog.text.count("updating the gauges failed, and is tried again every 0 s") == 2
