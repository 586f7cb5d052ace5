"""Inference requests: decoded as they were encoded, by hand and by a client, or refused."""

import base64
import json
import struct

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tritonclient.http import InferenceServerClient, InferInput, InferRequestedOutput

from gatewise.service.serving.http.open_inference.request_decoding import (
    DecodedRequest,
    InferFormatError,
    RequestedOutput,
    decode,
)

TEXTS = st.lists(st.text(st.characters(exclude_categories=["Cs"])), min_size=1, max_size=8)


def tensor_bytes(texts):
    """Encodes texts by another implementation than the one under test."""
    encoded = [text.encode() for text in texts]
    return b"".join(struct.pack("<I", len(each)) + each for each in encoded)


def request(**changes):
    texts = {"name": "text", "shape": [2], "datatype": "BYTES", "data": ["a", "b"]}
    changed = {key: value for key, value in {**texts, **changes}.items() if value is not ...}
    return {"inputs": [changed]}


def body_of(document, data=b""):
    header = json.dumps(document).encode()
    return header + data, str(len(header))


def error_of(body, header_length=None):
    with pytest.raises(InferFormatError) as error:
        decode(body, header_length, max_texts=8)
    assert "\n" not in str(error.value)
    return str(error.value)


class TestRequests:
    @given(texts=TEXTS, column=st.booleans(), nested=st.booleans(), id_=st.none() | st.text())
    def test_json(self, texts, column, nested, id_):
        shape = [len(texts), 1] if column else [len(texts)]
        data = [[text] for text in texts] if column and nested else list(texts)
        document = request(shape=shape, data=data)
        if id_ is not None:
            id_ = document["id"] = id_.encode(errors="replace").decode()
        decoded = decode(json.dumps(document, ensure_ascii=False).encode(), None, 8)
        outputs = (RequestedOutput("label", False), RequestedOutput("score", False))
        assert decoded == DecodedRequest(texts, tuple(shape), outputs, id_)

    @given(texts=TEXTS, column=st.booleans(), binary=st.booleans())
    def test_requests_of_the_triton_client(self, texts, column, binary):
        shape = [len(texts), 1] if column else [len(texts)]
        tensor = InferInput("text", shape, "BYTES")
        array = np.array([text.encode() for text in texts], dtype=np.object_).reshape(shape)
        tensor.set_data_from_numpy(array, binary_data=binary)
        body, length = InferenceServerClient.generate_request_body(
            [tensor],
            outputs=[
                InferRequestedOutput("scores", binary_data=True),
                InferRequestedOutput("label", binary_data=False),
            ],
            request_id="seven",
            parameters={"top_k": 2},
        )
        decoded = decode(body, None if length is None else str(length), 8)
        outputs = (RequestedOutput("scores", True), RequestedOutput("label", False))
        assert decoded == DecodedRequest(texts, tuple(shape), outputs, "seven", 2)

    @pytest.mark.parametrize(
        ("outputs", "expected"),
        [
            (None, [("label", True), ("score", True)]),
            ([], [("label", True), ("score", True)]),
            (
                [{"name": "given"}, {"name": "score", "parameters": {"binary_data": False}}],
                [("given", True), ("score", False)],
            ),
        ],
    )
    def test_the_requested_outputs(self, outputs, expected):
        document = request() | {"outputs": outputs, "parameters": {"binary_data_output": True}}
        decoded = decode(json.dumps(document).encode(), None, 8)
        assert decoded.outputs == tuple(RequestedOutput(*each) for each in expected)

    def test_parameters_of_schedulers_change_nothing(self):
        document = request(parameters={"content_type": "str"}) | {
            "parameters": {"priority": 1, "timeout": 5, "function_to_apply": "none"},
            "outputs": [{"name": "label", "parameters": {"content_type": "str"}}],
        }
        # The length of the header is also that of a body without binary data.
        decoded = decode(*body_of(document), 8)
        assert (decoded.texts, decoded.function_to_apply) == (["a", "b"], "none")

    @pytest.mark.parametrize("binary", [False, True])
    def test_base64_is_decoded(self, binary):
        texts = ["late parcel", "größe", ""]
        elements = [base64.b64encode(text.encode()).decode() for text in texts]
        tensor = InferInput("text", [3], "BYTES")
        array = np.array([element.encode() for element in elements], dtype=np.object_)
        tensor.set_data_from_numpy(array, binary_data=binary)
        body, length = InferenceServerClient.generate_request_body([tensor])
        document = json.loads(body[:length])
        document["inputs"][0].setdefault("parameters", {})["content_type"] = "base64"
        head = json.dumps(document).encode()
        rest = b"" if length is None else body[length:]
        assert decode(head + rest, str(len(head)), 8).texts == texts

    def test_what_is_not_base64_is_refused(self):
        document = request(parameters={"content_type": "base64"}, data=["YQ==", "late parcel"])
        assert error_of(json.dumps(document).encode()).startswith("#/inputs/0/data/1: expected the")

    @pytest.mark.parametrize(
        ("changes", "name"),
        [
            ({"parameters": {"truncation": True}}, "truncation"),
            ({"parameters": {"above_threshold": True}}, "above_threshold"),
            ({"parameters": {"text_pair": "b"}}, "#/parameters: expected no text_pair"),
            ({"outputs": [{"name": "label", "parameters": {"top": 2}}]}, "#/outputs/0/parameters"),
            ({"parameters": {"content_type": "np"}}, "content_type"),
            ({"outputs": [{"name": "label", "parameters": {"content_type": "base64"}}]}, "content"),
        ],
    )
    def test_parameters_that_would_change_the_answer_are_refused(self, changes, name):
        assert name in error_of(json.dumps(request() | changes).encode())


