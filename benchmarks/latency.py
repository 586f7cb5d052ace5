"""How long one text takes: Gatewise's ONNX, Keras's own ONNX export, and Keras itself.

One network, one text, one run: every way gets the same weights and the same token ids, must give
the same logits, and is timed in turn with the others. The weights are random, from a seed, and
not trained; what they are makes no difference to the time. Owns the measuring and its table; the
networks are those of `training.network`.
"""

import itertools
import json
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from typing import Annotated

import training  # noqa: F401  # sets TensorFlow's environment, so it goes before Keras

# isort: split
import keras
import numpy as np
import onnx
import onnxruntime as ort
import tensorflow as tf
import typer
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table

from service import artifact
from service.classifier import Classifier
from training import network
from training.config import Cell, Config, NetworkConfig
from training.export import TrainedModel
from training.lowering import lower
from vocab import dictionary
from vocab.encoding import pad
from vocab.labels import Labels

VOCAB_SIZE, CLASSES, SEED = 20_000, 10, 1
CALLS = 20  # of each way in each round
TOLERANCE = 1e-5
DEFAULT, PLAIN = "default network", "embedding, recurrent layer, dense layer"
OURS, EXPORT, PREDICT = "Gatewise's ONNX", "Keras's own ONNX export", "Keras model.predict"
TARGETS = {EXPORT: 5.0, PREDICT: 100.0}  # how many times faster than these Gatewise is to be
Logits = NDArray[np.float32]
Run = Callable[[], Logits]
Inputs = dict[str, NDArray[np.int64]]
PACKAGES = ("keras", "numpy", "onnxruntime", "tf2onnx")


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


@dataclass(frozen=True)
class Row:
    """What was measured of one way; a round's milliseconds are the median of its calls.

    Attributes:
        network: Which network answers.
        name: What answers.
        nodes: Nodes of the ONNX graph.
        loop_nodes: Nodes inside its loops, which are run at every token.
        median_ms: Median of the rounds.
        fastest_ms: The fastest round.
        slowest_ms: The slowest round.
        times_ours: Median over that of Gatewise's ONNX for the same network.
    """

    network: str
    name: str
    nodes: int | None
    loop_nodes: int | None
    median_ms: float
    fastest_ms: float
    slowest_ms: float
    times_ours: float


def words() -> list[str]:
    """As many made-up words as the dictionary has room for, in a random order."""
    syllables = [a + b for a, b in itertools.product("bdfgklmnprst", "aeiou")]
    made_up = ["".join(parts) for parts in itertools.product(syllables, repeat=3)]
    size = VOCAB_SIZE - len(dictionary.SPECIAL_TOKENS)
    return [str(word) for word in np.random.default_rng(SEED).permutation(made_up)[:size]]


def with_random_weights(model: keras.Model) -> keras.Model:
    """Moves every weight: biases and n-grams start at zero, where an error would not show."""
    generator = np.random.default_rng(SEED)
    model.set_weights(
        [value + generator.normal(0, 0.1, value.shape) for value in model.get_weights()]
    )
    return model


def ways_of(cell: Cell, tokens: int, folder: Path) -> list[Way]:
    """Everything that is to be timed, ready to be called.

    Args:
        cell: The recurrent cell.
        tokens: Tokens of the text, the begin mark included.
        folder: Where model files may be written.
    """
    config = Config(network=NetworkConfig(cell=cell))
    shape = network.Shape(VOCAB_SIZE, CLASSES, config.network.ngram_lengths(config.tokens.unit))
    model = with_random_weights(network.build(config.network, shape, SEED))
    trained = TrainedModel(
        lowered=lower(model, config.network),
        tokenizer=dictionary.train(words()),
        labels=Labels.of(f"class {number}" for number in range(CLASSES)),
        shape=shape,
        config=config,
        parameters=model.count_params(),
        corpus_sha256="",
    )
    with artifact.writing(folder / "model") as model_folder:
        trained.write(model_folder)
    classifier = Classifier.load(folder / "model", threads=1)
    text = " ".join(words()[: tokens - 1])  # the begin mark comes before it
    batch = pad([encoded.ids for encoded in classifier.encode([text])])
    inputs = {"input_ids": batch.input_ids, "attention_mask": batch.attention_mask}

    bare_config = config.network.model_copy(update={"readout": "last", "ngrams": ()})
    bare_shape = network.Shape(VOCAB_SIZE, CLASSES, ())
    bare = with_random_weights(network.build(bare_config, bare_shape, SEED))
    by_hand = plain(bare_config, bare)
    return [
        in_onnxruntime(DEFAULT, OURS, trained.lowered, inputs),
        Way(
            DEFAULT,
            "Gatewise, from the string",
            run=lambda: classifier.predict_proba([text]),
            logits=lambda: classifier.logits(classifier.encode([text])),
        ),
        in_onnxruntime(DEFAULT, EXPORT, keras_export(model, folder / "default.onnx"), inputs),
        *in_keras(model, inputs),
        in_onnxruntime(PLAIN, OURS, lower(bare, bare_config), inputs),
        in_onnxruntime(PLAIN, EXPORT, keras_export(by_hand, folder / "plain.onnx"), inputs),
    ]


def plain(config: NetworkConfig, weights_from: keras.Model) -> keras.Model:
    """A text classifier as it is written by hand: masking embedding, recurrent layer, Dense."""
    model = keras.Sequential(
        [
            keras.Input((None,), dtype="int32", name="input_ids"),
            keras.layers.Embedding(VOCAB_SIZE, config.embedding_size, mask_zero=True),
            network.recurrent(config.cell, config.units, config.direction),
            keras.layers.Dense(CLASSES),
        ]
    )
    model.set_weights(weights_from.get_weights())
    return model


