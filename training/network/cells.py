"""The GRU, LSTM and plain RNN cells over the steps of a batch, with hand-written gradients.

The caller multiplies the inputs by the kernel for all steps at once, so a forward step has only the
product with the previous state left. The backward pass recomputes the gates for all steps at once
and leaves one product and a few sums for each step. Only the states are kept for it, whereas
TensorFlow's own gradient of the loop keeps every gate of every step.

Lengths of texts are the caller's: a state at a padded step is computed and has no meaning.

Gates are concatenated in the last axis, in Keras's order: z, r, h for GRU and i, f, c, o for LSTM.
A GRU with two biases applies its reset gate after the recurrent product, one with a single bias
before it.
"""

from collections.abc import Callable
from typing import Any

import tensorflow as tf

from gatewise.training.config.network_section import Cell

States = tuple[Any, ...]


def run(
    cell: Cell,
    inputs: tf.Tensor,
    recurrent_kernel: tf.Tensor,
    recurrent_bias: tf.Tensor | None,
    state_mask: tf.Tensor | None,
) -> tf.Tensor:
    """The state after each step, starting from zeros, float32 `(steps, batch, units)`.

    Args:
        cell: The type of cell.
        inputs: Inputs times kernel, with the bias added, `(steps, batch, gates x units)`.
        recurrent_kernel: `(units, gates x units)`.
        recurrent_bias: A GRU's second bias, `(gates x units,)`; None for none.
        state_mask: Dropout factors by which each state is multiplied before the next step,
            `(batch, units)`; None for no dropout.
    """
    if cell == "gru" and recurrent_bias is None:
        return _gru_reset_before(inputs, recurrent_kernel, state_mask)
    if recurrent_bias is None:
        recurrent_bias = tf.zeros(recurrent_kernel.shape[1])
    # A traced function gives a variable that is on several devices no gradient.
    inputs, kernel, bias = map(tf.convert_to_tensor, (inputs, recurrent_kernel, recurrent_bias))
    function = _run if tf.executing_eagerly() else _traced_run
    return function(_CELLS[cell], inputs, kernel, bias, state_mask)


class _SimpleRnn:
    """The plain recurrent cell, and the interface of the others.

    `product` is the recurrent product with its bias added. Tensors are of one step,
    `(batch, units)`, or of all steps, `(steps, batch, units)`. `d_x` is the gradient of the loss
    with respect to `x`.
    """

    carried = 1
    """Number of tensors passed from a step to the next, the state first."""

    def step(self, inputs: Any, product: Any, before: States) -> States:  # noqa: ARG002
        """The tensors passed to the next step."""
        return (tf.tanh(inputs + product),)

    def slopes(self, inputs: Any, product: Any, before: States, after: States) -> Any:  # noqa: ARG002
        """The local derivatives used by the methods below, concatenated in the last axis."""
        return 1 - tf.square(after[0])

    def d_output(self, d_state: Any, carried: States, slopes: Any) -> States:  # noqa: ARG002
        """D of a step's output, from d of its state and the gradients of the following step."""
        return (d_state + carried[0],)

    def d_product(self, d_output: States, slopes: Any) -> Any:
        """D of the recurrent product."""
        return d_output[0] * slopes

    def d_inputs(self, d_output: States, slopes: Any) -> Any:
        """D of the inputs."""
        return self.d_product(d_output, slopes)

    def d_before(self, d_output: States, slopes: Any) -> States:  # noqa: ARG002
        """D of what the step received, except for the part through the recurrent product."""
        return (tf.zeros_like(d_output[0]),)


