"""The output tensors of a model, and the encoding of an inference response as an HTTP body.

The body is a JSON object, followed by the bytes of each tensor that has a `binary_data_size`, in
the order of the JSON. An FP32 element is four bytes, little-endian; a BOOL element is one byte, 0
or 1; a BYTES element is its length as four bytes, little-endian and unsigned, followed by that
many bytes of UTF-8. Source: the specifications that
`gatewise.service.serving.http.open_inference.inference_schemas` names.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from gatewise.service.model.classifier import Classifier
from gatewise.service.model.scores import ranked, reached
from gatewise.service.serving.batching import Scored
from gatewise.service.serving.http.open_inference.inference_schemas import (
    Datatype,
    ModelMetadata,
    OutputName,
    TensorMetadata,
)
from gatewise.service.serving.http.open_inference.request_decoding import (
    DecodedRequest,
    InferFormatError,
)
from gatewise.vocab.errors import ArgumentError

_LENGTH_BYTES = 4

PLATFORM = "onnxruntime_onnx"
"""The protocol's name for ONNX models that run in onnxruntime."""


@dataclass(frozen=True, slots=True)
class Tensor:
    """An output tensor."""

    name: OutputName
    # BYTES if `values` is a list of strings; FP32 or BOOL if it is an array.
    datatype: Datatype
    shape: tuple[int, ...]
    # Its elements, in row-major order.
    values: Sequence[str] | NDArray[np.float32] | NDArray[np.bool_]


def metadata(name: str, versions: list[str], classifier: Classifier) -> ModelMetadata:
    """Returns the inputs and outputs of a model."""
    classes = len(classifier.classes_)
    best = [-1, classes] if _has_several_numbers(classifier) else [-1]
    return ModelMetadata(
        name=name,
        versions=versions,
        platform=PLATFORM,
        inputs=[TensorMetadata(name="text", datatype="BYTES", shape=[-1])],
        outputs=[
            TensorMetadata(name="label", datatype="BYTES", shape=best),
            TensorMetadata(name="score", datatype="FP32", shape=best),
            TensorMetadata(name="scores", datatype="FP32", shape=[-1, classes]),
            TensorMetadata(name="classes", datatype="BYTES", shape=[classes]),
            TensorMetadata(name="given", datatype="BOOL", shape=[-1, classes]),
        ],
    )


def check(request: DecodedRequest, classifier: Classifier) -> None:
    """Checks that a model can answer a request."""
    try:
        classifier.check_function(request.function_to_apply)
    except ArgumentError as error:
        raise InferFormatError(f"#/parameters/function_to_apply: {error}") from None
    names = [output.name for output in request.outputs]
    function = request.function_to_apply or classifier.score_function
    if classifier.multi_label and "given" in names and function != classifier.score_function:
        raise InferFormatError(
            f"#/parameters/function_to_apply: expected {classifier.score_function} with the output "
            f"given, whose thresholds apply to such scores, received {function}"
        )


def tensors(request: DecodedRequest, classifier: Classifier, scored: Scored) -> list[Tensor]:
    """Returns the requested outputs, in the order of the request.

    - `label` and `score`, with the shape of the texts or `(n, top_k)`: the best label, or the
      model's label for rejected texts, and its score. Of a model that predicts several numbers
      `(n, classes)`: their names, and the numbers.
    - `scores`, `(n, classes)`: the score of every class.
    - `classes`, `(classes,)`: the labels of the classes.
    - `given`, `(n, classes)`: whether the text has the label. With a multi-label model these are
      the labels that reach their thresholds, otherwise the best label, or none for rejected texts.
      A text has every number that a model predicts.
    """
    tensors: dict[OutputName, Tensor] = {}
    names = {output.name for output in request.outputs}
    if names & {"label", "score"}:
        tensors |= _best(request, classifier, scored)
    shape = scored.scores.shape
    tensors["scores"] = Tensor("scores", "FP32", shape, scored.scores)
    tensors["classes"] = Tensor("classes", "BYTES", shape[1:], classifier.classes_)
    if "given" in names:
        tensors["given"] = Tensor("given", "BOOL", shape, _given(classifier, scored))
    return [tensors[output.name] for output in request.outputs]


def _best(
    request: DecodedRequest, classifier: Classifier, scored: Scored
) -> dict[OutputName, Tensor]:
    classes = classifier.classes_
    # At most the number of classes: a rejected text has one label more, but all rows of a tensor
    # have the same length.
    top_k = request.top_k or (len(classes) if _has_several_numbers(classifier) else None)
    count = min(top_k or 1, len(classes))
    rows = [
        ranked(classes, scores, count, none=none, in_order=classifier.has_numbers)
        for scores, none in zip(scored.scores, scored.none, strict=True)
    ]
    shape = request.shape if top_k is None else (len(rows), count)
    labels = [label for row in rows for label, _ in row]
    scores = np.array([score for row in rows for _, score in row], dtype=np.float32)
    return {
        "label": Tensor("label", "BYTES", shape, labels),
        "score": Tensor("score", "FP32", shape, scores),
    }


def _has_several_numbers(classifier: Classifier) -> bool:
    return classifier.has_numbers and len(classifier.classes_) > 1


def _given(classifier: Classifier, scored: Scored) -> NDArray[np.bool_]:
    if classifier.thresholds is not None:
        return reached(scored.scores, classifier.thresholds)
    if classifier.has_numbers:
        return np.ones(scored.scores.shape, dtype=np.bool_)
    given = np.zeros(scored.scores.shape, dtype=np.bool_)
    given[np.arange(len(given)), scored.scores.argmax(axis=1)] = True
    given[[none is not None for none in scored.none]] = False
    return given


def encode(
    tensors: Sequence[Tensor],
    binary: Sequence[bool],
    model_name: str,
    model_version: str,
    id: str | None = None,  # noqa: A002 — the protocol's own name
) -> tuple[bytes, int | None]:
    """Encodes an inference response.

    Returns:
        The body, and the length of its JSON; None if the body is only JSON.
    """
    outputs, parts = [], []
    for tensor, as_bytes in zip(tensors, binary, strict=True):
        head = {"name": tensor.name, "datatype": tensor.datatype, "shape": tensor.shape}
        if as_bytes:
            parts.append(_to_bytes(tensor))
            outputs.append(_to_json({**head, "parameters": {"binary_data_size": len(parts[-1])}}))
        else:
            outputs.append(f'{_to_json(head)[:-1]},"data":[{_json_elements(tensor)}]}}')
    model = {"model_name": model_name, "model_version": model_version}
    start = _to_json(model if id is None else {**model, "id": id})
    document = f'{start[:-1]},"outputs":[{",".join(outputs)}]}}'.encode()
    return document + b"".join(parts), len(document) if parts else None


def _to_bytes(tensor: Tensor) -> bytes:
    if isinstance(tensor.values, np.ndarray):
        return tensor.values.astype("<f4" if tensor.datatype == "FP32" else "?").tobytes()
    elements = [text.encode() for text in tensor.values]
    return b"".join(len(each).to_bytes(_LENGTH_BYTES, "little") + each for each in elements)


def _json_elements(tensor: Tensor) -> str:
    """Returns the elements as JSON; a score has the fewest decimals that give the same float32."""
    if not isinstance(tensor.values, np.ndarray):
        return _to_json(tensor.values)[1:-1]
    elements = ",".join(map(str, tensor.values.ravel()))
    return elements if tensor.datatype == "FP32" else elements.lower()


def _to_json(value: object) -> str:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))
