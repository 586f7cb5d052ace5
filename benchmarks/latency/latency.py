"""How long one text takes: Gatewise's ONNX, Keras's own ONNX export, and Keras itself.

All have the same weights and the same token ids, and take turns after their logits were compared.
"""

import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from typing import Annotated

from gatewise import training  # noqa: F401  # sets TensorFlow's environment, so it goes before TensorFlow

# isort: split
import numpy as np
import onnx
import tensorflow as tf
import typer
from numpy.typing import NDArray

from benchmarks.latency import networks
from benchmarks.latency.networks import TOLERANCE, in_onnxruntime
from benchmarks.lib import timing
from benchmarks.lib.command import AsJson, BenchmarkError, command
from benchmarks.lib.report import Row, report
from gatewise.service.model.classifier import Classifier
from gatewise.training.config.network_section import Cell
from gatewise.vocab.tokenizer.encoding import Batch, pad

GATEWISE, EXPORT, PREDICT = "Gatewise's ONNX", "Keras's own ONNX export", "Keras model.predict"
TARGETS = {EXPORT: 5.0, PREDICT: 100.0}
"""How many times faster than these Gatewise is to be."""

PACKAGES = ("keras", "numpy", "onnxruntime", "tf2onnx")

Run = Callable[[], NDArray[np.float32]]


@dataclass(frozen=True)
class Candidate:
    """What is timed."""

    name: str
    run: Run  # from NumPy arrays, or from a string, to a NumPy array
    logits: Run  # the logits, `(1, classes)`, in the same way
    graph: onnx.ModelProto | None = None


def candidates(cell: Cell, tokens: int, folder: Path) -> list[Candidate]:
    """Everything that is timed, with a text of so many tokens, the begin mark included."""
    network = networks.build_network(cell, folder / "model")
    classifier = Classifier.load(network.folder, threads=1)
    text = " ".join(networks.words()[: tokens - 1])  # the begin mark comes before it
    batch = pad([encoded.ids for encoded in classifier.encode([text])])

    def of_graph(name: str, graph: onnx.ModelProto) -> Candidate:
        run = in_onnxruntime(graph, batch.input_ids, batch.attention_mask)
        return Candidate(name, run, run, graph)

    return [
        of_graph(GATEWISE, network.lowered),
        Candidate(
            "Gatewise, from the string",
            run=lambda: classifier.predict_proba([text]),
            logits=lambda: classifier.logits(classifier.encode([text])),
        ),
        of_graph(EXPORT, network.keras_export()),
        *(Candidate(name, run, run) for name, run in _in_keras(network.in_keras, batch).items()),
    ]


def _in_keras(model: tf.keras.Model, batch: Batch) -> dict[str, Run]:
    """Keras itself, on as many threads as TensorFlow takes."""
    inputs = {"input_ids": batch.input_ids, "attention_mask": batch.attention_mask}
    given = {name: value.astype(np.int32) for name, value in inputs.items()}
    function = tf.function(lambda values: model(values, training=False))
    return {
        PREDICT: lambda: model.predict(given, verbose=0),
        "Keras predict_on_batch": lambda: model.predict_on_batch(given),
        "Keras model(x)": lambda: model(given, training=False).numpy(),
        "Keras in a tf.function": lambda: function(
            {name: tf.constant(value) for name, value in given.items()}
        ).numpy(),
    }


def check_agreement(compared: Sequence[Candidate]) -> float:
    """The largest difference between the first candidate's logits and another's.

    Raises:
        BenchmarkError: If it is more than `TOLERANCE`.
    """
    expected = compared[0].logits()
    largest = 0.0
    for each in compared[1:]:
        difference = float(np.max(np.abs(each.logits() - expected)))
        if not difference <= TOLERANCE:
            raise BenchmarkError(
                f"{each.name}: expected logits within {TOLERANCE:g} of those of "
                f"{compared[0].name}, received a difference of {difference:g}"
            )
        largest = max(largest, difference)
    return largest


def measure(compared: Sequence[Candidate], rounds: int, calls: int = timing.CALLS) -> list[Row]:
    """Times the candidates in turns; ratios are to the first.

    `nodes` are those of the ONNX graph, `in loops` those inside its loops, which run for every
    token.
    """
    times = timing.interleaved([timing.by_clock(each.run) for each in compared], rounds, calls)
    quartiles = np.quantile(times, (0.25, 0.5, 0.75), axis=1).T.tolist()
    rows: list[Row] = []
    for each, (lower, median, upper) in zip(compared, quartiles, strict=True):
        nodes, inside = _size(each.graph) if each.graph else (None, None)
        row = {"what": each.name, "nodes": nodes, "in loops": inside, "ms": median}
        spread = {"lower quartile": lower, "upper quartile": upper}
        rows.append({**row, **spread, "ratio": median / quartiles[0][1]})
    return rows


def _size(model: onnx.ModelProto) -> tuple[int, int]:
    """The nodes of an ONNX graph, and those inside its loops, which are not among the first."""
    loops = [node for node in model.graph.node if node.op_type in ("Loop", "Scan")]
    inside = sum(len(field.g.node) for node in loops for field in node.attribute)
    return len(model.graph.node), inside


def require_tf2onnx() -> None:
    """Raises `BenchmarkError` if Keras's own export cannot be made."""
    if find_spec("tf2onnx") is None:
        raise BenchmarkError('tf2onnx is missing: pip install "gatewise[benchmark]"')


@command
def main(
    rounds: Annotated[int, typer.Option(min=1, help="Rounds.")] = 15,
    tokens: Annotated[int, typer.Option(min=2, max=256, help="Tokens of the text.")] = 40,
    cell: Annotated[Cell, typer.Option(help="The recurrent cell.")] = "lstm",
    as_json: AsJson = False,
) -> None:
    """Time one text: Gatewise's ONNX, Keras's own ONNX export, and Keras."""
    require_tf2onnx()
    with tempfile.TemporaryDirectory() as folder:
        compared = candidates(cell, tokens, Path(folder))
        difference = check_agreement(compared)
        rows = measure(compared, rounds)
    ratios = {row["what"]: row["ratio"] for row in rows}
    versions = {package: version(package) for package in PACKAGES}
    report(
        {"latency": rows},
        facts={"cell": cell, "tokens": tokens, "rounds": rounds, **versions},
        verdicts={
            f"logits within {TOLERANCE:g} of each other": difference <= TOLERANCE,
            **{f"{n:g} times faster than {name}": ratios[name] >= n for name, n in TARGETS.items()},
        },
        as_json=as_json,
    )


if __name__ == "__main__":
    typer.run(main)
