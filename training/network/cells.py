"""What the recurrent cells compute over the steps of a batch of texts, and the gradients of it.

Inputs arrive already multiplied by the kernel, for every step at once, so that a step has only
the product with the state before it left to do. On the way back the same is done with everything
that does not wait for another step: the gates are computed anew, for all steps at once, and what
is left for each step is one product and a few sums. Of the way forward only the states are kept in
memory, where TensorFlow, left to derive the loop, keeps every gate of every step.

Knows neither layers nor directions nor the ends of texts: a state at a padded step depends on
nothing after it, and the caller leaves it out.

Gates stand side by side in the last axis, in Keras's order: z, r, h for GRU and i, f, c, o for
LSTM. A GRU with two biases applies its reset gate after the recurrent product, one with a single
bias before it.
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
    kept: tf.Tensor | None,
) -> tf.Tensor:
    """The state after each step, from a first state of zeros.

    Args:
        cell: Which cell.
        inputs: Inputs times kernel, with the bias added, `(steps, batch, gates x units)`.
        recurrent_kernel: `(units, gates x units)`.
        recurrent_bias: A GRU's second bias, `(gates x units,)`; None for none.
        kept: What each state is multiplied by on its way to the next step, `(batch, units)`;
            None for nothing.

    Returns:
        float32 `(steps, batch, units)`.
    """
    if cell == "gru" and recurrent_bias is None:
        return _gru_resetting_before(inputs, recurrent_kernel, kept)
    if recurrent_bias is None:
        recurrent_bias = tf.zeros(recurrent_kernel.shape[1])
    return _run(_CELLS[cell], inputs, recurrent_kernel, recurrent_bias, kept)


class _Plain:
    """The plain recurrent cell, and what every cell has to say of itself.

    `product` is the recurrent product, bias added. Where a method takes the states before and
    after, they are of one step, `(batch, units)`, or of all steps, `(steps, batch, units)`.
    """

    carried = 1
    """Tensors that one step gives to the next, the state first."""

    def step(self, inputs: Any, product: Any, before: States) -> States:  # noqa: ARG002
        """What a step makes of its inputs and of what it was given."""
        return (tf.tanh(inputs + product),)

    def slopes(self, inputs: Any, product: Any, before: States, after: States) -> Any:  # noqa: ARG002
        """The derivatives that the methods below multiply with, side by side in the last axis."""
        return 1 - tf.square(after[0])

    def totals(self, of_state: Any, carried: States, slopes: Any) -> States:  # noqa: ARG002
        """The loss by what a step gives on, from the loss by its state and by what came back."""
        return (of_state + carried[0],)

    def by_product(self, totals: States, slopes: Any) -> Any:
        """The loss by the recurrent product."""
        return totals[0] * slopes

    def by_inputs(self, totals: States, slopes: Any) -> Any:
        """The loss by the inputs."""
        return self.by_product(totals, slopes)

    def carry(self, totals: States, slopes: Any) -> States:  # noqa: ARG002
        """The loss by what a step was given, but for what goes through the product."""
        return (tf.zeros_like(totals[0]),)


class _Gru(_Plain):
    """Reset gate after the product: slopes of z, r, h by the product, h by its input, and z."""

    def step(self, inputs: Any, product: Any, before: States) -> States:
        _, update, _, candidate = self._gates(inputs, product)
        return (candidate + update * (before[0] - candidate),)

    def slopes(self, inputs: Any, product: Any, before: States, after: States) -> Any:  # noqa: ARG002
        remembered, update, reset, candidate = self._gates(inputs, product)
        by_candidate = (1 - update) * (1 - tf.square(candidate))
        return tf.concat(
            [
                (before[0] - candidate) * update * (1 - update),
                by_candidate * remembered * reset * (1 - reset),
                by_candidate * reset,
                by_candidate,
                update,
            ],
            axis=-1,
        )

    def by_product(self, totals: States, slopes: Any) -> Any:
        (by_state,) = totals
        return tf.concat([by_state] * 3, axis=-1) * slopes[..., : 3 * by_state.shape[-1]]

    def by_inputs(self, totals: States, slopes: Any) -> Any:
        update, reset, _, candidate, _ = tf.split(slopes, 5, axis=-1)
        return tf.concat([totals[0] * part for part in (update, reset, candidate)], axis=-1)

    def carry(self, totals: States, slopes: Any) -> States:
        (by_state,) = totals
        return (by_state * slopes[..., 4 * by_state.shape[-1] :],)

    @staticmethod
    def _gates(inputs: Any, product: Any) -> tuple[Any, Any, Any, Any]:
        units = inputs.shape[-1] // 3
        both = tf.sigmoid(inputs[..., : 2 * units] + product[..., : 2 * units])
        update, reset = tf.split(both, 2, axis=-1)
        remembered = product[..., 2 * units :]
        return remembered, update, reset, tf.tanh(inputs[..., 2 * units :] + reset * remembered)


class _Lstm(_Plain):
    """Slopes of i, f and c by the memory and of o by the state; memory by state; f."""

    carried = 2

    def step(self, inputs: Any, product: Any, before: States) -> States:
        written, kept, candidate, read = self._gates(inputs, product)
        memory = kept * before[1] + written * candidate
        return read * tf.tanh(memory), memory

    def slopes(self, inputs: Any, product: Any, before: States, after: States) -> Any:
        written, kept, candidate, read = self._gates(inputs, product)
        shown = tf.tanh(after[1])
        return tf.concat(
            [
                candidate * written * (1 - written),
                before[1] * kept * (1 - kept),
                written * (1 - tf.square(candidate)),
                shown * read * (1 - read),
                read * (1 - tf.square(shown)),
                kept,
            ],
            axis=-1,
        )

    def totals(self, of_state: Any, carried: States, slopes: Any) -> States:
        by_state = of_state + carried[0]
        units = by_state.shape[-1]
        return by_state, carried[1] + by_state * slopes[..., 4 * units : 5 * units]

    def by_product(self, totals: States, slopes: Any) -> Any:
        by_state, by_memory = totals
        sources = tf.concat([by_memory, by_memory, by_memory, by_state], axis=-1)
        return sources * slopes[..., : 4 * by_state.shape[-1]]

    def carry(self, totals: States, slopes: Any) -> States:
        by_state, by_memory = totals
        return tf.zeros_like(by_state), by_memory * slopes[..., 5 * by_state.shape[-1] :]

    @staticmethod
    def _gates(inputs: Any, product: Any) -> tuple[Any, Any, Any, Any]:
        written, kept, candidate, read = tf.split(inputs + product, 4, axis=-1)
        return tf.sigmoid(written), tf.sigmoid(kept), tf.tanh(candidate), tf.sigmoid(read)


_CELLS: dict[Cell, _Plain] = {"rnn": _Plain(), "gru": _Gru(), "lstm": _Lstm()}


def _run(cell: _Plain, inputs: Any, kernel: Any, bias: Any, kept: Any) -> Any:
    """See `run`; the loop and the loop back."""
    units = kernel.shape[0]

    @tf.custom_gradient  # type: ignore[untyped-decorator]
    def states_of(inputs: Any, kernel: Any, bias: Any) -> tuple[Any, Callable[[Any], Any]]:
        def forward(given: States, before: States) -> tuple[States, States]:
            product = tf.nn.bias_add(tf.matmul(_thinned(before[0], kept), kernel), bias)
            after = cell.step(given[0], product, before)
            return after, after

        after = _loop(forward, (inputs,), cell.carried, units)

        def gradient(of_states: Any) -> tuple[Any, Any, Any]:
            before = tuple(tf.concat([tf.zeros_like(a[:1]), a[:-1]], axis=0) for a in after)
            seen = tf.reshape(_thinned(before[0], kept), (-1, units))
            product = tf.nn.bias_add(tf.matmul(seen, kernel), bias)
            slopes = cell.slopes(inputs, tf.reshape(product, tf.shape(inputs)), before, after)

            def backward(given: States, carried: States) -> tuple[States, States]:
                of_state, slopes = given
                totals = cell.totals(of_state, carried, slopes)
                through = tf.matmul(cell.by_product(totals, slopes), kernel, transpose_b=True)
                state, *rest = cell.carry(totals, slopes)
                return (state + _thinned(through, kept), *rest), totals

            totals = _loop(backward, (of_states, slopes), cell.carried, units, reverse=True)
            by_product = tf.reshape(cell.by_product(totals, slopes), (-1, kernel.shape[1]))
            return (
                cell.by_inputs(totals, slopes),
                tf.matmul(seen, by_product, transpose_a=True),
                tf.reduce_sum(by_product, axis=0),
            )

        return after[0], gradient

    return states_of(inputs, kernel, bias)


def _thinned(states: Any, kept: Any) -> Any:
    return states if kept is None else states * kept


def _loop(
    step: Callable[[States, States], tuple[States, States]],
    given: States,
    carried: int,
    units: int,
    *,
    reverse: bool = False,
) -> States:
    """One step after the other, the first with zeros from before it.

    Args:
        step: From what a step is given, and what the one before gave it, to what it gives the
            next and what it leaves; both are `carried` tensors, each `(batch, units)`.
        given: Tensors with the steps in the first axis and the batch in the second.
        carried: See `step`.
        units: See `step`.
        reverse: Whether the last step comes first.

    Returns:
        What the steps leave, stacked in the order of `given`.
    """
    steps, batch = tf.unstack(tf.shape(given[0])[:2])
    sources = [tf.TensorArray(tf.float32, steps).unstack(tensor) for tensor in given]
    first = (tf.zeros((batch, units)),) * carried
    empty = tuple(
        tf.TensorArray(tf.float32, steps, element_shape=(None, units)) for _ in range(carried)
    )

    def body(number: Any, before: States, left: States) -> tuple[Any, States, States]:
        place = steps - 1 - number if reverse else number
        after, leaving = step(tuple(source.read(place) for source in sources), before)
        pairs = zip(left, leaving, strict=True)
        return number + 1, after, tuple(array.write(place, value) for array, value in pairs)

    _, _, left = tf.while_loop(
        lambda number, *_: number < steps,
        body,
        (tf.constant(0), first, empty),
        maximum_iterations=steps,
    )
    return tuple(array.stack() for array in left)


def _gru_resetting_before(inputs: Any, kernel: Any, kept: Any) -> Any:
    """A GRU whose reset gate comes before the recurrent product; TensorFlow derives it."""
    units = kernel.shape[0]

    def step(given: States, before: States) -> tuple[States, States]:
        (state,), (inputs,) = before, given
        seen = _thinned(state, kept)
        product = tf.matmul(seen, kernel[:, : 2 * units])
        update, reset = tf.split(tf.sigmoid(inputs[:, : 2 * units] + product), 2, axis=1)
        remembered = tf.matmul(reset * seen, kernel[:, 2 * units :])
        candidate = tf.tanh(inputs[:, 2 * units :] + remembered)
        after = (candidate + update * (state - candidate),)
        return after, after

    return _loop(step, (inputs,), 1, units)[0]
