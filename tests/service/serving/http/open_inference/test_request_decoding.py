"""Inference requests: read as they were written, by hand and by a client, and never believed."""

import json
import struct
from typing import Any

import numpy as np
import pytest
from gatewise.service.serving.http.open_inference.request_decoding import (
    InferFormatError,
    InferRequest,
    RequestedOutput,
    decode,
)
from hypothesis import given
from hypothesis import strategies as st
from tritonclient.http import (
    InferenceServerClient,
    InferInput,
    InferRequestedOutput,
)

TEXTS = st.lists(st.text(st.characters(exclude_categories=["Cs"])), min_size=1, max_size=8)


def written(texts: list[str]) -> bytes:
    """Texts as the binary extension writes them, by another hand than the one that reads them."""
    encoded = [text.encode() for text in texts]
    return b"".join(struct.pack("<I", len(each)) + each for each in encoded)


def request(**changes: Any) -> dict[str, Any]:
    texts = {"name": "text", "shape": [2], "datatype": "BYTES", "data": ["a", "b"]}
    given = {key: value for key, value in {**texts, **changes}.items() if value is not ...}
    return {"inputs": [given]}


def body_of(document: object, behind: bytes = b"") -> tuple[bytes, str]:
    header = json.dumps(document).encode()
    return header + behind, str(len(header))


def refused(body: bytes, header_length: str | None = None, most_texts: int = 8) -> str:
    with pytest.raises(InferFormatError) as error:
        decode(body, header_length, most_texts)
    assert "\n" not in str(error.value)
    return str(error.value)


class TestRequests:
    @given(texts=TEXTS, column=st.booleans(), nested=st.booleans(), id_=st.none() | st.text())
    def test_json(self, texts: list[str], column: bool, nested: bool, id_: str | None) -> None:
        shape = [len(texts), 1] if column else [len(texts)]
        data: list[Any] = [[text] for text in texts] if column and nested else list(texts)
        document = request(shape=shape, data=data)
        if id_ is not None:
            id_ = document["id"] = id_.encode(errors="replace").decode()
        asked = decode(json.dumps(document, ensure_ascii=False).encode(), None, 8)
        assert asked == InferRequest(
            texts,
            tuple(shape),
            (RequestedOutput("label", False), RequestedOutput("score", False)),
            id_,
        )

    @given(texts=TEXTS, column=st.booleans())
    def test_bytes(self, texts: list[str], column: bool) -> None:
        shape = [len(texts), 1] if column else [len(texts)]
        behind = written(texts)
        document = request(shape=shape, data=..., parameters={"binary_data_size": len(behind)})
        asked = decode(*body_of(document, behind), 8)
        assert (asked.texts, asked.shape) == (texts, tuple(shape))

    @given(texts=TEXTS, column=st.booleans(), binary=st.booleans())
    def test_as_the_triton_client_writes_them(
        self, texts: list[str], column: bool, binary: bool
    ) -> None:
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
        asked = decode(body, None if length is None else str(length), 8)
        wanted = (RequestedOutput("scores", True), RequestedOutput("label", False))
        assert asked == InferRequest(texts, tuple(shape), wanted, "seven", 2)

    def test_what_each_output_says_wins_over_what_is_said_of_all(self) -> None:
        document = request() | {
            "parameters": {"binary_data_output": True, "function_to_apply": "none"},
            "outputs": [
                {"name": "given"},
                {"name": "score", "parameters": {"binary_data": False}},
                {"name": "label", "parameters": {"binary_data": True}},
            ],
        }
        asked = decode(json.dumps(document).encode(), None, 8)
        assert asked.outputs == (
            RequestedOutput("given", True),
            RequestedOutput("score", False),
            RequestedOutput("label", True),
        )
        assert asked.function_to_apply == "none"

    @pytest.mark.parametrize("outputs", [None, []])
    def test_no_outputs_are_the_usual_ones(self, outputs: list[Any] | None) -> None:
        document = request() | {"outputs": outputs, "parameters": {"binary_data_output": True}}
        asked = decode(json.dumps(document).encode(), None, 8)
        assert asked.outputs == (RequestedOutput("label", True), RequestedOutput("score", True))

    def test_parameters_of_others_are_passed_over(self) -> None:
        document = request(parameters={"content_type": "str"}) | {
            "parameters": {"priority": 1, "timeout": 5},
            "model_name": "as the examples of the binary extension have it",
            "outputs": [{"name": "label", "parameters": {"content_type": "str"}}],
        }
        assert decode(json.dumps(document).encode(), None, 8).texts == ["a", "b"]

    def test_a_header_length_may_be_told_of_json_alone(self) -> None:
        assert decode(*body_of(request()), 8).texts == ["a", "b"]