class _Gru(_SimpleRnn):
    """GRU with the reset gate after the product.

    Slopes: z, r and h by the product, h by its input, and z itself.
    """

    def step(self, inputs: Any, product: Any, before: States) -> States:
        _, update, _, candidate = self._gates(inputs, product)
        return (candidate + update * (before[0] - candidate),)

    def slopes(self, inputs: Any, product: Any, before: States, after: States) -> Any:  # noqa: ARG002
        recurrent, update, reset, candidate = self._gates(inputs, product)
        d_candidate = (1 - update) * (1 - tf.square(candidate))
        return tf.concat(
            [
                (before[0] - candidate) * update * (1 - update),
                d_candidate * recurrent * reset * (1 - reset),
                d_candidate * reset,
                d_candidate,
                update,
            ],
            axis=-1,
        )

    def d_product(self, d_output: States, slopes: Any) -> Any:
        (d_state,) = d_output
        return tf.concat([d_state] * 3, axis=-1) * slopes[..., : 3 * d_state.shape[-1]]

    def d_inputs(self, d_output: States, slopes: Any) -> Any:
        update, reset, _, candidate, _ = tf.split(slopes, 5, axis=-1)
        return tf.concat([d_output[0] * part for part in (update, reset, candidate)], axis=-1)

    def d_before(self, d_output: States, slopes: Any) -> States:
        (d_state,) = d_output
        return (d_state * slopes[..., 4 * d_state.shape[-1] :],)

    @staticmethod
    def _gates(inputs: Any, product: Any) -> tuple[Any, Any, Any, Any]:
        units = inputs.shape[-1] // 3
        both = tf.sigmoid(inputs[..., : 2 * units] + product[..., : 2 * units])
        update, reset = tf.split(both, 2, axis=-1)
        recurrent = product[..., 2 * units :]
        return recurrent, update, reset, tf.tanh(inputs[..., 2 * units :] + reset * recurrent)


class _Lstm(_SimpleRnn):
    """LSTM; its second carried tensor is the cell state.

    Slopes: of the cell state by i, f and c, of the state by o and by the cell state, and f itself.
    """

    carried = 2

    def step(self, inputs: Any, product: Any, before: States) -> States:
        i, f, candidate, o = self._gates(inputs, product)
        cell = f * before[1] + i * candidate
        return o * tf.tanh(cell), cell

    def slopes(self, inputs: Any, product: Any, before: States, after: States) -> Any:
        i, f, candidate, o = self._gates(inputs, product)
        squashed = tf.tanh(after[1])
        return tf.concat(
            [
                candidate * i * (1 - i),
                before[1] * f * (1 - f),
                i * (1 - tf.square(candidate)),
                squashed * o * (1 - o),
                o * (1 - tf.square(squashed)),
                f,
            ],
            axis=-1,
        )

    def d_output(self, d_state: Any, carried: States, slopes: Any) -> States:
        d_state = d_state + carried[0]
        units = d_state.shape[-1]
        return d_state, carried[1] + d_state * slopes[..., 4 * units : 5 * units]

    def d_product(self, d_output: States, slopes: Any) -> Any:
        d_state, d_cell = d_output
        sources = tf.concat([d_cell, d_cell, d_cell, d_state], axis=-1)
        return sources * slopes[..., : 4 * d_state.shape[-1]]

    def d_before(self, d_output: States, slopes: Any) -> States:
        d_state, d_cell = d_output
        return tf.zeros_like(d_state), d_cell * slopes[..., 5 * d_state.shape[-1] :]

    @staticmethod
    def _gates(inputs: Any, product: Any) -> tuple[Any, Any, Any, Any]:
        i, f, candidate, o = tf.split(inputs + product, 4, axis=-1)
        return tf.sigmoid(i), tf.sigmoid(f), tf.tanh(candidate), tf.sigmoid(o)


_CELLS: dict[Cell, _SimpleRnn] = {"rnn": _SimpleRnn(), "gru": _Gru(), "lstm": _Lstm()}