class TestInvalidJson:
    @pytest.mark.parametrize(
        "body",
        [
            b"",
            b"{",
            b"[" * 100_000,
            b'{"inputs": "\xff"}',
            rb'{"id": "\ud800"}',
            b'{"id": ' + b"9" * 5000 + b"}",
        ],
    )
    def test_a_body_that_is_not_json(self, body):
        assert error_of(body).startswith("expected a JSON object in UTF-8: ")

    @pytest.mark.parametrize(
        ("changes", "message"),
        [
            ({"name": "texts"}, "#/inputs/0/name"),
            ({"name": ...}, "#/inputs/0/name"),
            ({"datatype": "FP32"}, "#/inputs/0/datatype"),
            ({"shape": []}, "#/inputs/0/shape"),
            ({"shape": [2, 1, 1]}, "#/inputs/0/shape"),
            ({"shape": [2, 2]}, "#/inputs/0/shape: expected [n] or [n, 1], received [2, 2]"),
            ({"shape": [0], "data": []}, "#/inputs/0/shape: expected 1 to 8 texts, received 0"),
            ({"shape": [9], "data": ["a"] * 9}, "#/inputs/0/shape: expected 1 to 8 texts"),
            ({"shape": [2, -1]}, "#/inputs/0/shape/1"),
            ({"shape": [True, 1]}, "#/inputs/0/shape/0"),
            ({"shape": [2**64 + 2]}, "#/inputs/0/shape"),
            ({"shape": [3]}, "#/inputs/0/data: expected 3 texts, as in shape, received 2"),
            ({"data": [["a"], ["b"]]}, "#/inputs/0/data/0: expected a text"),
            ({"shape": [2, 1], "data": ["a", ["b"]]}, "#/inputs/0/data/1"),
            ({"shape": [1, 1], "data": [["a", "b"]]}, "#/inputs/0/data/0"),
            ({"shape": [1, 1], "data": [[]]}, "#/inputs/0/data/0"),
            ({"data": ["a"] * 8193}, "#/inputs/0/data: List should have at most 8192 items"),
            ({"data": ["a", 1]}, "#/inputs/0/data/1"),
            ({"data": None}, "#/inputs/0: expected data"),
            ({"dtype": "BYTES"}, "#/inputs/0/dtype"),
            ({"parameters": []}, "#/inputs/0/parameters"),
            ({"parameters": {"shared_memory_region": "r"}}, "#/inputs/0/parameters"),
            ({"parameters": {"binary_data_size": -1}}, "#/inputs/0/parameters/binary_data_size"),
            ({"parameters": {"binary_data_size": 8}}, "#/inputs/0/data: expected no data"),
        ],
    )
    def test_an_invalid_input(self, changes, message):
        assert error_of(json.dumps(request(**changes)).encode()).startswith(message)

    @pytest.mark.parametrize(
        ("changes", "message"),
        [
            ({"inputs": []}, "#/inputs"),
            ({"inputs": None}, "#/inputs"),
            ({"inputs": request()["inputs"] * 2}, "#/inputs"),
            ({"inputs": [7] * 100_000}, "#/inputs"),
            ({"id": 42}, "#/id"),
            ({"a/b~": []}, "#/a~1b~0"),
            ({str(key): key for key in range(1000)}, "#: 1000 errors"),
            ({"parameters": {"top_k": 0}}, "#/parameters/top_k"),
            ({"parameters": {"function_to_apply": "relu"}}, "#/parameters/function_to_apply"),
            ({"parameters": {"sequence_id": 1}}, "#/parameters: expected no sequence_id"),
            ({"outputs": [{"name": "logits"}]}, "#/outputs/0/name"),
            ({"outputs": [{"name": "label"}] * 2}, "#/outputs: expected each output once"),
            ({"outputs": [{"name": "label"}] * 100_000}, "#/outputs"),
            (
                {"outputs": [{"name": "label", "parameters": {"classification": 2}}]},
                "#/outputs/0/parameters: expected no classification",
            ),
        ],
    )
    def test_an_invalid_request(self, changes, message):
        assert error_of(json.dumps({**request(), **changes}).encode()).startswith(message)