class TestRefusedJson:
    @pytest.mark.parametrize(
        "body",
        [
            b"",
            b"{",
            b'{"inputs": [' * 400,
            b"[" * 100_000,
            b'{"inputs": "\xff"}',
            rb'{"id": "\ud800"}',
            b'{"id": ' + b"9" * 5000 + b"}",
        ],
    )
    def test_what_is_not_json(self, body: bytes) -> None:
        assert refused(body).startswith("expected a JSON object in UTF-8: ")

    @pytest.mark.parametrize(
        ("changes", "place"),
        [
            ({"name": "texts"}, "#/inputs/0/name"),
            ({"name": ...}, "#/inputs/0/name"),
            ({"datatype": "FP32"}, "#/inputs/0/datatype"),
            ({"shape": []}, "#/inputs/0/shape"),
            ({"shape": [2, 1, 1]}, "#/inputs/0/shape"),
            ({"shape": [2, 2]}, "#/inputs/0/shape"),
            ({"shape": [1, 2]}, "#/inputs/0/shape"),
            ({"shape": [2, 0]}, "#/inputs/0/shape"),
            ({"shape": [0], "data": []}, "#/inputs/0/shape"),
            ({"shape": [9], "data": ["a"] * 9}, "#/inputs/0/shape: expected 1 to 8 texts"),
            ({"shape": [-2]}, "#/inputs/0/shape/0"),
            ({"shape": [2, -1]}, "#/inputs/0/shape/1"),
            ({"shape": [2.0]}, "#/inputs/0/shape/0"),
            ({"shape": [True, 1]}, "#/inputs/0/shape/0"),
            ({"shape": ["2"]}, "#/inputs/0/shape/0"),
            ({"shape": 2}, "#/inputs/0/shape"),
            ({"shape": [2**63, 1]}, "#/inputs/0/shape"),
            ({"shape": [2**64 + 2]}, "#/inputs/0/shape"),
            ({"shape": [3]}, "#/inputs/0/data: expected 3 texts, as shape says, received 2"),
            ({"shape": [1]}, "#/inputs/0/data: expected 1 texts, as shape says, received 2"),
            ({"data": [["a"], ["b"]]}, "#/inputs/0/data/0: expected a text"),
            ({"shape": [2, 1], "data": [["a"], "b"]}, "#/inputs/0/data/1"),
            ({"shape": [2, 1], "data": ["a", ["b"]]}, "#/inputs/0/data/1"),
            ({"shape": [1, 1], "data": [["a", "b"]]}, "#/inputs/0/data/0"),
            ({"shape": [1, 1], "data": [[]]}, "#/inputs/0/data/0"),
            ({"data": ["a"] * 8193}, "#/inputs/0/data: List should have at most 8192 items"),
            ({"data": ["a", 1]}, "#/inputs/0/data/1"),
            ({"data": [None, "b"]}, "#/inputs/0/data/0"),
            ({"data": "ab"}, "#/inputs/0/data"),
            ({"data": ...}, "#/inputs/0"),
            ({"data": None}, "#/inputs/0"),
            ({"dtype": "BYTES"}, "#/inputs/0/dtype"),
            ({"x" * 1000: 1}, "#/inputs/0/" + "x" * 50 + ":"),
            ({"parameters": []}, "#/inputs/0/parameters"),
            ({"parameters": {"shared_memory_region": "r"}}, "#/inputs/0/parameters"),
            ({"parameters": {"binary_data_size": -1}}, "#/inputs/0/parameters/binary_data_size"),
            ({"parameters": {"binary_data_size": "8"}}, "#/inputs/0/parameters/binary_data_size"),
            ({"parameters": {"binary_data_size": 8}}, "#/inputs/0/data"),
        ],
    )
    def test_an_input_of_the_wrong_shape(self, changes: dict[str, Any], place: str) -> None:
        assert refused(json.dumps(request(**changes)).encode()).startswith(place)

    @pytest.mark.parametrize(
        ("changes", "place"),
        [
            ({"inputs": []}, "#/inputs"),
            ({"inputs": {}}, "#/inputs"),
            ({"inputs": request()["inputs"] * 2}, "#/inputs"),
            ({"inputs": [7] * 100_000}, "#/inputs"),
            ({"id": 42}, "#/id"),
            ({"input": []}, "#/input"),
            ({"a/b~": []}, "#/a~1b~0"),
            ({str(key): key for key in range(1000)}, "#: 1000 errors"),
            ({"parameters": {"top_k": 0}}, "#/parameters/top_k"),
            ({"parameters": {"top_k": True}}, "#/parameters/top_k"),
            ({"parameters": {"function_to_apply": "relu"}}, "#/parameters/function_to_apply"),
            ({"parameters": {"sequence_id": 1}}, "#/parameters: expected no sequence_id"),
            ({"parameters": {"binary_data_output": 1}}, "#/parameters/binary_data_output"),
            ({"outputs": [{"name": "logits"}]}, "#/outputs/0/name"),
            ({"outputs": [{"name": "label"}] * 2}, "#/outputs: expected each output once"),
            ({"outputs": [{"name": "label"}] * 100_000}, "#/outputs"),
            ({"outputs": ["label"]}, "#/outputs/0"),
            (
                {"outputs": [{"name": "label", "parameters": {"classification": 2}}]},
                "#/outputs/0/parameters: expected no classification",
            ),
            (
                {"outputs": [{"name": "label", "parameters": {"binary_data": "yes"}}]},
                "#/outputs/0/parameters/binary_data",
            ),
        ],
    )
    def test_a_request_of_the_wrong_shape(self, changes: dict[str, Any], place: str) -> None:
        assert refused(json.dumps({**request(), **changes}).encode()).startswith(place)

    @pytest.mark.parametrize("body", [b"null", b"[]", b"1", b'"text"', b"{}"])
    def test_another_kind_of_document(self, body: bytes) -> None:
        assert refused(body).startswith("#")


