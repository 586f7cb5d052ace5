"""The LSTM by TensorFlow's fused CPU kernels.

`BlockLSTMV2` and its gradient run all steps in one operation each, where a loop has the overhead of
every operation of every step. They have no dropout of states. The gates are i, f, c, o as in
Keras; the one kernel is the input kernel stacked on the recurrent kernel.
"""

from collections.abc import Callable
from typing import Any

import tensorflow as tf


def lstm(inputs: Any, kernel: Any, recurrent_kernel: Any, bias: Any) -> Any:
    """The state after each step, starting from zeros, `(steps, batch, units)`.

    All are float32: inputs `(steps, batch, features)`, kernel `(features, 4 x units)`, recurrent
    kernel `(units, 4 x units)`, bias `(4 x units,)`.
    """
    function = _lstm if tf.executing_eagerly() else _traced_lstm
    both = tf.concat([kernel, recurrent_kernel], axis=0)
    return function(inputs, both, tf.convert_to_tensor(bias))


@tf.custom_gradient  # type: ignore[untyped-decorator]
def _lstm(inputs: Any, kernel: Any, bias: Any) -> tuple[Any, Callable[[Any], Any]]:
    units = bias.shape[0] // 4
    zeros = tf.zeros((tf.shape(inputs)[1], units))
    peephole = tf.zeros(units)
    arguments = {
        "seq_len_max": tf.shape(inputs, tf.int64)[0],
        "x": inputs,
        "cs_prev": zeros,
        "h_prev": zeros,
        "w": kernel,
        "wci": peephole,
        "wcf": peephole,
        "wco": peephole,
        "b": bias,
        "use_peephole": False,
    }
    i, cs, f, o, ci, co, states = tf.raw_ops.BlockLSTMV2(**arguments, cell_clip=0.0)

    def gradient(d_states: Any) -> tuple[Any, Any, Any]:
        parts = tf.raw_ops.BlockLSTMGradV2(
            **arguments,
            i=i,
            cs=cs,
            f=f,
            o=o,
            ci=ci,
            co=co,
            h=states,
            cs_grad=tf.zeros_like(cs),
            h_grad=d_states,
        )
        return parts.x_grad, parts.w_grad, parts.b_grad

    return states, gradient


# In a graph that every network shares; see `gatewise.training.network.cells`.
_traced_lstm = tf.function(_lstm, autograph=False)
