"""The Open Inference Protocol over a real connection, used by Triton's own client."""

import asyncio
import json
import re
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import httpx
import jsonschema
import numpy as np
import pytest
import tritonclient.http as triton
import tritonclient.http.aio as triton_aio
from fastapi import FastAPI
from hypothesis import HealthCheck, given
from hypothesis import settings as effort
from hypothesis import strategies as st
from tritonclient.utils import InferenceServerException

from gatewise.service.model.classifier import Classifier
from gatewise.service.serving.http.open_inference import response_encoding
from gatewise.service.serving.settings import Settings

TEXTS = ["where is the station", "who", "Wo ist der Bahnhof?", "駅はどこですか"]
LIMIT = 8192
SERVICE_PAGE = Path(__file__).parents[5] / "docs" / "service.md"
INFER = "/v2/models/languages/infer"

MakeApp = Callable[..., FastAPI]
ServeApp = Callable[[FastAPI], httpx.Client]


@pytest.fixture(scope="module")
def client(serve_app: ServeApp, make_app: MakeApp) -> httpx.Client:
    return serve_app(make_app(Settings(max_body_bytes=LIMIT, max_texts=8)))


@pytest.fixture(scope="module")
def triton_client(client: httpx.Client) -> Iterator[triton.InferenceServerClient]:
    address = f"{client.base_url.host}:{client.base_url.port}"
    with closing(triton.InferenceServerClient(address, concurrency=4)) as opened:
        yield opened


def texts_tensor(texts: list[str], *, binary: bool, column: bool = False) -> triton.InferInput:
    array = np.array([text.encode() for text in texts], dtype=np.object_)
    array = array.reshape(-1, 1) if column else array
    tensor = triton.InferInput("text", list(array.shape), "BYTES")
    return tensor.set_data_from_numpy(array, binary_data=binary)


def words(array: Any) -> Any:
    """Labels as strings: the client returns those of binary tensors as bytes."""
    return [each.decode() if isinstance(each, bytes) else each for each in array.ravel()]


def infer_body(texts: list[str], **changes: Any) -> dict[str, Any]:
    tensor = {"name": "text", "shape": [len(texts)], "datatype": "BYTES", "data": texts}
    return {"inputs": [tensor], **changes}


def error_of(response: httpx.Response, status: int) -> str:
    assert response.status_code == status, response.text
    assert response.headers["content-type"] == "application/json"
    document = response.json()
    assert list(document) == ["error"]
    message: str = document["error"]
    return message


