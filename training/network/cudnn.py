"""The recurrent cells by cuDNN's fused kernels, on a GPU.

cuDNN takes the weights of a layer as one vector: the kernel of each gate, the recurrent kernel of
each gate, both transposed, and then the biases in the same order, two for every gate. Its gates are
r, z, h for GRU and i, f, c, o for LSTM; a GRU's reset gate is applied after the recurrent product.
A plain recurrent cell is one gate.
"""

import tensorflow as tf

from gatewise.training.config.network_section import Cell

_ORDER: dict[Cell, tuple[int, ...]] = {"gru": (1, 0, 2), "lstm": (0, 1, 2, 3), "rnn": (0,)}
"""Position of each of cuDNN's gates among Keras's."""

_MODES: dict[Cell, str] = {"gru": "gru", "lstm": "lstm", "rnn": "rnn_tanh"}


def available() -> bool:
    """Whether TensorFlow has a GPU."""
    return bool(tf.config.list_logical_devices("GPU"))


def run(
    cell: Cell,
    inputs: tf.Tensor,
    kernel: tf.Tensor | None,
    recurrent_kernel: tf.Tensor,
    biases: tf.Tensor,
    lengths: tf.Tensor,
) -> tf.Tensor:
    """The state after each step, starting from zeros; zeros after each text's end.

    Args:
        cell: The type of cell.
        inputs: `(steps, batch, features)`, or inputs times kernel if `kernel` is None.
        kernel: `(features, gates x units)`, gates in Keras's order; None if the inputs have
            already been multiplied by it.
        recurrent_kernel: `(units, gates x units)`.
        biases: Biases of the input and of the state, `(2, gates x units)`.
        lengths: Steps of each text, int32 `(batch,)`.

    Returns:
        float32 `(steps, batch, units)`.
    """
    units = recurrent_kernel.shape[0]
    if kernel is None:
        kernel = tf.eye(recurrent_kernel.shape[1])
    state = tf.zeros((1, tf.shape(inputs)[1], units))
    states, *_ = tf.raw_ops.CudnnRNNV3(
        input=inputs,
        input_h=state,
        # Only an LSTM has a cell state; the operator requires a tensor for the others too.
        input_c=state if cell == "lstm" else tf.zeros(()),
        params=weights(cell, kernel, recurrent_kernel, biases),
        sequence_lengths=lengths,
        rnn_mode=_MODES[cell],
        time_major=True,
    )
    return states


def weights(
    cell: Cell, kernel: tf.Tensor, recurrent_kernel: tf.Tensor, biases: tf.Tensor
) -> tf.Tensor:
    """The weights of a layer as cuDNN's one vector; see `run`."""
    gates = len(_ORDER[cell])
    parts = [
        tf.transpose(tf.split(matrix, gates, axis=1)[gate])
        for matrix in (kernel, recurrent_kernel)
        for gate in _ORDER[cell]
    ]
    parts += [tf.split(bias, gates)[gate] for bias in tf.unstack(biases) for gate in _ORDER[cell]]
    return tf.concat([tf.reshape(part, [-1]) for part in parts], axis=0)
