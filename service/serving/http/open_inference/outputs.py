"""What a model says of texts, as the tensors of the Open Inference Protocol.

Owns which tensors there are, their shapes and what stands in them. Knows neither how they become
bytes (`gatewise.service.serving.http.open_inference.response_encoding`) nor any route.
"""

import numpy as np
from gatewise.service.model.classifier import Classifier
from gatewise.service.model.scores import ranked, reached
from gatewise.service.serving.batching import Scored
from gatewise.service.serving.http.open_inference.inference_schemas import (
    ModelMetadata,
    OutputName,
    TensorMetadata,
)
from gatewise.service.serving.http.open_inference.request_decoding import (
    InferFormatError,
    InferRequest,
)
from gatewise.service.serving.http.open_inference.response_encoding import Tensor
from numpy.typing import NDArray

PLATFORM = "onnxruntime_onnx"
"""The protocol's name for what runs the model."""


def metadata(name: str, versions: list[str], classifier: Classifier) -> ModelMetadata:
    """What a model takes and answers."""
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


def check(asked: InferRequest, classifier: Classifier) -> None:
    """Holds a request against what this model can say, before it is asked.

    Raises:
        InferFormatError: If `given` is asked for beside scores that have no thresholds.
    """
    names = [output.name for output in asked.outputs]
    function = asked.function_to_apply or classifier.score_function
    if classifier.multi_label and "given" in names and function != classifier.score_function:
        raise InferFormatError(
            "#/parameters/function_to_apply: expected none beside the output given: thresholds are "
            f"of {classifier.score_function} scores"
        )


def tensors(asked: InferRequest, classifier: Classifier, scored: Scored) -> list[Tensor]:
    """The outputs that are asked for, in the order of the request.

    `label` and `score` have the shape of the texts, or `(n, top_k)`: the best label, or what the
    text is given in place of one, and its score. `scores`, `(n, classes)`, has the score of every
    class, `classes`, `(classes,)`, their labels. `given`, `(n, classes)`, says which labels the
    text is given: where it may have several those that reach their thresholds, else the best, or
    none.
    """
    every: dict[OutputName, Tensor] = {}
    names = {output.name for output in asked.outputs}
    if names & {"label", "score"}:
        every |= _best(asked, classifier, scored)
    shape = scored.scores.shape
    every["scores"] = Tensor("scores", "FP32", shape, scored.scores)
    every["classes"] = Tensor("classes", "BYTES", shape[1:], classifier.classes_)
    if "given" in names:
        every["given"] = Tensor("given", "BOOL", shape, _given(classifier, scored))
    return [every[output.name] for output in asked.outputs]


def _best(asked: InferRequest, classifier: Classifier, scored: Scored) -> dict[OutputName, Tensor]:
    classes = classifier.classes_
    # Never more than there are classes: a text that is given none has one more, and a tensor's
    # rows are of one length.
    count = min(asked.top_k or 1, len(classes))
    rows = [
        ranked(classes, scores, count, none=none)
        for scores, none in zip(scored.scores, scored.none, strict=True)
    ]
    shape = asked.shape if asked.top_k is None else (len(rows), count)
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
