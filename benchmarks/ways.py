"""The ways from one text to its classes: Gatewise's ONNX, Keras's own export, Keras itself.

Every way of a network has the same weights and is given the same token ids. The weights are
random, from a seed, and not trained; what they are makes no difference to the time. Knows nothing
of clocks.
"""

import itertools
import warnings
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import training  # noqa: F401  # sets TensorFlow's environment, so it goes before Keras

# isort: split
import keras
import numpy as np
import onnx
import onnxruntime as ort
import tensorflow as tf
from numpy.typing import NDArray

from service import artifact
from service.classifier import Classifier
from training.config import Config
from training.export import TrainedModel
from training.lowering.lower import lower
from training.network.build import build
from training.network.layers import MaskedReadout
from training.network.ngrams import NgramLogits, NgramRows
from training.network.shape import Shape
from training.settings.network import Cell, NetworkConfig
from training.settings.tokens import TokensConfig
from vocab import dictionary
from vocab.encoding import pad
from vocab.labels import Labels

VOCAB_SIZE, CLASSES, SEED = 20_000, 10, 1
TOLERANCE = 1e-5
DEFAULT, PLAIN = "the default network", "embedding, recurrent layer, dense layer"
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
    config = Config(network=NetworkConfig(cell=cell), tokens=TokensConfig(unit="word"))
    shape = Shape(VOCAB_SIZE, CLASSES, config.network.ngram_lengths(config.tokens.unit))
    model = with_random_weights(build(config.network, shape, SEED))
    trained = TrainedModel(
        lowered=lower(model, config.network),
        tokenizer=dictionary.train(words()),
        labels=Labels.of(f"class {number}" for number in range(CLASSES)),
        multi_label=False,
        shape=shape,
        config=config,
        parameters=model.count_params(),
        corpus_sha256="0" * 64,
    )
    with artifact.writing(folder / "model") as model_folder:
        trained.write(model_folder)
    classifier = Classifier.load(folder / "model", threads=1)
    text = " ".join(words()[: tokens - 1])  # the begin mark comes before it
    batch = pad([encoded.ids for encoded in classifier.encode([text])])
    inputs = {"input_ids": batch.input_ids, "attention_mask": batch.attention_mask}

    bare_config = config.network.model_copy(update={"readout": "last", "ngrams": ()})
    bare_shape = Shape(VOCAB_SIZE, CLASSES, ())
    in_keras_layers = default(config.network, shape, model)
    bare = with_random_weights(build(bare_config, bare_shape, SEED))
    by_hand = plain(bare_config, bare)
    return [
        in_onnxruntime(DEFAULT, OURS, trained.lowered, inputs),
        Way(
            DEFAULT,
            "Gatewise, from the string",
            run=lambda: classifier.predict_proba([text]),
            logits=lambda: classifier.logits(classifier.encode([text])),
        ),
        in_onnxruntime(
            DEFAULT, EXPORT, keras_export(in_keras_layers, folder / "default.onnx"), inputs
        ),
        *in_keras(in_keras_layers, inputs),
        in_onnxruntime(PLAIN, OURS, lower(bare, bare_config), inputs),
        in_onnxruntime(PLAIN, EXPORT, keras_export(by_hand, folder / "plain.onnx"), inputs),
    ]


def keras_recurrent(config: NetworkConfig, *, return_sequences: bool) -> keras.layers.Layer:
    """Keras's own bidirectional layer, which has Gatewise's weights in Gatewise's order."""
    cells = {"gru": keras.layers.GRU, "lstm": keras.layers.LSTM, "rnn": keras.layers.SimpleRNN}
    return keras.layers.Bidirectional(
        cells[config.cell](config.units, return_sequences=return_sequences)
    )


def default(config: NetworkConfig, shape: Shape, weights_from: keras.Model) -> keras.Model:
    """The default network with Keras's own recurrent layer in place of Gatewise's."""
    ids = keras.Input((None,), dtype="int32", name="input_ids")
    mask = keras.Input((None,), dtype="int32", name="attention_mask")
    vectors = keras.layers.Embedding(shape.vocab_size, config.embedding_size)(ids)
    states = keras_recurrent(config, return_sequences=True)(
        vectors, mask=keras.ops.cast(mask, "bool")
    )
    logits = keras.layers.Dense(shape.classes)(MaskedReadout(config.readout)(states, mask))
    table = shape.table()
    logits = logits + NgramLogits(table, shape.classes)(NgramRows(table)(ids, mask))
    model = keras.Model({"input_ids": ids, "attention_mask": mask}, logits)
    model.set_weights(weights_from.get_weights())
    return model


def plain(config: NetworkConfig, weights_from: keras.Model) -> keras.Model:
    """A text classifier as it is written by hand: masking embedding, recurrent layer, Dense."""
    model = keras.Sequential(
        [
            keras.Input((None,), dtype="int32", name="input_ids"),
            keras.layers.Embedding(VOCAB_SIZE, config.embedding_size, mask_zero=True),
            keras_recurrent(config, return_sequences=False),
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
    with warnings.catch_warnings():
        # Keras looks for a name that NumPy no longer has.
        warnings.filterwarnings("ignore", "In the future `np.object`", FutureWarning)
        model.export(str(path), format="onnx", verbose=False)
    return onnx.load(path)


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