class TestTheTritonClient:
    def test_health_and_metadata(self, triton_client: Any, classifier: Classifier) -> None:
        assert triton_client.is_server_live()
        assert triton_client.is_server_ready()
        assert triton_client.is_model_ready("languages")
        assert triton_client.is_model_ready("languages", "1")
        assert not triton_client.is_model_ready("languages", "9")
        assert not triton_client.is_model_ready("nothing")
        server = triton_client.get_server_metadata()
        assert (server["name"], server["extensions"]) == ("gatewise", ["binary_tensor_data"])
        model = triton_client.get_model_metadata("languages", "1")
        assert (model["name"], model["versions"]) == ("languages", ["1", "2"])
        assert model["inputs"] == [{"name": "text", "datatype": "BYTES", "shape": [-1]}]
        shapes = {each["name"]: (each["datatype"], each["shape"]) for each in model["outputs"]}
        classes = len(classifier.classes_)
        assert shapes == {
            "label": ("BYTES", [-1]),
            "score": ("FP32", [-1]),
            "scores": ("FP32", [-1, classes]),
            "classes": ("BYTES", [classes]),
            "given": ("BOOL", [-1, classes]),
        }

    @pytest.mark.parametrize(
        ("binary_in", "binary_out", "column"),
        [(False, False, False), (True, True, False), (False, True, True)],
    )
    def test_every_output_in_json_and_binary(
        self,
        triton_client: Any,
        classifier: Classifier,
        binary_in: bool,
        binary_out: bool,
        column: bool,
    ) -> None:
        names = ("given", "scores", "classes", "label", "score")
        answer = triton_client.infer(
            "languages",
            [texts_tensor(TEXTS, binary=binary_in, column=column)],
            outputs=[triton.InferRequestedOutput(name, binary_data=binary_out) for name in names],
            request_id="42",
        )
        head = answer.get_response()
        assert (head["model_name"], head["model_version"], head["id"]) == ("languages", "2", "42")
        assert [output["name"] for output in head["outputs"]] == list(names)
        probabilities = classifier.predict_proba(TEXTS)
        assert words(answer.as_numpy("label")) == classifier.predict(TEXTS)
        assert answer.as_numpy("score").ravel().tolist() == probabilities.max(axis=1).tolist()
        assert answer.as_numpy("scores").tolist() == probabilities.tolist()
        assert words(answer.as_numpy("classes")) == classifier.classes_
        best = probabilities.argmax(axis=1)[:, None] == np.arange(len(classifier.classes_))
        assert answer.as_numpy("given").tolist() == best.tolist()
        shape = (len(TEXTS), 1) if column else (len(TEXTS),)
        assert answer.as_numpy("label").shape == answer.as_numpy("score").shape == shape

    def test_the_default_outputs_are_label_and_score(
        self, triton_client: Any, classifier: Classifier
    ) -> None:
        answer = triton_client.infer("languages", [texts_tensor(TEXTS, binary=True)])
        outputs = answer.get_response()["outputs"]
        assert [output["name"] for output in outputs] == ["label", "score"]
        assert all("binary_data_size" in output["parameters"] for output in outputs)
        assert words(answer.as_numpy("label")) == classifier.predict(TEXTS)
        assert "id" not in answer.get_response()

    def test_a_version_by_name(self, triton_client: Any) -> None:
        answer = triton_client.infer("languages", [texts_tensor(["who"], binary=True)], "1")
        assert answer.get_response()["model_version"] == "1"

    def test_parameters(self, triton_client: Any, classifier: Classifier) -> None:
        answer = triton_client.infer(
            "languages",
            [texts_tensor(TEXTS, binary=True, column=True)],
            parameters={"top_k": 2, "function_to_apply": "none"},
            priority=1,
            timeout=1_000_000,
        )
        logits = classifier.scores(classifier.encode(TEXTS), "none")
        best = np.argsort(-logits, axis=1)[:, :2]
        assert answer.as_numpy("label").shape == (len(TEXTS), 2)
        assert words(answer.as_numpy("label")) == [classifier.classes_[i] for i in best.ravel()]
        assert answer.as_numpy("score").tolist() == np.take_along_axis(logits, best, 1).tolist()

    def test_a_top_k_above_the_number_of_classes(
        self, triton_client: Any, classifier: Classifier
    ) -> None:
        answer = triton_client.infer(
            "languages", [texts_tensor(["who"], binary=True)], parameters={"top_k": 1000}
        )
        assert answer.as_numpy("label").shape == (1, len(classifier.classes_))

    def test_the_asyncio_client(self, client: httpx.Client, classifier: Classifier) -> None:
        async def ask() -> Any:
            address = f"{client.base_url.host}:{client.base_url.port}"
            async with triton_aio.InferenceServerClient(address) as opened:
                assert await opened.is_server_ready()
                return await opened.infer("languages", [texts_tensor(TEXTS, binary=True)])

        assert words(asyncio.run(ask()).as_numpy("label")) == classifier.predict(TEXTS)

    def test_a_response_is_not_compressed(self, triton_client: Any, classifier: Classifier) -> None:
        answer = triton_client.infer(
            "languages",
            [texts_tensor(TEXTS, binary=True)],
            response_compression_algorithm="gzip",
        )
        assert words(answer.as_numpy("label")) == classifier.predict(TEXTS)

    @pytest.mark.parametrize(
        ("model", "texts", "options", "status", "reason"),
        [
            ("nothing", ["who"], {}, "404", "no model 'nothing'"),
            ("languages", ["who"] * 9, {}, "400", "#/inputs/0/shape: expected 1 to 8 texts"),
            ("languages", ["who", "", " "], {}, "400", "at least one token each: empty are 1, 2"),
            ("languages", ["who"], {"sequence_id": 7}, "400", "#/parameters: expected no sequence"),
            ("languages", ["who" * LIMIT], {}, "413", "at most 8192 bytes"),
            (
                "languages",
                ["who"],
                {"request_compression_algorithm": "gzip"},
                "415",
                "expected no Content-Encoding",
            ),
        ],
    )
    def test_refusals_are_exceptions_of_the_client(
        self,
        triton_client: Any,
        model: str,
        texts: list[str],
        options: dict[str, Any],
        status: str,
        reason: str,
    ) -> None:
        with pytest.raises(InferenceServerException) as refused:
            triton_client.infer(model, [texts_tensor(texts, binary=True)], **options)
        assert refused.value.status() == status
        assert reason in refused.value.message()


