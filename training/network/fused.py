"""A run of an LSTM's steps by TensorFlow's fused kernels for the processor.

`BlockLSTMV2` and its gradient make all steps in one operation each, where a loop pays for every
operation of every step. They know no dropped states. Its gates are i, f, c, o, as Keras's are; its
one kernel is that of the inputs above that of the states.
"""

from collections.abc import Callable
from typing import Any

import tensorflow as tf


def lstm(inputs: Any, kernel: Any, recurrent_kernel: Any, bias: Any) -> Any:
    """The state after each step, from a first state of zeros.

    Args:
        inputs: float32 `(steps, batch, features)`.
        kernel: `(features, 4 x units)`.
        recurrent_kernel: `(units, 4 x units)`.
        bias: `(4 x units,)`.

    Returns:
        float32 `(steps, batch, units)`.
    """
    return _lstm(inputs, tf.concat([kernel, recurrent_kernel], axis=0), bias)


@tf.custom_gradient  # type: ignore[untyped-decorator]
def _lstm(inputs: Any, kernel: Any, bias: Any) -> tuple[Any, Callable[[Any], Any]]:
    units = bias.shape[0] // 4
    before = tf.zeros((tf.shape(inputs)[1], units))
    unused = tf.zeros(units)
    given = {
        "seq_len_max": tf.shape(inputs, tf.int64)[0],
        "x": inputs,
        "cs_prev": before,
        "h_prev": before,
        "w": kernel,
        "wci": unused,
        "wcf": unused,
        "wco": unused,
        "b": bias,
        "use_peephole": False,
    }
    written, memory, kept, read, candidate, shown, states = tf.raw_ops.BlockLSTMV2(
        **given, cell_clip=0.0
    )

    def gradient(of_states: Any) -> tuple[Any, Any, Any]:
        parts = tf.raw_ops.BlockLSTMGradV2(
            **given,
            i=written,
            cs=memory,
            f=kept,
            o=read,
            ci=candidate,
            co=shown,
            h=states,
            cs_grad=tf.zeros_like(memory),
            h_grad=of_states,
        )
        return parts.x_grad, parts.w_grad, parts.b_grad

    return states, gradient
