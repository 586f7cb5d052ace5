"""The Open Inference Protocol over a real connection, used by Triton's own client."""

import asyncio
from contextlib import closing

import numpy as np
import pytest
import tritonclient.http as triton
import tritonclient.http.aio as triton_aio
from tritonclient.utils import InferenceServerException

from gatewise.service.serving.http.open_inference import response_encoding

TEXTS = ["where is the station", "who", "Wo ist der Bahnhof?", "駅はどこですか"]
LIMIT = 8192
INFER = "/v2/models/languages/infer"


@pytest.fixture(scope="module")
def client(serve_app, make_app):
    return serve_app(make_app(max_body_bytes=LIMIT, max_texts=8))


@pytest.fixture(scope="module")
def triton_client(client):
    address = f"127.0.0.1:{client.base_url.port}"
    with closing(triton.InferenceServerClient(address, concurrency=4)) as opened:
        yield opened


def texts_tensor(texts, *, binary=True, column=False):
    array = np.array([text.encode() for text in texts], dtype=np.object_)
    array = array.reshape(-1, 1) if column else array
    tensor = triton.InferInput("text", list(array.shape), "BYTES")
    return tensor.set_data_from_numpy(array, binary_data=binary)


def outputs(*names, binary=True):
    return [triton.InferRequestedOutput(name, binary_data=binary) for name in names]


def words(array):
    """Labels as strings: the client returns those of binary tensors as bytes."""
    return [each.decode() if isinstance(each, bytes) else each for each in array.ravel()]


def infer_body(texts, **changes):
    tensor = {"name": "text", "shape": [len(texts)], "datatype": "BYTES", "data": texts}
    return {"inputs": [tensor], **changes}


def error_of(response, status):
    assert response.status_code == status, response.text
    assert response.headers["content-type"] == "application/json"
    document = response.json()
    assert list(document) == ["error"]
    return document["error"]


class TestTheTritonClient:
    def test_configuration_and_repository_index(self, triton_client, classifier, client):
        config = triton_client.get_model_config("languages")
        assert config == triton_client.get_model_config("languages", "1")
        assert config["max_batch_size"] == 0
        assert config["input"] == [{"name": "text", "data_type": "TYPE_STRING", "dims": [-1]}]
        classes = len(classifier.classes_)
        assert {each["name"]: (each["data_type"], each["dims"]) for each in config["output"]} == {
            "label": ("TYPE_STRING", [-1]),
            "score": ("TYPE_FP32", [-1]),
            "scores": ("TYPE_FP32", [-1, classes]),
            "classes": ("TYPE_STRING", [classes]),
            "given": ("TYPE_BOOL", [-1, classes]),
        }
        with pytest.raises(InferenceServerException, match="no model 'nothing'"):
            triton_client.get_model_config("nothing")
        index = triton_client.get_model_repository_index()
        assert index[0] == {"name": "languages", "version": "1", "state": "READY", "reason": ""}
        assert {each["name"] for each in index} == {"languages", "colours", "rejecting"}
        assert client.post("/v2/repository/index", json={"ready": True}).json() == index
        # As tritonclient.http.aio asks.
        octets = {"content-type": "application/octet-stream"}
        assert client.post("/v2/repository/index", content=b"", headers=octets).json() == index
        # A parameter that would change the answer is honoured or refused.
        refused = client.post("/v2/repository/index", json={"model": "languages"})
        assert "#/model" in error_of(refused, 400)

    def test_health_and_metadata(self, triton_client, classifier):
        assert triton_client.is_server_live()
        assert triton_client.is_server_ready()
        assert triton_client.is_model_ready("languages")
        assert triton_client.is_model_ready("languages", "1")
        assert not triton_client.is_model_ready("languages", "9")
        assert not triton_client.is_model_ready("nothing")
        server = triton_client.get_server_metadata()
        assert (server["name"], server["extensions"]) == (
            "gatewise",
            ["binary_tensor_data", "model_configuration", "model_repository(index)"],
        )
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
        self, triton_client, classifier, binary_in, binary_out, column
    ):
        names = ("given", "scores", "classes", "label", "score")
        answer = triton_client.infer(
            "languages",
            [texts_tensor(TEXTS, binary=binary_in, column=column)],
            outputs=outputs(*names, binary=binary_out),
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

    def test_the_default_outputs_are_label_and_score_of_the_asyncio_client_too(
        self, triton_client, client, classifier
    ):
        # An answer is not compressed.
        options = {"response_compression_algorithm": "gzip"}
        answer = triton_client.infer("languages", [texts_tensor(TEXTS)], "1", **options)
        head = answer.get_response()
        assert [output["name"] for output in head["outputs"]] == ["label", "score"]
        assert all("binary_data_size" in output["parameters"] for output in head["outputs"])
        assert (head["model_version"], "id" in head) == ("1", False)
        assert words(answer.as_numpy("label")) == classifier.predict(TEXTS)

        async def ask():
            address = f"127.0.0.1:{client.base_url.port}"
            async with triton_aio.InferenceServerClient(address) as opened:
                assert await opened.is_server_ready()
                return await opened.infer("languages", [texts_tensor(TEXTS)])

        assert words(asyncio.run(ask()).as_numpy("label")) == classifier.predict(TEXTS)

    def test_the_model_and_version_of_the_body(self, client):
        def infer(path="languages", **named):
            answer = client.post(f"/v2/models/{path}/infer", json={**infer_body(["who"]), **named})
            body = answer.json()
            return answer.status_code, body.get("error", body.get("model_version"))

        assert infer(model_name="languages", model_version="2") == (200, "2")
        assert infer(model_version="1") == infer("languages/versions/1") == (200, "1")
        for wrong in ({"model_name": "colours"}, {"model_version": "1"}):
            status, error = infer("languages/versions/2", **wrong)
            assert (status, "which the path names" in error) == (400, True)
        assert infer(model_version="9")[0] == 404

    def test_parameters(self, triton_client, classifier):
        answer = triton_client.infer(
            "languages",
            [texts_tensor(TEXTS, column=True)],
            parameters={"top_k": 2, "function_to_apply": "none"},
            priority=1,
            timeout=1_000_000,
        )
        logits = classifier.scores(classifier.encode(TEXTS), "none")
        best = np.argsort(-logits, axis=1)[:, :2]
        assert answer.as_numpy("label").shape == (len(TEXTS), 2)
        assert words(answer.as_numpy("label")) == [classifier.classes_[i] for i in best.ravel()]
        assert answer.as_numpy("score").tolist() == np.take_along_axis(logits, best, 1).tolist()
        every = triton_client.infer(
            "languages", [texts_tensor(["who"])], parameters={"top_k": 1000}
        )
        assert every.as_numpy("label").shape == (1, len(classifier.classes_))

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
        self, triton_client, model, texts, options, status, reason
    ):
        with pytest.raises(InferenceServerException) as refused:
            triton_client.infer(model, [texts_tensor(texts)], **options)
        assert refused.value.status() == status
        assert reason in refused.value.message()

    def test_given_labels_of_a_multi_label_model_reach_their_thresholds(self, triton_client):
        texts = ["blue reddish", "green", "red green green", "grey"]
        wanted = outputs("given", "classes", "label")
        answer = triton_client.infer("colours", [texts_tensor(texts)], outputs=wanted)
        classes = words(answer.as_numpy("classes"))
        given = [
            [label for label, is_given in zip(classes, row, strict=True) if is_given]
            for row in answer.as_numpy("given")
        ]
        assert given == [["blue", "red"], [], ["green", "red"], []]
        assert words(answer.as_numpy("label"))[:2] == ["blue", "green"]

    def test_a_rejected_text(self, triton_client):
        texts = [texts_tensor(["Bitte geben Sie eine gültige Adresse ein.", "1 2"])]
        wanted = outputs("label", "score", "scores", "given")
        answer = triton_client.infer("rejecting", texts, outputs=wanted)
        assert words(answer.as_numpy("label")) == ["de", "no language"]
        assert answer.as_numpy("score").tolist() == answer.as_numpy("scores").max(axis=1).tolist()
        assert answer.as_numpy("given").sum(axis=1).tolist() == [1, 0]
        ranked = triton_client.infer("rejecting", texts, parameters={"top_k": 2})
        assert words(ranked.as_numpy("label"))[2] == "no language"
        assert ranked.as_numpy("label").shape == (2, 2)


