"""How large a result is: the shapes that operators make of the shapes they are given.

One function a rule, each from a node and its inputs to its outputs, by the definitions of opset 17
(https://onnx.ai/onnx/operators/), of which it admits no more than networks of Gatewise use. A size
that depends on numbers is known only where these are constant, or come of a shape; else the node is
refused, and so is what would stop a process: dividing integers by zero. Knows no operator's name.
"""

from collections.abc import Sequence
from dataclasses import replace
from math import prod

import numpy as np
from gatewise.service.model.errors import NetworkError
from gatewise.service.model.onnx_validation.parsed_network import TYPES, Node, Value

Values = Sequence[Value]
Results = tuple[Value, ...]

_BOOL, _INT64 = np.dtype(np.bool_), np.dtype(np.int64)


def elementwise(node: Node, inputs: Values) -> Results:
    """Number by number, of inputs of one type."""
    return (Value(inputs[0].type, _broadcast(node, inputs)),)


def comparison(node: Node, inputs: Values) -> Results:
    """Number by number, true or false."""
    return (Value(_BOOL, _broadcast(node, inputs)),)


def choice(node: Node, inputs: Values) -> Results:
    """Number by number of the second or the third input, as the first says."""
    return (Value(inputs[1].type, _broadcast(node, inputs)),)


def quotient(node: Node, inputs: Values) -> Results:
    """Number by number; of integers by what is known not to be zero, for that stops a process."""
    if any(value.type.kind != "f" for value in inputs):
        return remainder(node, inputs)
    return elementwise(node, inputs)


def remainder(node: Node, inputs: Values) -> Results:
    """Number by number, of integers and a divisor that is known not to be zero."""
    divisors = inputs[1].integers
    if divisors is None or min(divisors) < 1:
        raise refused(node, "expected a constant above zero to divide by")
    return elementwise(node, inputs)


def same(_: Node, inputs: Values) -> Results:
    """The input as it is."""
    return (inputs[0],)


def typed(node: Node, inputs: Values) -> Results:
    """The input in another type of numbers."""
    code = _integer(node, "to")
    if code not in TYPES:
        raise refused(node, "a type of numbers that has no use here")
    return (Value(TYPES[code], inputs[0].shape),)


def gathered(node: Node, inputs: Values) -> Results:
    """Rows of a table, one for each place."""
    table, places = inputs
    axis = _axis(node, _integer(node, "axis", 0), len(table.shape))
    return (Value(table.type, table.shape[:axis] + places.shape + table.shape[axis + 1 :]),)


def shape(_: Node, inputs: Values) -> Results:
    """The dimensions of the input, as numbers."""
    return (Value(_INT64, (len(inputs[0].shape),), inputs[0].shape),)


def transposed(node: Node, inputs: Values) -> Results:
    """The input with its axes in another order."""
    old, order = inputs[0].shape, node.attributes.get("perm")
    if not isinstance(order, tuple) or sorted(order) != list(range(len(old))):
        raise refused(node, f"expected an order of {len(old)} axes as perm")
    return (Value(inputs[0].type, tuple(old[axis] for axis in order)),)


def reshaped(node: Node, inputs: Values) -> Results:
    """The input in a shape that is told; 0 keeps a dimension, and -1 is what is left."""
    old, told = inputs[0].shape, _known(node, inputs[1])
    new = [old[axis] if size == 0 and axis < len(old) else size for axis, size in enumerate(told)]
    if new.count(-1) == 1:
        rest = prod(size for size in new if size != -1)
        new[new.index(-1)] = prod(old) // rest if rest else -1
    if min(new, default=1) < 0 or prod(new) != prod(old):
        raise refused(node, f"the shape {old} cannot become {told}")
    return (Value(inputs[0].type, tuple(new)),)


def unsqueezed(node: Node, inputs: Values) -> Results:
    """The input with axes of one number put in."""
    old, axes = inputs[0].shape, _known(node, inputs[1])
    rank = len(old) + len(axes)
    added, rest = _axes(node, axes, rank), iter(old)
    return (Value(inputs[0].type, tuple(1 if at in added else next(rest) for at in range(rank))),)


def joined(node: Node, inputs: Values) -> Results:
    """The inputs side by side along an axis."""
    first = inputs[0].shape
    axis = _axis(node, _integer(node, "axis"), len(first))
    around = first[:axis], first[axis + 1 :]
    if any((value.shape[:axis], value.shape[axis + 1 :]) != around for value in inputs):
        raise refused(node, "the shapes do not fit each other")
    size = sum(value.shape[axis] for value in inputs)
    return (Value(inputs[0].type, (*around[0], size, *around[1])),)


def sliced(node: Node, inputs: Values) -> Results:
    """The part of the input between a start and an end, along some axes."""
    data = inputs[0]
    starts, ends, axes = (_known(node, value) for value in inputs[1:])
    if not len(starts) == len(ends) == len(axes):
        raise refused(node, "expected a start and an end for each axis")
    new, integers = list(data.shape), data.integers if len(data.shape) == 1 else None
    for axis, start, end in zip(_axes(node, axes, len(new)), starts, ends, strict=True):
        first, last, _ = slice(start, end).indices(new[axis])
        new[axis] = max(0, last - first)
        integers = integers and integers[start:end]
    return (Value(data.type, tuple(new), integers),)


