"""The recurrent layer: one cell run over the steps of a text, forward, backward or both ways.

Owns the weights of its directions and what is dropped from them while training. What a cell
computes is in `gatewise.training.network.cells`; how a GPU does it is in
`gatewise.training.network.cudnn`, and how a processor does it in one operation, where it can, in
`gatewise.training.network.fused`.
"""

import math
from dataclasses import dataclass
from typing import Any

import keras
import tensorflow as tf
from gatewise.training.config.network_section import Cell, Direction
from gatewise.training.network import cells, cudnn, fused
from gatewise.training.network.parameters import GATES


@dataclass(frozen=True)
class Dropped:
    """What a recurrent layer leaves out while training.

    Attributes:
        states: Share of each state dropped on its way to the next step, the same units at every
            step of a text.
        weights: Share of the recurrent kernel dropped, the same weights for a whole batch.
        seed: Seed of the choice.
    """

    states: float = 0.0
    weights: float = 0.0
    seed: int = 0


class Recurrence(keras.layers.Layer):
    """One recurrent layer over texts padded on the right.

    Inputs: float32 `(batch, steps, features)`; or token ids, integers `(batch, steps)`, where the
    layer has a vocabulary: an id stands for a one-hot vector, whose product with the kernel is
    the kernel's row of that id, so only rows are gathered and no such vector is built. Beside them
    the texts' lengths, int32 `(batch,)`, all steps by default, and with token ids optionally what
    each token's row is multiplied by, float32 `(batch, steps, 1)`.

    Output: float32 `(batch, steps, features)` in the order of the steps for every direction, or
    each text's last state, `(batch, features)`. Two directions stand side by side, forward first.
    States past a text's end are of no meaning.

    The weights of each direction are a kernel, a recurrent kernel and a bias, in shapes, gate
    order and first values as Keras's own layers have them.

    Args:
        cell: `gru`, `lstm` or `rnn`.
        units: Units in each direction.
        direction: Which way the steps are read.
        vocab_size: Ids in the vocabulary where inputs are token ids; None where they are vectors.
        return_sequences: Whether the state at every step is returned, or only the last one.
        reset_after: For `gru`, see `NetworkConfig.reset_after`.
        dropped: What is left out while training.
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
        dropped: Dropped = Dropped(),
        **options: Any,
    ) -> None:
        super().__init__(**options)
        self.cell = cell
        self.units = units
        self.direction = direction
        self.vocab_size = vocab_size
        self.return_sequences = return_sequences
        self.biases = 2 if cell == "gru" and reset_after else 1
        self.dropped = dropped
        self.seed_generator = keras.random.SeedGenerator(dropped.seed)

    def build(self, inputs_shape: tuple[int | None, ...], **_: object) -> None:
        """Makes the weights of each direction."""
        width = GATES[self.cell] * self.units
        features, first_values = inputs_shape[-1], "glorot_uniform"
        if self.vocab_size is not None:
            # Glorot's range for one input and not for as many as the vocabulary has: all but one
            # of a one-hot vector's are zero.
            limit = math.sqrt(6 / (1 + width))
            features = self.vocab_size
            first_values = keras.initializers.RandomUniform(-limit, limit)
        self.directions = []
        for direction in range(2 if self.direction == "bidirectional" else 1):
            kernel = self.add_weight(
                shape=(features, width), initializer=first_values, name=f"kernel_{direction}"
            )
            recurrent_kernel = self.add_weight(
                shape=(self.units, width),
                initializer="orthogonal",
                name=f"recurrent_kernel_{direction}",
            )
            bias = self.add_weight(
                shape=(2, width) if self.biases == 2 else (width,),
                initializer=_forgets_nothing if self.cell == "lstm" else "zeros",
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
        # Time first: a step is then one stretch of memory.
        inputs = _swapped(inputs)
        factors = None if factors is None else _swapped(factors)
        parts = []
        for number, variables in enumerate(self.directions):
            backward = self.direction == "backward" or number == 1
            # Reversed up to each text's own end, so that its last token comes first.
            given, scaled = (
                tf.reverse_sequence(part, lengths, seq_axis=0, batch_axis=1)
                if backward and part is not None
                else part
                for part in (inputs, factors)
            )
            states = self._run(given, scaled, lengths, variables, training)
            if not self.return_sequences:
                # A row without any step is possible only as filling, and counts nothing.
                last = tf.maximum(lengths - 1, 0)
                parts.append(tf.gather_nd(states, tf.stack([last, tf.range(batch)], axis=1)))
                continue
            if backward:
                states = tf.reverse_sequence(states, lengths, seq_axis=0, batch_axis=1)
            parts.append(_swapped(states))
        return parts[0] if len(parts) == 1 else tf.concat(parts, axis=-1)

    def _run(
        self, inputs: Any, factors: Any, lengths: Any, variables: tuple[Any, ...], training: bool
    ) -> Any:
        """One direction, time first, from inputs to the state after each step."""
        kernel, recurrent_kernel, bias = (variable.value for variable in variables)
        biases = tf.unstack(bias) if self.biases == 2 else [bias]
        if training and self.dropped.weights:
            recurrent_kernel = keras.random.dropout(
                recurrent_kernel, self.dropped.weights, seed=self.seed_generator
            )
        kept = None
        if training and self.dropped.states:
            ones = tf.ones((tf.shape(inputs)[1], self.units))
            kept = keras.random.dropout(ones, self.dropped.states, seed=self.seed_generator)

        one_hot = self.vocab_size is not None
        if one_hot:
            inputs = tf.gather(kernel, inputs)
            inputs = inputs if factors is None else inputs * factors
        resets_after = self.cell != "gru" or self.biases == 2
        if kept is None and resets_after and cudnn.available():
            pair = tf.stack(biases) if self.biases == 2 else tf.stack([bias, tf.zeros_like(bias)])
            given = None if one_hot else kernel
            return cudnn.run(self.cell, inputs, given, recurrent_kernel, pair, lengths)
        if self.cell == "lstm" and kept is None and not one_hot:
            return fused.lstm(inputs, kernel, recurrent_kernel, bias)
        if not one_hot:
            shape = tf.shape(inputs)
            flat = tf.matmul(tf.reshape(inputs, (-1, kernel.shape[0])), kernel)
            inputs = tf.reshape(flat, (shape[0], shape[1], kernel.shape[1]))
        inputs = tf.nn.bias_add(inputs, biases[0])
        second = biases[1] if self.biases == 2 else None
        return cells.run(self.cell, inputs, recurrent_kernel, second, kept)


def _swapped(tensor: Any) -> Any:
    """Batch and steps, the first two axes, in each other's place."""
    return tf.transpose(tensor, [1, 0, *range(2, len(tensor.shape))])


def _forgets_nothing(shape: tuple[int, ...], dtype: Any = None) -> Any:  # noqa: ARG001
    """An LSTM's first bias: one for the forget gate, so that memory lasts, and zero elsewhere."""
    units = shape[0] // 4
    return tf.concat([tf.zeros(units), tf.ones(units), tf.zeros(2 * units)], axis=0)
