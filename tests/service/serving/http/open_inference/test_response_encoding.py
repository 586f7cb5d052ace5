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
    shapes = {output["name"]: tuple(output["shape"]) for output in head["outputs"]}
    assert shapes == {tensor.name: tensor.shape for tensor in tensors}
    labels = result.as_numpy("label").tolist()
    assert [each.decode() if binary[0] else each for each in labels] == texts
    # As bits, because -0.0 equals 0.0.
    assert result.as_numpy("scores").astype("<f4").tobytes() == scores.tobytes()
    assert result.as_numpy("given").tolist() == given_.tolist()
