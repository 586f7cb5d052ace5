"""Inference responses: a client decodes what was encoded."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from tritonclient.http import InferResult

from gatewise.service.serving.http.open_inference.response_encoding import Tensor, encode

TEXTS = st.lists(st.text(st.characters(exclude_categories=["Cs"])), min_size=1, max_size=8)
SCORES = st.lists(
    st.floats(width=32, allow_nan=False, allow_infinity=False), min_size=2, max_size=12
).map(lambda values: np.array(values[: len(values) // 2 * 2], dtype=np.float32).reshape(-1, 2))


@given(
    scores=SCORES,
    texts=TEXTS,
    binary=st.tuples(st.booleans(), st.booleans(), st.booleans()),
    id_=st.none() | st.text(st.characters(exclude_categories=["Cs"])),
)
def test_the_triton_client_decodes_the_tensors(scores, texts, binary, id_):
    given_ = scores > 0
    tensors = [
        Tensor("label", "BYTES", (len(texts),), texts),
        Tensor("scores", "FP32", scores.shape, scores),
        Tensor("given", "BOOL", scores.shape, given_),
    ]
    body, length = encode(tensors, binary, "topics", "3", id_)
    assert (length is None) == (not any(binary))
    result = InferResult.from_response_body(body, header_length=length)
    head = result.get_response()
    assert (head["model_name"], head["model_version"]) == ("topics", "3")
    assert head.get("id") == id_
    assert [output["name"] for output in head["outputs"]] == ["label", "scores", "given"]
    labels = result.as_numpy("label").tolist()
    assert [each.decode() if binary[0] else each for each in labels] == texts
    # As bits, because -0.0 equals 0.0.
    assert result.as_numpy("scores").astype("<f4").tobytes() == scores.tobytes()
    assert result.as_numpy("given").tolist() == given_.tolist()


def test_the_bytes_of_a_response_in_json():
    scores = np.array([[0.9, 0.1]], dtype=np.float32)
    tensors = [
        Tensor("label", "BYTES", (1, 1), ["größer"]),
        Tensor("scores", "FP32", (1, 2), scores),
    ]
    assert encode(tensors, [False, False], "topics", "1") == (
        '{"model_name":"topics","model_version":"1","outputs":['
        '{"name":"label","datatype":"BYTES","shape":[1,1],"data":["größer"]},'
        '{"name":"scores","datatype":"FP32","shape":[1,2],"data":[0.9,0.1]}]}'.encode(),
        None,
    )


def test_the_bytes_of_binary_tensors():
    tensors = [
        Tensor("label", "BYTES", (2,), ["é", ""]),
        Tensor("score", "FP32", (2,), np.array([1, -2], dtype=np.float32)),
        Tensor("given", "BOOL", (2, 1), np.array([[True], [False]])),
    ]
    body, length = encode(tensors, [True, True, True], "topics", "1", "x")
    assert length is not None
    assert body[length:] == (b"\2\0\0\0\xc3\xa9\0\0\0\0" + b"\0\0\x80\x3f\0\0\0\xc0" + b"\1\0")
