"""The ways from one text to its classes: Gatewise's ONNX, Keras's own export, Keras itself.

Every way of a network has the same weights and is given the same token ids. Knows nothing of
clocks; what the networks are is in `subjects`.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnx
import onnxruntime as ort
import subjects
from numpy.typing import NDArray
from subjects import DEFAULT, PLAIN, Subject, keras_export

# isort: split
import keras
import tensorflow as tf
from gatewise.service.model.classifier import Classifier
from gatewise.training.config.network_section import Cell
from gatewise.vocab.tokenizer.encoding import pad

TOLERANCE = 1e-5
OURS, EXPORT, PREDICT = "Gatewise's ONNX", "Keras's own ONNX export", "Keras model.predict"

Logits = NDArray[np.float32]
Run = Callable[[], Logits]
Inputs = dict[str, NDArray[np.int64]]


class DisagreementError(Exception):
    """Two ways gave different logits: what they do is not the same work."""


@dataclass(frozen=True)
class Way:
    """One way from a text to its classes.

    Attributes:
        network: Which network answers.
        name: What answers.
        run: What is timed, from NumPy arrays (or a string) to a NumPy array.
        logits: Gives the logits, `(1, classes)`, by the same way.
        graph: The ONNX model, if there is one.
    """

    network: str
    name: str
    run: Run
    logits: Run
    graph: onnx.ModelProto | None = None


def ways_of(cell: Cell, tokens: int, folder: Path) -> list[Way]:
    """Everything that is to be timed, ready to be called.

    Args:
        cell: The recurrent cell.
        tokens: Tokens of the text, the begin mark included.
        folder: Where model files may be written.
    """
    whole, bare = subjects.subjects(cell, folder)
    classifier = Classifier.load(whole.folder, threads=1)
    text = " ".join(subjects.words()[: tokens - 1])  # the begin mark comes before it
    batch = pad([encoded.ids for encoded in classifier.encode([text])])
    inputs = {"input_ids": batch.input_ids, "attention_mask": batch.attention_mask}
    return [
        in_onnxruntime(DEFAULT, OURS, whole.lowered, inputs),
        Way(
            DEFAULT,
            "Gatewise, from the string",
            run=lambda: classifier.predict_proba([text]),
            logits=lambda: classifier.logits(classifier.encode([text])),
        ),
        exported(whole, folder, inputs),
        *in_keras(whole.in_keras, inputs),
        in_onnxruntime(PLAIN, OURS, bare.lowered, inputs),
        exported(bare, folder, inputs),
    ]


def exported(subject: Subject, folder: Path, inputs: Inputs) -> Way:
    """What Keras itself writes of a network, in onnxruntime."""
    path = folder / f"{subject.folder.name}.onnx"
    return in_onnxruntime(subject.name, EXPORT, keras_export(subject.in_keras, path), inputs)


def in_onnxruntime(subject: str, name: str, model: onnx.ModelProto, inputs: Inputs) -> Way:
    """An ONNX model in onnxruntime, on one thread."""
    options = ort.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    session = ort.InferenceSession(
        model.SerializeToString(), options, providers=["CPUExecutionProvider"]
    )
    types = {"tensor(int32)": np.int32, "tensor(int64)": np.int64}
    given = {
        value.name: inputs[value.name].astype(types[value.type]) for value in session.get_inputs()
    }

    def run() -> Logits:
        logits: Logits = session.run(None, given)[0]
        return logits

    return Way(subject, name, run, run, model)


def in_keras(model: keras.Model, inputs: Inputs) -> Iterator[Way]:
    """Keras itself, on as many threads as TensorFlow takes."""
    given = {name: value.astype(np.int32) for name, value in inputs.items()}
    function = tf.function(lambda values: model(values, training=False))
    runs: dict[str, Run] = {
        PREDICT: lambda: model.predict(given, verbose=0),
        "Keras predict_on_batch": lambda: model.predict_on_batch(given),
        "Keras model(x)": lambda: model(given, training=False).numpy(),
        "Keras in a tf.function": lambda: function(
            {name: tf.constant(value) for name, value in given.items()}
        ).numpy(),
    }
    for name, run in runs.items():
        yield Way(DEFAULT, name, run, run)


def check_agreement(ways: Sequence[Way]) -> float:
    """The largest difference between the logits of two ways of one network.

    Raises:
        DisagreementError: If it is more than `TOLERANCE`.
    """
    largest = 0.0
    first: dict[str, tuple[Way, Logits]] = {}
    for way in ways:
        logits = way.logits()
        other, expected = first.setdefault(way.network, (way, logits))
        difference = float(np.max(np.abs(logits - expected)))
        if not difference <= TOLERANCE:
            raise DisagreementError(
                f"{way.network}: expected the logits of {way.name} and of {other.name} within "
                f"{TOLERANCE:g} of each other, received a difference of {difference:g}"
            )
        largest = max(largest, difference)
    return largest


def size(model: onnx.ModelProto) -> tuple[int, int]:
    """The nodes of an ONNX graph, and those inside its loops, which are not among the first."""
    looping = [node for node in model.graph.node if node.op_type in ("Loop", "Scan")]
    inside = sum(len(field.g.node) for node in looping for field in node.attribute)
    return len(model.graph.node), inside