def _run(cell: _SimpleRnn, inputs: Any, kernel: Any, bias: Any, state_mask: Any) -> Any:
    """See `run`: the forward loop and its gradient."""
    units = kernel.shape[0]

    @tf.custom_gradient  # type: ignore[untyped-decorator]
    def states_of(inputs: Any, kernel: Any, bias: Any) -> tuple[Any, Callable[[Any], Any]]:
        def forward(step_inputs: States, before: States) -> tuple[States, States]:
            product = tf.nn.bias_add(tf.matmul(_masked(before[0], state_mask), kernel), bias)
            after = cell.step(step_inputs[0], product, before)
            return after, after

        after = _loop(forward, (inputs,), cell.carried, units)

        def gradient(d_states: Any) -> tuple[Any, Any, Any]:
            before = tuple(tf.concat([tf.zeros_like(a[:1]), a[:-1]], axis=0) for a in after)
            masked = tf.reshape(_masked(before[0], state_mask), (-1, units))
            product = tf.nn.bias_add(tf.matmul(masked, kernel), bias)
            slopes = cell.slopes(inputs, tf.reshape(product, tf.shape(inputs)), before, after)

            def backward(step_inputs: States, carried: States) -> tuple[States, States]:
                d_state, slopes = step_inputs
                d_output = cell.d_output(d_state, carried, slopes)
                through = tf.matmul(cell.d_product(d_output, slopes), kernel, transpose_b=True)
                state, *rest = cell.d_before(d_output, slopes)
                return (state + _masked(through, state_mask), *rest), d_output

            d_output = _loop(backward, (d_states, slopes), cell.carried, units, reverse=True)
            d_product = tf.reshape(cell.d_product(d_output, slopes), (-1, kernel.shape[1]))
            return (
                cell.d_inputs(d_output, slopes),
                tf.matmul(masked, d_product, transpose_a=True),
                tf.reduce_sum(d_product, axis=0),
            )

        return after[0], gradient

    return states_of(inputs, kernel, bias)


# TensorFlow keeps a gradient that is defined here, and with it the graph that it is traced in, for
# as long as the process lives: it is traced in a graph that every network shares.
_traced_run = tf.function(_run, autograph=False)


def _masked(states: Any, state_mask: Any) -> Any:
    return states if state_mask is None else states * state_mask


def _loop(
    step: Callable[[States, States], tuple[States, States]],
    inputs: States,
    carried: int,
    units: int,
    *,
    reverse: bool = False,
) -> States:
    """Runs the steps one after the other, the first with zeros from the step before.

    A step takes its inputs and the tensors carried from the previous one, and returns the tensors
    to carry on and the outputs: `carried` tensors each, `(batch, units)`. The inputs of all steps
    are `(steps, batch, …)`; the outputs are stacked in their order. With `reverse`, the last step
    comes first.
    """
    steps, batch = tf.unstack(tf.shape(inputs[0])[:2])
    sources = [tf.TensorArray(tf.float32, steps).unstack(tensor) for tensor in inputs]
    first = (tf.zeros((batch, units)),) * carried
    empty = tuple(
        tf.TensorArray(tf.float32, steps, element_shape=(None, units)) for _ in range(carried)
    )

    def body(number: Any, before: States, arrays: States) -> tuple[Any, States, States]:
        position = steps - 1 - number if reverse else number
        after, outputs = step(tuple(source.read(position) for source in sources), before)
        pairs = zip(arrays, outputs, strict=True)
        return number + 1, after, tuple(array.write(position, value) for array, value in pairs)

    _, _, arrays = tf.while_loop(
        lambda number, *_: number < steps,
        body,
        (tf.constant(0), first, empty),
        maximum_iterations=steps,
    )
    return tuple(array.stack() for array in arrays)


def _gru_reset_before(inputs: Any, kernel: Any, state_mask: Any) -> Any:
    """A GRU with its reset gate before the recurrent product; uses TensorFlow's gradient."""
    units = kernel.shape[0]

    def step(step_inputs: States, before: States) -> tuple[States, States]:
        (state,), (inputs,) = before, step_inputs
        masked = _masked(state, state_mask)
        product = tf.matmul(masked, kernel[:, : 2 * units])
        update, reset = tf.split(tf.sigmoid(inputs[:, : 2 * units] + product), 2, axis=1)
        recurrent = tf.matmul(reset * masked, kernel[:, 2 * units :])
        candidate = tf.tanh(inputs[:, 2 * units :] + recurrent)
        after = (candidate + update * (state - candidate),)
        return after, after

    return _loop(step, (inputs,), 1, units)[0]