class TestOtherModels:
    def test_given_labels_of_a_multi_label_model_reach_their_thresholds(
        self, triton_client: Any
    ) -> None:
        wanted = [triton.InferRequestedOutput(name) for name in ("given", "classes", "label")]
        texts = ["blue reddish", "green", "red green green", "grey"]
        answer = triton_client.infer("colours", [texts_tensor(texts, binary=True)], outputs=wanted)
        classes = words(answer.as_numpy("classes"))
        given = [
            [label for label, is_given in zip(classes, row, strict=True) if is_given]
            for row in answer.as_numpy("given")
        ]
        assert given == [["blue", "red"], [], ["green", "red"], []]
        assert words(answer.as_numpy("label"))[:2] == ["blue", "green"]

    def test_thresholds_apply_to_sigmoid_scores_only(self, client: httpx.Client) -> None:
        body = infer_body(["blue"], outputs=[{"name": "given"}])
        body["parameters"] = {"function_to_apply": "sigmoid"}
        assert client.post("/v2/models/colours/infer", json=body).status_code == 200
        body["parameters"] = {"function_to_apply": "softmax"}
        message = error_of(client.post("/v2/models/colours/infer", json=body), 400)
        assert message.startswith("#/parameters/function_to_apply: expected sigmoid with")

    def test_a_rejected_text(self, triton_client: Any) -> None:
        texts = ["Bitte geben Sie eine gültige Adresse ein.", "1 2"]
        wanted = [
            triton.InferRequestedOutput(name) for name in ("label", "score", "scores", "given")
        ]
        answer = triton_client.infer(
            "rejecting", [texts_tensor(texts, binary=True)], outputs=wanted
        )
        assert words(answer.as_numpy("label")) == ["de", "no language"]
        assert answer.as_numpy("score").tolist() == answer.as_numpy("scores").max(axis=1).tolist()
        assert answer.as_numpy("given").sum(axis=1).tolist() == [1, 0]
        ranked = triton_client.infer(
            "rejecting", [texts_tensor(texts, binary=True)], parameters={"top_k": 2}
        )
        assert words(ranked.as_numpy("label"))[2] == "no language"
        assert ranked.as_numpy("label").shape == (2, 2)