def padded(node: Node, inputs: Values) -> Results:
    """The input with zeros put before and behind it."""
    old, pads = inputs[0].shape, _known(node, inputs[1])
    if len(pads) != 2 * len(old) or min(pads, default=0) < 0:
        raise refused(node, "expected a number of zero or more for both ends of each axis")
    sides = zip(old, pads[: len(old)], pads[len(old) :], strict=True)
    return (Value(inputs[0].type, tuple(map(sum, sides))),)


def largest(node: Node, inputs: Values) -> Results:
    """The largest numbers along an axis, as many as are told, and their places."""
    old, told = inputs[0].shape, _known(node, inputs[1])
    axis = _axis(node, _integer(node, "axis", -1), len(old))
    if len(told) != 1 or not 0 <= told[0] <= old[axis]:
        raise refused(node, f"expected no more than the {old[axis]} that there are")
    new = (*old[:axis], told[0], *old[axis + 1 :])
    return Value(inputs[0].type, new), Value(_INT64, new)


def reduced(node: Node, inputs: Values) -> Results:
    """One number of all those along some axes, or along all if none is named."""
    old = inputs[0].shape
    axes = _known(node, inputs[1]) if len(inputs) == 2 else node.attributes.get("axes", ())
    if not isinstance(axes, tuple):
        raise refused(node, "expected a list of axes")
    gone = _axes(node, axes or range(len(old)), len(old))
    new = [1 if axis in gone else size for axis, size in enumerate(old)]
    if not _flag(node, "keepdims", 1):
        new = [size for axis, size in enumerate(old) if axis not in gone]
    return (Value(inputs[0].type, tuple(new)),)


def product(node: Node, inputs: Values) -> Results:
    """Rows of the input multiplied by a matrix."""
    left, right = inputs[0].shape, inputs[1].shape
    if len(left) < 2 or len(right) != 2 or left[-1] != right[0]:
        raise refused(node, f"the shapes {left} and {right} do not fit each other")
    return (Value(inputs[0].type, (*left[:-1], right[1])),)


def linear(node: Node, inputs: Values) -> Results:
    """A matrix multiplied by another, and a third input added."""
    (result,) = product(node, inputs)
    if len(result.shape) != 2 or _broadcast(node, (result, inputs[2])) != result.shape:
        raise refused(node, "the shapes do not fit each other")
    return (result,)


def recurrent(gates: int, states: int, node: Node, inputs: Values) -> Results:
    """Every state of a recurrent layer, and the last ones.

    Args:
        gates: How many matrices a unit has.
        states: How many numbers a unit carries on.
        node: The node.
        inputs: What is read, the kernel, the recurrent kernel, the bias and the lengths; then
            nothing, or the states that it goes on from.
    """
    given, *weights = (value.shape for value in inputs)
    ways = {"forward": 1, "reverse": 1, "bidirectional": 2}
    directions = ways.get(str(node.attributes.get("direction", "forward")), 0)
    units = _integer(node, "hidden_size")
    _flag(node, "linear_before_reset", 0)
    expected = [
        (directions, gates * units, given[-1] if given else 0),
        (directions, gates * units, units),
        (directions, 2 * gates * units),
        given[1:2],
    ]
    if len(weights) > len(expected):
        expected += [(directions, *given[1:2], units)] * states
    if len(given) != 3 or weights != expected:
        raise refused(node, f"the shapes of its weights do not fit {units} units")
    steps, texts, _ = given
    every = Value(inputs[0].type, (steps, directions, texts, units))
    return every, *[replace(every, shape=every.shape[1:])] * states


def refused(node: Node, reason: str) -> NetworkError:
    """What is wrong with a node."""
    name = f" {node.name}" if node.name else ""
    return NetworkError(f"{node.operator}{name}: {reason}")


def _integer(node: Node, key: str, default: int | None = None) -> int:
    value = node.attributes.get(key, default)
    if not isinstance(value, int):
        raise refused(node, f"expected an integer as {key}")
    return value


def _flag(node: Node, key: str, default: int) -> bool:
    value = _integer(node, key, default)
    if value not in (0, 1):
        raise refused(node, f"expected {key} to be 0 or 1, found {value}")
    return bool(value)


def _known(node: Node, value: Value) -> tuple[int, ...]:
    if value.integers is None or len(value.shape) != 1:
        raise refused(node, "the size of its result depends on numbers that are not constant")
    return value.integers


def _axis(node: Node, axis: int, rank: int) -> int:
    if not -rank <= axis < rank:
        raise refused(node, f"there is no axis {axis} among {rank}")
    return axis % rank


def _axes(node: Node, axes: Sequence[int], rank: int) -> list[int]:
    found = [_axis(node, axis, rank) for axis in axes]
    if len(set(found)) < len(found):
        raise refused(node, "it names an axis twice")
    return found


def _broadcast(node: Node, inputs: Values) -> tuple[int, ...]:
    rank = max(len(value.shape) for value in inputs)
    aligned = [(1,) * (rank - len(value.shape)) + value.shape for value in inputs]
    new = []
    for sizes in zip(*aligned, strict=True):
        others = set(sizes) - {1}
        if len(others) > 1:
            told = " and ".join(str(value.shape) for value in inputs[:3])
            raise refused(node, f"the shapes {told} do not fit each other")
        new.append(others.pop() if others else 1)
    return tuple(new)