class TestRefusedBytes:
    @pytest.mark.parametrize(
        "value", ["", " ", "-1", "+1", "1.0", "1_0", " 12", "0x10", "١٢", "abc", "9" * 19]
    )
    def test_a_header_length_that_is_no_number(self, value: str) -> None:
        body, _ = body_of(request())
        assert "Inference-Header-Content-Length: expected a number" in refused(body, value)

    def test_a_header_length_beyond_the_body(self) -> None:
        body, length = body_of(request())
        assert f"at most the {length} bytes" in refused(body, str(len(body) + 1))

    def test_a_header_length_that_cuts_the_json(self) -> None:
        body, _ = body_of(request())
        assert refused(body, "10").startswith("expected a JSON object")
        assert refused(body, "0").startswith("expected a JSON object")

    def test_bytes_that_no_tensor_takes(self) -> None:
        body, length = body_of(request(), b"more")
        assert refused(body, length) == (
            "#/inputs/0: expected binary_data_size for the 4 bytes behind the JSON object"
        )

    def test_bytes_without_the_header(self) -> None:
        behind = written(["a", "b"])
        document = request(data=..., parameters={"binary_data_size": len(behind)})
        body, _ = body_of(document, behind)
        assert refused(body).startswith("expected a JSON object")
        body, _ = body_of(document)
        assert "expected the 0 bytes that follow" in refused(body)

    @pytest.mark.parametrize("size", [0, 9, 11, 2**63, 2**200])
    def test_a_size_that_is_not_that_of_the_bytes(self, size: int) -> None:
        behind = written(["a", "b"])
        document = request(data=..., parameters={"binary_data_size": size})
        assert f"expected the 10 bytes that follow the JSON object, received {size}" in refused(
            *body_of(document, behind)
        )

    @pytest.mark.parametrize(
        ("behind", "reason"),
        [
            (b"", "expected 2 texts, as shape says, received 0"),
            (written(["a"]), "expected 2 texts, as shape says, received 1"),
            (written(["a", "b", "c"]), "expected 2 texts, as shape says: more came"),
            (written([""] * 10_000), "expected 2 texts, as shape says: more came"),
            (b"\1", "at byte 0 of the tensor: 0 are left"),
            (b"\1\0\0", "at byte 0 of the tensor: 0 are left"),
            (written(["a"]) + b"\2\0\0\0b", "2 of text at byte 5 of the tensor: 1 are left"),
            (written(["a"]) + b"\xff\xff\xff\xff", "4294967295 of text at byte 5"),
            (b"\0\0\0\1" + written(["a"]), "16777216 of text at byte 0"),
            (
                written(["ab"]) + struct.pack("<I", 3) + b"a\xffb",
                "text 1: expected UTF-8: invalid start byte at byte 11 of the tensor",
            ),
            (struct.pack("<I", 3) + b"\xed\xa0\x80", "text 0: expected UTF-8"),
        ],
    )
    def test_a_tensor_that_lies(self, behind: bytes, reason: str) -> None:
        document = request(data=..., parameters={"binary_data_size": len(behind)})
        told = refused(*body_of(document, behind))
        assert told.startswith("#/inputs/0: ")
        assert reason in told

    @given(
        texts=TEXTS,
        place=st.integers(min_value=0),
        with_what=st.binary(max_size=6),
        taken=st.integers(0, 6),
        shift=st.integers(-3, 3),
    )
    def test_a_mutated_body_is_read_or_refused(
        self, texts: list[str], place: int, with_what: bytes, taken: int, shift: int
    ) -> None:
        behind = written(texts)
        size = {"binary_data_size": len(behind)}
        body, length = body_of(request(shape=[len(texts)], data=..., parameters=size), behind)
        place %= len(body)
        body = body[:place] + with_what + body[place + taken :]
        try:
            asked = decode(body, str(int(length) + shift), 8)
        except InferFormatError:
            return
        assert 1 <= len(asked.texts) == asked.shape[0] <= 8

    @given(body=st.binary(), length=st.none() | st.integers(-2, 40).map(str) | st.text())
    def test_anything_is_read_or_refused(self, body: bytes, length: str | None) -> None:
        with pytest.raises(InferFormatError):
            decode(body, length, 8)