def keras_export(model: keras.Model, path: Path) -> onnx.ModelProto:
    """The ONNX that Keras itself writes, through tf2onnx, with every option as it comes."""
    # A model must have been called before it is exported.
    spare = {value.name: np.ones((1, 2), np.int32) for value in model.inputs}
    model(spare if len(spare) > 1 else spare["input_ids"])
    model.export(str(path), format="onnx", verbose=False)
    exported = onnx.load(path)
    for node in exported.graph.node:
        # Written for an addition of integers, which Sum does not take: onnxruntime would refuse
        # the file. Of two inputs, Sum is Add.
        if node.op_type == "Sum" and len(node.input) == 2:
            node.op_type = "Add"
    return exported


def in_onnxruntime(subject: str, name: str, model: onnx.ModelProto, inputs: Inputs) -> Way:
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


def measure(ways: Sequence[Way], repeats: int, calls: int = CALLS) -> list[Row]:
    """Times the ways in turn, so that a busy moment of the machine falls on all of them.

    Args:
        ways: What to time.
        repeats: Rounds; in each, every way is called, each time beginning with another way.
        calls: Calls of each way in each round.
    """
    rounds: list[list[float]] = [[] for _ in ways]
    for number in range(repeats):
        for place in range(len(ways)):
            index = (number + place) % len(ways)
            ways[index].run()  # one call to warm the caches that the way before has filled
            rounds[index].append(statistics.median(_times(ways[index].run, calls)))
    medians = [statistics.median(times) for times in rounds]
    ours = {w.network: m for w, m in zip(ways, medians, strict=True) if w.name == OURS}
    rows = []
    for way, median, times in zip(ways, medians, rounds, strict=True):
        nodes, inside = size(way.graph) if way.graph else (None, None)
        ratio = median / ours[way.network]
        rows.append(
            Row(way.network, way.name, nodes, inside, median, min(times), max(times), ratio)
        )
    return rows


def size(model: onnx.ModelProto) -> tuple[int, int]:
    """The nodes of an ONNX graph, and those inside its loops, which are not among the first."""
    looping = [node for node in model.graph.node if node.op_type in ("Loop", "Scan")]
    inside = sum(len(field.g.node) for node in looping for field in node.attribute)
    return len(model.graph.node), inside


def _times(run: Run, calls: int) -> Iterator[float]:
    """Milliseconds of each call."""
    for _ in range(calls):
        start = time.perf_counter()
        run()
        yield 1000 * (time.perf_counter() - start)


def report(rows: Sequence[Row], title: str) -> Table:
    """The rows as a table."""
    table = Table(title=title)
    for heading in ("what", "nodes", "in loops", "median ms", "min–max ms", "times ours"):
        table.add_column(heading, justify="left" if heading == "what" else "right")
    for name, group in itertools.groupby(rows, key=lambda row: row.network):
        table.add_section()
        table.add_row(f"[bold]{name}")
        for row in group:
            table.add_row(
                row.name,
                "" if row.nodes is None else str(row.nodes),
                "" if row.loop_nodes is None else str(row.loop_nodes or "no loop"),
                f"{row.median_ms:.3f}",
                f"{row.fastest_ms:.3f}–{row.slowest_ms:.3f}",
                f"{row.times_ours:.1f}",
            )
    return table


def main(
    repeats: Annotated[int, typer.Option(min=1, help="Rounds.")] = 15,
    tokens: Annotated[int, typer.Option(min=2, max=256, help="Tokens of the text.")] = 40,
    cell: Annotated[Cell, typer.Option(help="The recurrent cell.")] = "gru",
    as_json: Annotated[bool, typer.Option("--json", help="Write one JSON object.")] = False,
) -> None:
    """Time one text: Gatewise's ONNX, Keras's own ONNX export, and Keras."""
    if find_spec("tf2onnx") is None:
        typer.echo('Error: tf2onnx is missing: pip install "gatewise[benchmark]"', err=True)
        raise typer.Exit(1)
    try:
        with tempfile.TemporaryDirectory() as folder:
            ways = ways_of(cell, tokens, Path(folder))
            difference = check_agreement(ways)
            rows = measure(ways, repeats)
    except DisagreementError as error:
        typer.echo(f"Error: {error}", err=True)
        raise typer.Exit(1) from None
    reached = {row.name: row.times_ours for row in rows if row.network == DEFAULT}
    if as_json:
        document = {
            "cell": cell,
            "tokens": tokens,
            "repeats": repeats,
            "largest_difference": difference,
            "versions": {package: version(package) for package in PACKAGES},
            "rows": [asdict(row) for row in rows],
            "targets": {
                name: {"times": times, "received": reached[name], "met": reached[name] >= times}
                for name, times in TARGETS.items()
            },
        }
        typer.echo(json.dumps(document))
        return
    console = Console()
    console.print(report(rows, f"one text of {tokens} tokens, {cell}, {repeats} rounds"))
    console.print(f"Logits agree: the largest difference is {difference:.1e}.")
    for name, times in TARGETS.items():
        met = "met" if reached[name] >= times else "not met"
        console.print(f"{times:g} times faster than {name}: {met} ({reached[name]:.1f})")


if __name__ == "__main__":
    typer.run(main)
