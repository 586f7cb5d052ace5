"""The output tensors of a model, for the Open Inference Protocol: which there are, their values."""

import numpy as np
from numpy.typing import NDArray

from gatewise.service.model.classifier import Classifier
from gatewise.service.model.scores import ranked, reached
from gatewise.service.serving.batching import Scored
from gatewise.service.serving.http.open_inference.inference_schemas import (
    ModelMetadata,
    OutputName,
    TensorMetadata,
)
from gatewise.service.serving.http.open_inference.request_decoding import (
    DecodedRequest,
    InferFormatError,
)
from gatewise.service.serving.http.open_inference.response_encoding import Tensor

PLATFORM = "onnxruntime_onnx"
"""The protocol's name for ONNX models that run in onnxruntime."""


def metadata(name: str, versions: list[str], classifier: Classifier) -> ModelMetadata:
    """Returns the inputs and outputs of a model."""
    classes = len(classifier.classes_)
    return ModelMetadata(
        name=name,
        versions=versions,
        platform=PLATFORM,
        inputs=[TensorMetadata(name="text", datatype="BYTES", shape=[-1])],
        outputs=[
            TensorMetadata(name="label", datatype="BYTES", shape=[-1]),
            TensorMetadata(name="score", datatype="FP32", shape=[-1]),
            TensorMetadata(name="scores", datatype="FP32", shape=[-1, classes]),
            TensorMetadata(name="classes", datatype="BYTES", shape=[classes]),
            TensorMetadata(name="given", datatype="BOOL", shape=[-1, classes]),
        ],
    )


def check(request: DecodedRequest, classifier: Classifier) -> None:
    """Checks that a model can answer a request.

    Raises:
        InferFormatError: If the output `given` is requested with a score function for which the
            model has no thresholds.
    """
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
      model's label for rejected texts, and its score.
    - `scores`, `(n, classes)`: the score of every class.
    - `classes`, `(classes,)`: the labels of the classes.
    - `given`, `(n, classes)`: whether the text has the label. With a multi-label model these are
      the labels that reach their thresholds, otherwise the best label, or none for rejected texts.
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
    count = min(request.top_k or 1, len(classes))
    rows = [
        ranked(classes, scores, count, none=none)
        for scores, none in zip(scored.scores, scored.none, strict=True)
    ]
    shape = request.shape if request.top_k is None else (len(rows), count)
    labels = [label for row in rows for label, _ in row]
    scores = np.array([score for row in rows for _, score in row], dtype=np.float32)
    return {
        "label": Tensor("label", "BYTES", shape, labels),
        "score": Tensor("score", "FP32", shape, scores),
    }


def _given(classifier: Classifier, scored: Scored) -> NDArray[np.bool_]:
    if classifier.thresholds is not None:
        return reached(scored.scores, classifier.thresholds)
    given = np.zeros(scored.scores.shape, dtype=np.bool_)
    given[np.arange(len(given)), scored.scores.argmax(axis=1)] = True
    given[[none is not None for none in scored.none]] = False
    return given