class TestInvalidBinaryData:
    @pytest.mark.parametrize("value", ["", "+1", "1_0", " 12", "١٢", "9" * 19])
    def test_a_header_length_that_is_not_a_number(self, value):
        body, _ = body_of(request())
        assert "Inference-Header-Content-Length: expected a number" in error_of(body, value)

    def test_a_header_length_that_is_not_that_of_the_json(self):
        body, length = body_of(request(), b"more")
        assert f"at most the {len(body)} bytes" in error_of(body, str(len(body) + 1))
        assert error_of(body, "10").startswith("expected a JSON object")
        assert error_of(body).startswith("expected a JSON object")
        assert error_of(body, length) == (
            "#/inputs/0: expected binary_data_size for the 4 bytes after the JSON object"
        )
        document = request(data=..., parameters={"binary_data_size": 10})
        assert "expected the 0 bytes after" in error_of(json.dumps(document).encode())

    @pytest.mark.parametrize("size", [9, 11, 2**200])
    def test_a_size_that_is_not_that_of_the_data(self, size):
        document = request(data=..., parameters={"binary_data_size": size})
        assert f"expected the 10 bytes after the JSON object, received {size}" in error_of(
            *body_of(document, tensor_bytes(["a", "b"]))
        )

    @pytest.mark.parametrize(
        ("data", "reason"),
        [
            (tensor_bytes(["a"]), "expected 2 texts, as in shape, received 1"),
            (tensor_bytes([""] * 10_000), "expected 2 texts, as in shape, received more"),
            (b"\1", "at byte 0 of the tensor, received 0 bytes"),
            (
                tensor_bytes(["a"]) + b"\2\0\0\0b",
                "2 bytes of text at byte 5 of the tensor, received 1 bytes",
            ),
            (tensor_bytes(["a"]) + b"\xff\xff\xff\xff", "4294967295 bytes of text at byte 5"),
            (
                tensor_bytes(["ab"]) + struct.pack("<I", 3) + b"a\xffb",
                "text 1: expected UTF-8: invalid start byte at byte 11 of the tensor",
            ),
            (struct.pack("<I", 3) + b"\xed\xa0\x80", "text 0: expected UTF-8"),
        ],
    )
    def test_an_invalid_tensor(self, data, reason):
        document = request(data=..., parameters={"binary_data_size": len(data)})
        message = error_of(*body_of(document, data))
        assert message.startswith("#/inputs/0: ")
        assert reason in message

    @given(
        texts=TEXTS,
        place=st.integers(min_value=0),
        inserted=st.binary(max_size=6),
        removed=st.integers(0, 6),
        shift=st.integers(-3, 3),
    )
    def test_a_mutated_body_is_decoded_or_refused(self, texts, place, inserted, removed, shift):
        data = tensor_bytes(texts)
        size = {"binary_data_size": len(data)}
        body, length = body_of(request(shape=[len(texts)], data=..., parameters=size), data)
        place %= len(body)
        body = body[:place] + inserted + body[place + removed :]
        try:
            decoded = decode(body, str(int(length) + shift), 8)
        except InferFormatError:
            return
        assert 1 <= len(decoded.texts) == decoded.shape[0] <= 8

    @given(
        body=st.binary()
        | st.recursive(
            st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
            lambda inner: (
                st.lists(inner)
                | st.dictionaries(st.sampled_from(["inputs", "outputs", "id"]) | st.text(), inner)
            ),
        ).map(lambda value: json.dumps(value).encode()),
        length=st.none() | st.integers(-2, 40).map(str) | st.text(),
    )
    def test_arbitrary_bodies_are_refused(self, body, length):
        with pytest.raises(InferFormatError):
            decode(body, length, 8)