class TestErrors:
    def test_unknown_routes(self, client: httpx.Client) -> None:
        assert "no route" in error_of(client.get("/v2/nothing"), 404)
        assert "no route" in error_of(client.get("/v2/"), 404)
        response = client.get(INFER)
        assert "does not take GET" in error_of(response, 405)
        assert response.headers["allow"] == "POST"
        elsewhere = client.get("/v2x").json()
        assert elsewhere["type"] == "urn:gatewise:problem:no-route"

    def test_a_loading_model(self, serve_app: ServeApp, make_app: MakeApp) -> None:
        client = serve_app(make_app(loading=["slow"]))
        assert client.get("/v2/health/live").json() == {"live": True}
        for path in ("/v2/health/ready", "/v2/models/slow/ready", "/v2/models/slow"):
            response = client.get(path)
            assert error_of(response, 503)
        assert client.get("/v2/models/languages/ready").json() == {
            "name": "languages",
            "ready": True,
        }
        assert error_of(client.post("/v2/models/slow/infer", json=infer_body(["who"])), 503)

    def test_an_unexpected_exception(
        self, client: httpx.Client, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def failing(*arguments: object) -> None:
            raise RuntimeError("secret")

        with monkeypatch.context() as patched:
            patched.setattr(response_encoding, "tensors", failing)
            response = client.post(INFER, json=infer_body(["who"]))
        assert "secret" not in error_of(response, 500)
        assert client.post(INFER, json=infer_body(["who"])).status_code == 200

    def test_another_media_type(self, client: httpx.Client) -> None:
        message = error_of(client.post(INFER, data={"a": "b"}), 415)
        assert "application/json or application/octet-stream" in message

    @effort(max_examples=150, suppress_health_check=[HealthCheck.too_slow])
    @given(
        document=st.recursive(
            st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
            lambda inner: (
                st.lists(inner)
                | st.dictionaries(
                    st.sampled_from(["inputs", "outputs", "name", "shape", "data", "id"])
                    | st.text(),
                    inner,
                )
            ),
        )
        | st.fixed_dictionaries(
            {
                "inputs": st.lists(
                    st.fixed_dictionaries(
                        {
                            "name": st.just("text"),
                            "datatype": st.just("BYTES"),
                            "shape": st.lists(st.integers(-1, 4), max_size=3),
                        },
                        optional={
                            "data": st.lists(st.text() | st.lists(st.text(), max_size=2)),
                            "parameters": st.dictionaries(
                                st.sampled_from(["binary_data_size", "content_type"]),
                                st.integers(-1, 40) | st.text(),
                            ),
                        },
                    ),
                    min_size=1,
                    max_size=2,
                )
            }
        ),
        data=st.binary(max_size=40),
        length=st.none() | st.integers(-1, 300),
    )
    def test_arbitrary_bodies_never_cause_a_server_error(
        self, client: httpx.Client, document: Any, data: bytes, length: int | None
    ) -> None:
        headers = {} if length is None else {"Inference-Header-Content-Length": str(length)}
        body = json.dumps(document).encode()
        if length is not None and length > 200:
            headers["Inference-Header-Content-Length"] = str(len(body))
        response = client.post(INFER, content=body + data, headers=headers)
        assert response.status_code in (200, 400), response.text
        if response.status_code == 400:
            error_of(response, 400)


class TestOpenApi:
    @pytest.fixture
    def openapi(self, client: httpx.Client) -> dict[str, Any]:
        document: dict[str, Any] = client.get("/openapi.json").json()
        return document

    def validate(self, value: Any, schema: dict[str, Any], openapi: dict[str, Any]) -> None:
        jsonschema.validate(value, {**schema, "components": openapi["components"]})

    def test_examples_of_requests_get_the_described_responses(
        self, client: httpx.Client, openapi: dict[str, Any]
    ) -> None:
        for path in ("/v2/models/{name}/infer", "/v2/models/{name}/versions/{version}/infer"):
            described = openapi["paths"][path]["post"]
            request = described["requestBody"]["content"]["application/json"]["schema"]
            answer = described["responses"]["200"]["content"]["application/json"]["schema"]
            for example in openapi["components"]["schemas"]["InferRequest"]["examples"]:
                self.validate(example, request, openapi)
                url = path.format(name="languages", version="1")
                response = client.post(url, json=example)
                assert response.status_code == 200
                self.validate(response.json(), answer, openapi)
                assert response.json()["id"] == example["id"]

    def test_the_documented_examples_work(
        self, client: httpx.Client, classifier: Classifier, capsys: pytest.CaptureFixture[str]
    ) -> None:
        page = SERVICE_PAGE.read_text(encoding="utf-8")
        (body,) = re.findall(r"/v2/models/model/infer --json '(.*)'", page)
        (answer,) = re.findall(r'^\{"model_name".*\}$', page, re.MULTILINE)
        response = client.post(INFER, content=body.encode())
        assert response.status_code == 200
        documented, actual = json.loads(answer), response.json()
        assert (list(documented), documented["id"]) == (list(actual), actual["id"])
        for one, other in zip(documented["outputs"], actual["outputs"], strict=True):
            assert {**one, "data": None} == {**other, "data": None}
        (program,) = re.findall(r"```python\n(import numpy.*?)```", page, re.DOTALL)
        address = f"{client.base_url.host}:{client.base_url.port}"
        program = program.replace("127.0.0.1:8000", address).replace('"model"', '"languages"')
        exec(program, variables := {})
        variables["client"].close()
        (label, other) = classifier.predict(["Where is the nearest station?", "How far?"])
        assert capsys.readouterr().out.startswith(f"[b'{label}' b'{other}'] [")

    def test_get_routes_respond_as_described(
        self, client: httpx.Client, openapi: dict[str, Any]
    ) -> None:
        paths = [path for path in openapi["paths"] if path.startswith("/v2")]
        assert len(paths) == 9
        for path in paths:
            if "get" in openapi["paths"][path]:
                described = openapi["paths"][path]["get"]["responses"]["200"]
                response = client.get(path.format(name="languages", version="1"))
                assert response.status_code == 200
                schema = described["content"]["application/json"]["schema"]
                self.validate(response.json(), schema, openapi)

    def test_refusals_are_as_described(self, client: httpx.Client, openapi: dict[str, Any]) -> None:
        described = openapi["paths"]["/v2/models/{name}/infer"]["post"]["responses"]
        assert set(described) >= {"200", "400", "404", "413", "415", "503"}
        assert "422" not in described
        for path, body in (
            (INFER, b"{"),
            (INFER, b" " * (LIMIT + 1)),
            ("/v2/models/no/infer", b"{}"),
        ):
            response = client.post(path, content=body)
            content = described[str(response.status_code)]["content"]
            assert list(content) == ["application/json"]
            self.validate(response.json(), content["application/json"]["schema"], openapi)