class TestErrors:
    def test_unknown_routes_and_other_media_types(self, client):
        assert "no route" in error_of(client.get("/v2/nothing"), 404)
        assert "no route" in error_of(client.get("/v2/"), 404)
        response = client.get(INFER)
        assert "does not take GET" in error_of(response, 405)
        assert response.headers["allow"] == "POST"
        elsewhere = client.get("/v2x").json()
        assert elsewhere["type"] == "urn:gatewise:problem:no-route"
        message = error_of(client.post(INFER, data={"a": "b"}), 415)
        assert "application/json or application/octet-stream" in message

    def test_thresholds_apply_to_sigmoid_scores_only(self, client):
        body = infer_body(["blue"], outputs=[{"name": "given"}])
        body["parameters"] = {"function_to_apply": "sigmoid"}
        assert client.post("/v2/models/colours/infer", json=body).status_code == 200
        body["parameters"] = {"function_to_apply": "softmax"}
        message = error_of(client.post("/v2/models/colours/infer", json=body), 400)
        assert message.startswith("#/parameters/function_to_apply: expected sigmoid with")

    def test_a_loading_model(self, serve_app, make_app, classifier):
        client = serve_app(make_app({"languages": classifier, "slow": None}))
        assert client.get("/v2/health/live").json() == {"live": True}
        for path in ("/v2/health/ready", "/v2/models/slow/ready", "/v2/models/slow"):
            assert error_of(client.get(path), 503)
        # Asked without a key, it names no model.
        assert "slow" not in client.get("/v2/health/ready").text
        ready = client.get("/v2/models/languages/ready").json()
        assert ready == {"name": "languages", "ready": True}
        assert error_of(client.post("/v2/models/slow/infer", json=infer_body(["who"])), 503)

    def test_an_unexpected_exception(self, client, monkeypatch):
        def failing(*arguments):
            raise RuntimeError("secret")

        with monkeypatch.context() as patched:
            patched.setattr(response_encoding, "tensors", failing)
            response = client.post(INFER, json=infer_body(["who"]))
        assert "secret" not in error_of(response, 500)
        assert client.post(INFER, json=infer_body(["who"])).status_code == 200
