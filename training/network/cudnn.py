"""A run of a cell's steps by cuDNN's fused kernels, where TensorFlow has a GPU.

cuDNN takes every weight of a layer as one vector: each gate's kernel and then each gate's
recurrent kernel, transposed, and after them the biases in the same order, which are two for every
gate. Its gates are r, z, h for GRU and i, f, c, o for LSTM; a GRU's reset gate is applied after
the recurrent product. A plain recurrent cell is one gate.
"""

import tensorflow as tf
from gatewise.training.config.network_section import Cell

_ORDER: dict[Cell, tuple[int, ...]] = {"gru": (1, 0, 2), "lstm": (0, 1, 2, 3), "rnn": (0,)}
"""Where each of cuDNN's gates stands among Keras's."""
_MODES: dict[Cell, str] = {"gru": "gru", "lstm": "lstm", "rnn": "rnn_tanh"}


def available() -> bool:
    """Whether there is a GPU to run on."""
    return bool(tf.config.list_logical_devices("GPU"))


def run(
    cell: Cell,
    inputs: tf.Tensor,
    kernel: tf.Tensor | None,
    recurrent_kernel: tf.Tensor,
    biases: tf.Tensor,
    lengths: tf.Tensor,
) -> tf.Tensor:
    """The state after each step, from a first state of zeros; zeros past each text's end.

    Args:
        cell: Which cell.
        inputs: `(steps, batch, features)`, or inputs times kernel where there is no kernel.
        kernel: `(features, gates x units)`, gates in Keras's order; None if the inputs have
            already been multiplied by it.
        recurrent_kernel: `(units, gates x units)`.
        biases: Of the input and of the state, `(2, gates x units)`.
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
        # Only an LSTM has a memory; the operator wants some tensor for the others.
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
    """Every weight of a layer as cuDNN's one vector; see `run`."""
    gates = len(_ORDER[cell])
    parts = [
        tf.transpose(tf.split(matrix, gates, axis=1)[gate])
        for matrix in (kernel, recurrent_kernel)
        for gate in _ORDER[cell]
    ]
    parts += [tf.split(bias, gates)[gate] for bias in tf.unstack(biases) for gate in _ORDER[cell]]
    return tf.concat([tf.reshape(part, [-1]) for part in parts], axis=0)
