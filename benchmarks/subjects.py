"""The two networks that are timed: Gatewise's default, and the one that is written by hand.

Each has a model folder, and the same weights in Keras's own layers. The weights are random, from a
seed, and not trained; what they are makes no difference to the time. Knows nothing of clocks.
"""

import itertools
import warnings
from dataclasses import dataclass
from pathlib import Path

from gatewise import training  # noqa: F401  # sets TensorFlow's environment, so it goes before Keras

# isort: split
import keras
import numpy as np
import onnx
from gatewise.service.model.model_folder import write_model_folder
from gatewise.training.config.config import Config
from gatewise.training.config.network_section import Cell, NetworkConfig
from gatewise.training.config.tokens_section import TokensConfig
from gatewise.training.network.build import build
from gatewise.training.network.layers import MaskedPooling
from gatewise.training.network.ngrams import NgramLogits, NgramRows
from gatewise.training.network.shape import Shape
from gatewise.training.onnx_export.keras_to_onnx import to_onnx
from gatewise.training.trained_model import TrainedModel
from gatewise.vocab.corpus.labels import Labels
from gatewise.vocab.tokenizer.tokenizer import SPECIAL_TOKENS, train_tokenizer

VOCAB_SIZE, CLASSES, SEED = 20_000, 10, 1
DEFAULT, PLAIN = "the default network", "embedding, recurrent layer, dense layer"


@dataclass(frozen=True)
class Subject:
    """A network that is timed.

    Attributes:
        name: What the tables call it.
        folder: Its model folder, with a file for each precision.
        lowered: The network as Gatewise writes it, in 32-bit floats.
        in_keras: The same weights in Keras's own recurrent layer.
    """

    name: str
    folder: Path
    lowered: onnx.ModelProto
    in_keras: keras.Model


def words() -> list[str]:
    """As many made-up words as the dictionary has room for, in a random order."""
    syllables = [a + b for a, b in itertools.product("bdfgklmnprst", "aeiou")]
    made_up = ["".join(parts) for parts in itertools.product(syllables, repeat=3)]
    size = VOCAB_SIZE - len(SPECIAL_TOKENS)
    return [str(word) for word in np.random.default_rng(SEED).permutation(made_up)[:size]]


def subjects(cell: Cell, folder: Path) -> tuple[Subject, Subject]:
    """Both networks.

    Args:
        cell: The recurrent cell.
        folder: Where their model folders are written.
    """
    config = Config(network=NetworkConfig(cell=cell), tokens=TokensConfig(unit="word"))
    shape = Shape(VOCAB_SIZE, CLASSES, config.network.ngram_lengths(config.tokens.unit))
    whole = _with_random_weights(build(config.network, shape, SEED))
    bare_network = config.network.model_copy(update={"readout": "last", "ngrams": ()})
    bare_config = config.model_copy(update={"network": bare_network})
    bare_shape = Shape(VOCAB_SIZE, CLASSES, ())
    bare = _with_random_weights(build(bare_network, bare_shape, SEED))
    return (
        Subject(
            DEFAULT,
            folder / "default",
            _written(folder / "default", whole, config, shape),
            _default(config.network, shape, whole),
        ),
        Subject(
            PLAIN,
            folder / "plain",
            _written(folder / "plain", bare, bare_config, bare_shape),
            _plain(bare_network, bare),
        ),
    )


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


def _with_random_weights(model: keras.Model) -> keras.Model:
    """Moves every weight: biases and n-grams start at zero, where an error would not show."""
    generator = np.random.default_rng(SEED)
    model.set_weights(
        [value + generator.normal(0, 0.1, value.shape) for value in model.get_weights()]
    )
    return model


def _written(folder: Path, model: keras.Model, config: Config, shape: Shape) -> onnx.ModelProto:
    """Writes a network as a model folder; gives what it was lowered to."""
    trained = TrainedModel(
        lowered=to_onnx(model, config.network),
        tokenizer=train_tokenizer(words()),
        labels=Labels.of(f"class {number}" for number in range(CLASSES)),
        multi_label=False,
        shape=shape,
        config=config,
        parameters=model.count_params(),
        corpus_sha256="0" * 64,
    )
    with write_model_folder(folder) as model_folder:
        trained.write(model_folder)
    return trained.lowered


def _keras_recurrent(config: NetworkConfig, *, return_sequences: bool) -> keras.layers.Layer:
    """Keras's own bidirectional layer, which has Gatewise's weights in Gatewise's order."""
    cells = {"gru": keras.layers.GRU, "lstm": keras.layers.LSTM, "rnn": keras.layers.SimpleRNN}
    return keras.layers.Bidirectional(
        cells[config.cell](config.units, return_sequences=return_sequences)
    )


def _default(config: NetworkConfig, shape: Shape, weights_from: keras.Model) -> keras.Model:
    """The default network with Keras's own recurrent layer in place of Gatewise's."""
    ids = keras.Input((None,), dtype="int32", name="input_ids")
    mask = keras.Input((None,), dtype="int32", name="attention_mask")
    vectors = keras.layers.Embedding(shape.vocab_size, config.embedding_size)(ids)
    states = _keras_recurrent(config, return_sequences=True)(
        vectors, mask=keras.ops.cast(mask, "bool")
    )
    logits = keras.layers.Dense(shape.classes)(MaskedPooling(config.readout)(states, mask))
    table = shape.table()
    logits = logits + NgramLogits(table, shape.classes)(NgramRows(table)(ids, mask))
    model = keras.Model({"input_ids": ids, "attention_mask": mask}, logits)
    model.set_weights(weights_from.get_weights())
    return model


def _plain(config: NetworkConfig, weights_from: keras.Model) -> keras.Model:
    """A text classifier as it is written by hand: masking embedding, recurrent layer, Dense."""
    model = keras.Sequential(
        [
            keras.Input((None,), dtype="int32", name="input_ids"),
            keras.layers.Embedding(VOCAB_SIZE, config.embedding_size, mask_zero=True),
            _keras_recurrent(config, return_sequences=False),
            keras.layers.Dense(CLASSES),
        ]
    )
    model.set_weights(weights_from.get_weights())
    return model
