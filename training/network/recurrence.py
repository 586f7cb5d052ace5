"""The recurrent layer: a GRU, LSTM or plain RNN in one or both directions, with its dropout.

Runs cuDNN's kernels on a GPU (`cudnn`), TensorFlow's fused LSTM on a CPU (`block_lstm`), and
the loops of `cells` where neither supports the settings.
"""

import math
from dataclasses import dataclass
from typing import Any

import keras
import tensorflow as tf

from gatewise.training.config.network_section import Cell, Direction
from gatewise.training.network import block_lstm, cells, cudnn
from gatewise.training.network.parameters import GATES


@dataclass(frozen=True)
class RecurrentDropout:
    """The dropout of a recurrent layer during training.

    `states` is the share of each state dropped before the next step, the same units at every step
    of a text; `weights` the share of the recurrent kernel dropped, the same for a whole batch.
    """

    states: float = 0.0
    weights: float = 0.0
    seed: int = 0


class Recurrence(keras.layers.Layer):
    """One recurrent layer over texts padded on the right.

    Inputs: float32 `(batch, steps, features)`; or, with a `vocab_size`, token ids, integers
    `(batch, steps)`, which stand for one-hot vectors: their product with the kernel is a row of
    the kernel, which is gathered. Also the lengths of the texts, int32 `(batch,)`, all steps by
    default, and with token ids optionally a factor for each token's row, float32
    `(batch, steps, 1)`.

    Output: float32 `(batch, steps, features)`, or each text's last state, `(batch, features)`,
    without `return_sequences`. Two directions are concatenated, forward first, both in the order of
    the steps. States after a text's end are undefined.

    The weights of each direction are a kernel, a recurrent kernel and a bias, with the shapes,
    gate order and initializers of Keras's own layers.
    """

    def __init__(
        self,
        cell: Cell,
        units: int,
        direction: Direction = "forward",
        *,
        vocab_size: int | None = None,
        return_sequences: bool = False,
        reset_after: bool = True,
        dropout: RecurrentDropout = RecurrentDropout(),
        **options: Any,
    ) -> None:
        super().__init__(**options)
        self.cell = cell
        self.units = units
        self.direction = direction
        self.vocab_size = vocab_size
        self.return_sequences = return_sequences
        self.biases = 2 if cell == "gru" and reset_after else 1
        self.dropout = dropout
        self.seed_generator = keras.random.SeedGenerator(dropout.seed)

    def build(self, inputs_shape: tuple[int | None, ...], **_: object) -> None:
        """Creates the weights of each direction."""
        width = GATES[self.cell] * self.units
        features, initializer = inputs_shape[-1], "glorot_uniform"
        if self.vocab_size is not None:
            # Glorot's range for one input instead of `vocab_size`: a one-hot vector has a single
            # nonzero feature.
            limit = math.sqrt(6 / (1 + width))
            features = self.vocab_size
            initializer = keras.initializers.RandomUniform(-limit, limit)
        self.directions = []
        for direction in range(2 if self.direction == "bidirectional" else 1):
            kernel = self.add_weight(
                shape=(features, width), initializer=initializer, name=f"kernel_{direction}"
            )
            recurrent_kernel = self.add_weight(
                shape=(self.units, width),
                initializer="orthogonal",
                name=f"recurrent_kernel_{direction}",
            )
            bias = self.add_weight(
                shape=(2, width) if self.biases == 2 else (width,),
                initializer=_open_forget_gate if self.cell == "lstm" else "zeros",
                name=f"bias_{direction}",
            )
            self.directions.append((kernel, recurrent_kernel, bias))

    def call(
        self, inputs: Any, lengths: Any = None, factors: Any = None, training: bool = False
    ) -> Any:
        """See the class."""
        inputs = tf.convert_to_tensor(inputs)
        batch, steps = tf.unstack(tf.shape(inputs)[:2])
        lengths = tf.fill([batch], steps) if lengths is None else tf.cast(lengths, tf.int32)
        # Time first: a step is then contiguous in memory.
        inputs = _swap_batch_and_time(inputs)
        factors = None if factors is None else _swap_batch_and_time(factors)
        parts = []
        for number, variables in enumerate(self.directions):
            backward = self.direction == "backward" or number == 1
            # Reversed up to each text's own end, so that its last token comes first.
            ordered, scales = (
                tf.reverse_sequence(part, lengths, seq_axis=0, batch_axis=1)
                if backward and part is not None
                else part
                for part in (inputs, factors)
            )
            states = self._run(ordered, scales, lengths, variables, training)
            if not self.return_sequences:
                # Only rows that fill up a batch have no step; they have no weight.
                last = tf.maximum(lengths - 1, 0)
                parts.append(tf.gather_nd(states, tf.stack([last, tf.range(batch)], axis=1)))
                continue
            if backward:
                states = tf.reverse_sequence(states, lengths, seq_axis=0, batch_axis=1)
            parts.append(_swap_batch_and_time(states))
        return parts[0] if len(parts) == 1 else tf.concat(parts, axis=-1)

    def _run(
        self, inputs: Any, factors: Any, lengths: Any, variables: tuple[Any, ...], training: bool
    ) -> Any:
        """One direction, time first: inputs to the state after each step."""
        kernel, recurrent_kernel, bias = (variable.value for variable in variables)
        biases = tf.unstack(bias) if self.biases == 2 else [bias]
        if training and self.dropout.weights:
            recurrent_kernel = keras.random.dropout(
                recurrent_kernel, self.dropout.weights, seed=self.seed_generator
            )
        state_mask = None
        if training and self.dropout.states:
            ones = tf.ones((tf.shape(inputs)[1], self.units))
            state_mask = keras.random.dropout(ones, self.dropout.states, seed=self.seed_generator)

        one_hot = self.vocab_size is not None
        if one_hot:
            inputs = tf.gather(kernel, inputs)
            inputs = inputs if factors is None else inputs * factors
        resets_after = self.cell != "gru" or self.biases == 2
        if state_mask is None and resets_after and cudnn.available():
            pair = tf.stack(biases) if self.biases == 2 else tf.stack([bias, tf.zeros_like(bias)])
            input_kernel = None if one_hot else kernel
            return cudnn.run(self.cell, inputs, input_kernel, recurrent_kernel, pair, lengths)
        if self.cell == "lstm" and state_mask is None and not one_hot:
            return block_lstm.lstm(inputs, kernel, recurrent_kernel, bias)
        if not one_hot:
            shape = tf.shape(inputs)
            flat = tf.matmul(tf.reshape(inputs, (-1, kernel.shape[0])), kernel)
            inputs = tf.reshape(flat, (shape[0], shape[1], kernel.shape[1]))
        inputs = tf.nn.bias_add(inputs, biases[0])
        second = biases[1] if self.biases == 2 else None
        return cells.run(self.cell, inputs, recurrent_kernel, second, state_mask)


def _swap_batch_and_time(tensor: Any) -> Any:
    """Swaps the first two axes."""
    return tf.transpose(tensor, [1, 0, *range(2, len(tensor.shape))])


def _open_forget_gate(shape: tuple[int, ...], dtype: Any = None) -> Any:  # noqa: ARG001
    """The initial bias of an LSTM: one for the forget gate, as in Keras, and zero elsewhere."""
    units = shape[0] // 4
    return tf.concat([tf.zeros(units), tf.ones(units), tf.zeros(2 * units)], axis=0)
