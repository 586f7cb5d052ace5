"""The Open Inference Protocol over a real connection, asked by Triton's own client."""

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
from gatewise.service.model.classifier import Classifier
from gatewise.service.serving.http.open_inference import outputs as inference_outputs
from gatewise.service.serving.settings import Settings
from hypothesis import HealthCheck, given
from hypothesis import settings as effort
from hypothesis import strategies as st
from tritonclient.utils import InferenceServerException

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
    """Labels as strings: in JSON they come so, in bytes as bytes."""
    return [each.decode() if isinstance(each, bytes) else each for each in array.ravel()]


def said(texts: list[str], **changes: Any) -> dict[str, Any]:
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

    @pytest.mark.parametrize("column", [False, True])
    @pytest.mark.parametrize("binary_out", [False, True])
    @pytest.mark.parametrize("binary_in", [False, True])
    def test_every_output_both_ways(
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

    def test_without_outputs_it_gets_label_and_score_in_bytes(
        self, triton_client: Any, classifier: Classifier
    ) -> None:
        answer = triton_client.infer("languages", [texts_tensor(TEXTS, binary=True)])
        outputs = answer.get_response()["outputs"]
        assert [output["name"] for output in outputs] == ["label", "score"]
        assert all("binary_data_size" in output["parameters"] for output in outputs)
        assert words(answer.as_numpy("label")) == classifier.predict(TEXTS)
        assert "id" not in answer.get_response()

    def test_each_output_may_come_its_own_way(self, triton_client: Any) -> None:
        wanted = [
            triton.InferRequestedOutput("score", binary_data=True),
            triton.InferRequestedOutput("label", binary_data=False),
            triton.InferRequestedOutput("scores", binary_data=True),
        ]
        answer = triton_client.infer(
            "languages", [texts_tensor(TEXTS, binary=False)], outputs=wanted
        )
        ways = {output["name"]: "data" in output for output in answer.get_response()["outputs"]}
        assert ways == {"score": False, "label": True, "scores": False}
        assert answer.as_numpy("scores").max(axis=1).tolist() == answer.as_numpy("score").tolist()

    def test_a_version_that_is_named(self, triton_client: Any) -> None:
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

    def test_more_labels_than_there_are(self, triton_client: Any, classifier: Classifier) -> None:
        answer = triton_client.infer(
            "languages", [texts_tensor(["who"], binary=True)], parameters={"top_k": 1000}
        )
        assert answer.as_numpy("label").shape == (1, len(classifier.classes_))

    @pytest.mark.parametrize("binary", [False, True])
    def test_the_one_for_asyncio(
        self, client: httpx.Client, classifier: Classifier, binary: bool
    ) -> None:
        async def ask() -> Any:
            address = f"{client.base_url.host}:{client.base_url.port}"
            async with triton_aio.InferenceServerClient(address) as opened:
                assert await opened.is_server_ready()
                return await opened.infer("languages", [texts_tensor(TEXTS, binary=binary)])

        assert words(asyncio.run(ask()).as_numpy("label")) == classifier.predict(TEXTS)

    def test_an_answer_that_may_be_compressed_comes_plain(
        self, triton_client: Any, classifier: Classifier
    ) -> None:
        answer = triton_client.infer(
            "languages",
            [texts_tensor(TEXTS, binary=True)],
            response_compression_algorithm="gzip",
        )
        assert words(answer.as_numpy("label")) == classifier.predict(TEXTS)

    def test_several_at_once(self, triton_client: Any, classifier: Classifier) -> None:
        asked = [
            triton_client.async_infer("languages", [texts_tensor([text], binary=bool(number % 2))])
            for number, text in enumerate(TEXTS * 4)
        ]
        found = [word for each in asked for word in words(each.get_result().as_numpy("label"))]
        assert found == classifier.predict(TEXTS * 4)

    @pytest.mark.parametrize("binary", [False, True])
    @pytest.mark.parametrize(
        ("model", "texts", "options", "status", "reason"),
        [
            ("nothing", ["who"], {}, "404", "no model 'nothing'"),
            ("languages", ["who"] * 9, {}, "400", "#/inputs/0/shape: expected 1 to 8 texts"),
            ("languages", ["who", "", " "], {}, "400", "at least one token each: empty are 1, 2"),
            ("languages", ["who"], {"sequence_id": 7}, "400", "#/parameters: expected no sequence"),
            ("languages", ["who"], {"parameters": {"top_k": 0}}, "400", "#/parameters/top_k"),
            ("languages", ["who" * LIMIT], {}, "413", "at most 8192 bytes"),
            (
                "languages",
                ["who"],
                {"request_compression_algorithm": "gzip"},
                "415",
                "expected no Content-Encoding",
            ),
            (
                "languages",
                ["who"],
                {"outputs": [triton.InferRequestedOutput("label", class_count=3)]},
                "400",
                "#/outputs/0/parameters: expected no classification",
            ),
            (
                "languages",
                ["who"],
                {"outputs": [triton.InferRequestedOutput("logits")]},
                "400",
                "#/outputs/0/name",
            ),
        ],
    )
    def test_refusals_reach_it_as_its_own_errors(
        self,
        triton_client: Any,
        model: str,
        texts: list[str],
        options: dict[str, Any],
        status: str,
        reason: str,
        binary: bool,
    ) -> None:
        with pytest.raises(InferenceServerException) as refused:
            triton_client.infer(model, [texts_tensor(texts, binary=binary)], **options)
        assert refused.value.status() == status
        assert reason in refused.value.message()

    def test_bytes_that_are_no_text(self, triton_client: Any) -> None:
        tensor = triton.InferInput("text", [1], "BYTES")
        tensor.set_data_from_numpy(np.array([b"a\xff"], dtype=np.object_))
        with pytest.raises(InferenceServerException, match="text 0: expected UTF-8"):
            triton_client.infer("languages", [tensor])


class TestOtherModels:
    def test_of_several_labels_those_that_reach_their_thresholds(self, triton_client: Any) -> None:
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

    def test_thresholds_are_of_its_own_scores(self, client: httpx.Client) -> None:
        asked = said(["blue"], outputs=[{"name": "given"}])
        asked["parameters"] = {"function_to_apply": "sigmoid"}
        assert client.post("/v2/models/colours/infer", json=asked).status_code == 200
        asked["parameters"] = {"function_to_apply": "softmax"}
        told = error_of(client.post("/v2/models/colours/infer", json=asked), 400)
        assert told.startswith("#/parameters/function_to_apply: expected none beside")

    def test_a_text_that_is_given_none_of_the_labels(self, triton_client: Any) -> None:
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
    def test_routes_that_are_not_there(self, client: httpx.Client) -> None:
        assert "no route" in error_of(client.get("/v2/nothing"), 404)
        assert "no route" in error_of(client.get("/v2/"), 404)
        response = client.get(INFER)
        assert "does not take GET" in error_of(response, 405)
        assert response.headers["allow"] == "POST"
        elsewhere = client.get("/v2x").json()
        assert elsewhere["type"] == "urn:gatewise:problem:no-route"

    def test_while_a_model_loads(self, serve_app: ServeApp, make_app: MakeApp) -> None:
        client = serve_app(make_app(loading=["slow"]))
        assert client.get("/v2/health/live").json() == {"live": True}
        for path in ("/v2/health/ready", "/v2/models/slow/ready", "/v2/models/slow"):
            response = client.get(path)
            assert error_of(response, 503)
        assert client.get("/v2/models/languages/ready").json() == {
            "name": "languages",
            "ready": True,
        }
        assert error_of(client.post("/v2/models/slow/infer", json=said(["who"])), 503)

    def test_an_unexpected_exception(
        self, client: httpx.Client, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def broken(*arguments: object) -> None:
            raise RuntimeError("the inside")

        with monkeypatch.context() as patched:
            patched.setattr(inference_outputs, "tensors", broken)
            response = client.post(INFER, json=said(["who"]))
        assert "the inside" not in error_of(response, 500)
        assert client.post(INFER, json=said(["who"])).status_code == 200

    def test_another_media_type(self, client: httpx.Client) -> None:
        told = error_of(client.post(INFER, data={"a": "b"}), 415)
        assert "application/json or application/octet-stream" in told

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
        behind=st.binary(max_size=40),
        length=st.none() | st.integers(-1, 300),
    )
    def test_no_body_makes_the_service_fail(
        self, client: httpx.Client, document: Any, behind: bytes, length: int | None
    ) -> None:
        headers = {} if length is None else {"Inference-Header-Content-Length": str(length)}
        body = json.dumps(document).encode()
        if length is not None and length > 200:
            headers["Inference-Header-Content-Length"] = str(len(body))
        response = client.post(INFER, content=body + behind, headers=headers)
        assert response.status_code in (200, 400), response.text
        if response.status_code == 400:
            error_of(response, 400)


class TestDocument:
    @pytest.fixture
    def openapi(self, client: httpx.Client) -> dict[str, Any]:
        document: dict[str, Any] = client.get("/openapi.json").json()
        return document

    def validate(self, value: Any, schema: dict[str, Any], openapi: dict[str, Any]) -> None:
        jsonschema.validate(value, {**schema, "components": openapi["components"]})

    def test_the_examples_of_a_request_are_answered_as_described(
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

    def test_what_the_page_shows_works(
        self, client: httpx.Client, classifier: Classifier, capsys: pytest.CaptureFixture[str]
    ) -> None:
        page = SERVICE_PAGE.read_text(encoding="utf-8")
        (asked,) = re.findall(r"/v2/models/model/infer --json '(.*)'", page)
        (answer,) = re.findall(r'^\{"model_name".*\}$', page, re.MULTILINE)
        response = client.post(INFER, content=asked.encode())
        assert response.status_code == 200
        shown, found = json.loads(answer), response.json()
        assert (list(shown), shown["id"]) == (list(found), found["id"])
        for one, other in zip(shown["outputs"], found["outputs"], strict=True):
            assert {**one, "data": None} == {**other, "data": None}
        (program,) = re.findall(r"```python\n(import numpy.*?)```", page, re.DOTALL)
        address = f"{client.base_url.host}:{client.base_url.port}"
        program = program.replace("127.0.0.1:8000", address).replace('"model"', '"languages"')
        exec(program, variables := {})
        variables["client"].close()
        (label, other) = classifier.predict(["Where is the nearest station?", "How far?"])
        assert capsys.readouterr().out.startswith(f"[b'{label}' b'{other}'] [")

    def test_what_is_sent_as_bytes_is_described(self, openapi: dict[str, Any]) -> None:
        described = openapi["paths"]["/v2/models/{name}/infer"]["post"]
        header = "Inference-Header-Content-Length"
        assert header in [each["name"] for each in described["parameters"]]
        assert "application/octet-stream" in described["requestBody"]["content"]
        assert "application/octet-stream" in described["responses"]["200"]["content"]
        assert header in described["responses"]["200"]["headers"]

    def test_the_other_routes_answer_as_described(
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
