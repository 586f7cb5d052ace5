"""The network that is timed: Gatewise's default, as a model folder and in Keras's own layers.

The weights are random, from a seed, and not trained: their values make no difference to the time.
"""

import itertools
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from gatewise import training  # noqa: F401  # sets TensorFlow's environment, so it goes before Keras

# isort: split
import keras
import numpy as np
import onnx
import onnxruntime as ort
from numpy.typing import NDArray

from gatewise.service.model.model_folder import write_model_folder
from gatewise.training.config.config import Config
from gatewise.training.config.network_section import Cell, NetworkConfig
from gatewise.training.config.tokens_section import TokensConfig
from gatewise.training.network.build import build, exported_parameters
from gatewise.training.network.layers import MaskedPooling
from gatewise.training.network.ngrams import NgramLogits, NgramRows
from gatewise.training.network.shape import Shape
from gatewise.training.onnx_export.keras_to_onnx import to_onnx
from gatewise.training.trained_model import TrainedModel
from gatewise.vocab.corpus.labels import Labels
from gatewise.vocab.tokenizer.encoding import Batch
from gatewise.vocab.tokenizer.tokenizer import SPECIAL_TOKENS, train_tokenizer

VOCAB_SIZE, CLASSES, SEED = 20_000, 10, 1


@dataclass(frozen=True)
class TimedNetwork:
    """The network that is timed."""

    folder: Path  # its model folder, with a file for each precision
    lowered: onnx.ModelProto  # as Gatewise exports it, in 32-bit floats
    in_keras: keras.Model  # the same weights in Keras's own recurrent layer

    def keras_export(self) -> onnx.ModelProto:
        """The ONNX that Keras itself writes, through tf2onnx, with its default options."""
        path = self.folder.with_suffix(".onnx")
        # A model must have been called before it is exported.
        inputs = {value.name: np.ones((1, 2), np.int32) for value in self.in_keras.inputs}
        self.in_keras(inputs)
        with warnings.catch_warnings():
            # Keras looks for a name that NumPy no longer has.
            warnings.filterwarnings("ignore", "In the future `np.object`", FutureWarning)
            self.in_keras.export(str(path), format="onnx", verbose=False)
        return onnx.load(path)


def in_onnxruntime(model: onnx.ModelProto, batch: Batch) -> Callable[[], NDArray[np.float32]]:
    """A function that gives a network's logits of a batch, in onnxruntime on one thread."""
    options = ort.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    session = ort.InferenceSession(
        model.SerializeToString(), options, providers=["CPUExecutionProvider"]
    )
    types = {"tensor(int32)": np.int32, "tensor(int64)": np.int64}
    given = {"input_ids": batch.inputs, "attention_mask": batch.attention_mask}
    inputs = {each.name: given[each.name].astype(types[each.type]) for each in session.get_inputs()}

    def run() -> NDArray[np.float32]:
        logits: NDArray[np.float32] = session.run(None, inputs)[0]
        return logits

    return run


def words() -> list[str]:
    """As many made-up words as the vocabulary has room for, in a random order."""
    syllables = [a + b for a, b in itertools.product("bdfgklmnprst", "aeiou")]
    made_up = ["".join(parts) for parts in itertools.product(syllables, repeat=3)]
    size = VOCAB_SIZE - len(SPECIAL_TOKENS)
    return [str(word) for word in np.random.default_rng(SEED).permutation(made_up)[:size]]


def build_network(cell: Cell, folder: Path) -> TimedNetwork:
    """The network, written to a folder."""
    config = Config(network=NetworkConfig(cell=cell), tokens=TokensConfig(unit="word"))
    shape = Shape(VOCAB_SIZE, CLASSES, config.network.ngram_lengths(config.tokens.unit))
    model = build(config.network, shape, SEED)
    # Biases and n-grams start at zero, where an error would not show.
    generator = np.random.default_rng(SEED)
    model.set_weights(
        [value + generator.normal(0, 0.1, value.shape) for value in model.get_weights()]
    )
    # Labels so far apart that numbers of eight bits change the best one of no text.
    bias = model.get_layer("classifier").bias
    bias.assign(bias.numpy() + generator.normal(0, 1, CLASSES))
    trained = TrainedModel(
        lowered=to_onnx(model, config.network),
        tokenizer=train_tokenizer(words()),
        labels=Labels.of(f"class {number}" for number in range(CLASSES)),
        task="single_label",
        shape=shape,
        config=config,
        parameters=exported_parameters(model),
        corpus_sha256="0" * 64,
    )
    with write_model_folder(folder) as model_folder:
        trained.write(model_folder)
    return TimedNetwork(folder, trained.lowered, _in_keras(config.network, shape, model))


def _in_keras(config: NetworkConfig, shape: Shape, source: keras.Model) -> keras.Model:
    """The same network with Keras's own recurrent layer in place of Gatewise's."""
    ids = keras.Input((None,), dtype="int32", name="input_ids")
    mask = keras.Input((None,), dtype="int32", name="attention_mask")
    vectors = keras.layers.Embedding(shape.vocab_size, config.embedding_size)(ids)
    cells = {"gru": keras.layers.GRU, "lstm": keras.layers.LSTM, "rnn": keras.layers.SimpleRNN}
    recurrent = cells[config.cell](config.units, return_sequences=True)
    states = keras.layers.Bidirectional(recurrent)(vectors, mask=keras.ops.cast(mask, "bool"))
    logits = keras.layers.Dense(shape.classes)(MaskedPooling(config.readout)(states, mask))
    table = shape.table()
    logits = logits + NgramLogits(table, shape.classes)(NgramRows(table)(ids, mask))
    model = keras.Model({"input_ids": ids, "attention_mask": mask}, logits)
    model.set_weights(source.get_weights())
    return model
