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
from benchmarks.latency.networks import in_onnxruntime
from benchmarks.lib import timing
from benchmarks.lib.command import AsJson, BenchmarkError, command
from benchmarks.lib.report import Row, report
from benchmarks.lib.timing import Timer
from gatewise.service.model.classifier import Classifier
from gatewise.training.config.network_section import Cell
from gatewise.vocab.tokenizer.encoding import Batch, pad

GATEWISE, EXPORT, PREDICT = "Gatewise's ONNX", "Keras's own ONNX export", "Keras model.predict"
TARGETS = {EXPORT: 5.0, PREDICT: 100.0}
"""How many times faster than these Gatewise is to be."""

TOLERANCE = 1e-5
"""How far logits in 32-bit floats may be apart."""

PACKAGES = ("keras", "numpy", "onnxruntime", "tf2onnx")

Logits = NDArray[np.floating]


@dataclass(frozen=True)
class Candidate:
    """What is timed."""

    name: str
    timer: Timer
    logits: Callable[[], Logits]  # `(texts, classes)`, or the logarithms of the scores
    precision: str = "fp32"
    graph: onnx.ModelProto | None = None


def candidates(cell: Cell, tokens: int, folder: Path) -> list[Candidate]:
    """Everything that is timed, with a text of so many tokens, the begin mark included."""
    network = networks.build_network(cell, folder / "model")
    classifier = Classifier.load(network.folder, threads=1)
    text = " ".join(networks.words()[: tokens - 1])  # the begin mark comes before it
    batch = pad([encoded.ids for encoded in classifier.encode([text])])

    def of_graph(name: str, graph: onnx.ModelProto) -> Candidate:
        run = in_onnxruntime(graph, batch)
        return Candidate(name, timing.by_clock(run), run, graph=graph)

    return [
        of_graph(GATEWISE, network.lowered),
        Candidate(
            "Gatewise, from the string",
            timing.by_clock(lambda: classifier.predict_proba([text])),
            lambda: classifier.logits(classifier.encode([text])),
        ),
        of_graph(EXPORT, network.keras_export()),
        *_in_keras(network.in_keras, batch),
    ]


def _in_keras(model: tf.keras.Model, batch: Batch) -> list[Candidate]:
    """Keras itself, on as many threads as TensorFlow takes, from NumPy arrays to a NumPy array."""
    inputs = {"input_ids": batch.inputs, "attention_mask": batch.attention_mask}
    given = {name: value.astype(np.int32) for name, value in inputs.items()}
    function = tf.function(lambda values: model(values, training=False))
    runs = {
        PREDICT: lambda: model.predict(given, verbose=0),
        "Keras predict_on_batch": lambda: model.predict_on_batch(given),
        "Keras model(x)": lambda: model(given, training=False).numpy(),
        "Keras in a tf.function": lambda: function(
            {name: tf.constant(value) for name, value in given.items()}
        ).numpy(),
    }
    return [Candidate(name, timing.by_clock(run), run) for name, run in runs.items()]


def differences(compared: Sequence[Candidate]) -> list[float]:
    """For each candidate, how far its logits are from the first's.

    Logits are compared as logarithms of scores, which is all that some runtimes give.

    Raises:
        BenchmarkError: If 32-bit floats are further apart than `TOLERANCE`, or best labels differ.
    """
    expected: Logits | None = None
    found = []
    for each in compared:
        what = f"{each.name}, {each.precision}"
        logits = each.logits().astype(np.float64)
        if not np.isfinite(logits).all():
            raise BenchmarkError(f"{what}: expected logits, received what are no numbers")
        logits = logits - np.logaddexp.reduce(logits, axis=1, keepdims=True)
        expected = logits if expected is None else expected
        apart = float(np.max(np.abs(logits - expected)))
        others = int((logits.argmax(axis=1) != expected.argmax(axis=1)).sum())
        if others or (each.precision == "fp32" and apart > TOLERANCE):
            raise BenchmarkError(
                f"{what}: expected logits within {TOLERANCE:g} of the first's and the same best "
                f"labels, received a difference of {apart:g} and {others} other labels"
            )
        found.append(apart)
    return found


def measure(compared: Sequence[Candidate], rounds: int, calls: int = timing.CALLS) -> list[Row]:
    """Compares the candidates, and times them in turns; ratios are to the first."""
    apart = differences(compared)
    times = timing.interleaved([each.timer for each in compared], rounds, calls)
    quartiles = np.quantile(times, (0.25, 0.5, 0.75), axis=1).T.tolist()
    return [
        {
            "what": each.name,
            "ms": median,
            "lower quartile": lower,
            "upper quartile": upper,
            "ratio": median / quartiles[0][1],
            "logits differ by": difference,
        }
        for each, (lower, median, upper), difference in zip(compared, quartiles, apart, strict=True)
    ]


def nodes(model: onnx.ModelProto) -> Row:
    """The nodes of an ONNX graph, and those inside its loops, which run for every token."""
    loops = [node for node in model.graph.node if node.op_type in ("Loop", "Scan")]
    inside = sum(len(field.g.node) for node in loops for field in node.attribute)
    return {"nodes": len(model.graph.node), "in loops": inside}


@command
def main(
    rounds: Annotated[int, typer.Option(min=1, help="Rounds.")] = 15,
    tokens: Annotated[int, typer.Option(min=2, max=256, help="Tokens of the text.")] = 40,
    cell: Annotated[Cell, typer.Option(help="The recurrent cell.")] = "lstm",
    as_json: AsJson = False,
) -> None:
    """Time one text: Gatewise's ONNX, Keras's own ONNX export, and Keras."""
    if find_spec("tf2onnx") is None:
        raise BenchmarkError('tf2onnx is missing: pip install "gatewise[benchmark]"')
    with tempfile.TemporaryDirectory() as folder:
        compared = candidates(cell, tokens, Path(folder))
        rows = measure(compared, rounds)
    ratios = {row["what"]: row["ratio"] for row in rows}
    sizes = [nodes(each.graph) if each.graph else {} for each in compared]
    versions = {package: version(package) for package in PACKAGES}
    report(
        {"latency": [{**row, **size} for row, size in zip(rows, sizes, strict=True)]},
        facts={"cell": cell, "tokens": tokens, "rounds": rounds, **versions},
        verdicts={
            f"{n:g} times faster than {name}": ratios[name] >= n for name, n in TARGETS.items()
        },
        as_json=as_json,
    )


if __name__ == "__main__":
    typer.run(main)
