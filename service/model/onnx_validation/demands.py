"""What a network asks for before it is run: memory and work, for a short text and a full batch.

Owns the bounds. A network of operators that neither loop nor choose sizes by what they read takes
what its shapes say, so one that would fill the memory or run for hours is known by them. Knows
neither files nor the runtime.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from gatewise.service.model.errors import NetworkError
from gatewise.service.model.onnx_validation.operator_allowlist import results, steps, workspace
from gatewise.service.model.onnx_validation.parsed_network import (
    INPUTS,
    NEXT,
    OUTPUT,
    STATE,
    TOKEN,
    Node,
    ParsedNetwork,
    Value,
)
from gatewise.service.model.onnx_validation.shapes import Results

FULL_BATCH_TEXTS = 64
FULL_BATCH_TOKENS = 8192
"""The bounds of a batch: texts, and tokens of them all with their padding."""

_INT64, _FLOAT = np.dtype(np.int64), np.dtype(np.float32)
_MIB = 2**20

# A classifier uses each weight about once a token, and its values take some kilobytes a token:
# networks of any size that can be trained stay well below these, and below the bound on memory.
_BYTES, _BYTES_OF_TOKEN, _MOST_BYTES = 64 * _MIB, _MIB // 2, 8192 * _MIB
_STEPS, _STEPS_OF_TOKEN = 10**8, 10**6
_TIMES_THE_WEIGHTS = 16


@dataclass(frozen=True, slots=True)
class Demands:
    """What a network asks for, at the most.

    Attributes:
        bytes: Memory of all values together, the weights not counted.
        steps: Steps of arithmetic.
        logits: What it gives.
    """

    bytes: int
    steps: int
    logits: Value


def check(network: ParsedNetwork, classes: int, max_length: int) -> None:
    """Refuses a network that is no classifier, or asks for more than one of its size has use for.

    It is looked at with a short text, with a full batch, and with the longest text.

    Args:
        network: The network.
        classes: The logits of a text.
        max_length: Tokens of the longest text that it is asked about.

    Raises:
        NetworkError: If it asks for too much, cannot answer, or answers something else.
    """
    for texts, tokens in (
        (2, 2),
        (FULL_BATCH_TEXTS, FULL_BATCH_TOKENS // FULL_BATCH_TEXTS),
        (lone_rows(network.operators), max(FULL_BATCH_TOKENS, max_length)),
    ):
        asked = of(network, texts, tokens)
        _check(network, asked, classes, (texts, tokens))


def check_step(network: ParsedNetwork, classes: int) -> None:
    """Refuses a network that asks for more than it has use for to read one token of one text.

    Args:
        network: A network that reads one token at a time.
        classes: The logits of a text.

    Raises:
        NetworkError: If it asks for too much, cannot answer, answers something else, or gives
            another state than it takes.
    """
    inputs = {TOKEN: Value(_INT64, (1,)), **network.states}
    asked, values = _of(network, inputs)
    for name, value in network.states.items():
        after = values.get(NEXT + name.removeprefix(STATE))
        if after is None or (after.type, after.shape) != (value.type, value.shape):
            raise NetworkError(f"the state after a token is no such {name} as before it")
    _check(network, asked, classes, (1, 1))


def _check(network: ParsedNetwork, asked: Demands, classes: int, batch: tuple[int, int]) -> None:
    constants = network.constants.values()
    own_bytes = sum(value.bytes for value in constants)
    own_numbers = sum(value.size for value in constants)
    texts, tokens = batch
    read = texts * tokens
    if asked.logits != Value(_FLOAT, (texts, classes)):
        raise NetworkError(
            f"expected logits of shape {(texts, classes)} and 32-bit floats, it gives "
            f"{asked.logits.shape} and {asked.logits.type}"
        )
    memory = min(_BYTES + read * _BYTES_OF_TOKEN, _MOST_BYTES) + _TIMES_THE_WEIGHTS * own_bytes
    work = _STEPS + read * (_STEPS_OF_TOKEN + _TIMES_THE_WEIGHTS * own_numbers)
    for found, most, unit, what in (
        (asked.bytes, memory, _MIB, "MiB of memory"),
        (asked.steps, work, 10**6, "million steps"),
    ):
        if found > most:
            raise NetworkError(
                f"to read {texts} x {tokens} tokens it takes {found // unit} {what}, expected "
                f"at most {most // unit} of a network of its size"
            )


def lone_rows(operators: Iterable[str]) -> int:
    """How many times a lone text is put into a batch.

    onnxruntime's RNN, unlike its GRU and LSTM, multiplies a lone row by another kernel, whose last
    bits differ: such a row is sent twice.

    Args:
        operators: The types of the network's operators.
    """
    return 2 if "RNN" in operators else 1


def of(network: ParsedNetwork, texts: int, tokens: int) -> Demands:
    """What a network asks for to answer a batch.

    Args:
        network: The network.
        texts: Texts in the batch.
        tokens: Tokens of each.

    Raises:
        NetworkError: See `traced`.
    """
    inputs = dict.fromkeys(INPUTS, Value(_INT64, (texts, tokens)))
    demands, _ = _of(network, inputs)
    return demands


def _of(network: ParsedNetwork, inputs: Mapping[str, Value]) -> tuple[Demands, Mapping[str, Value]]:
    """What a network asks for, and what its nodes give."""
    memory = work = 0
    values: dict[str, Value] = {}
    for node, taken, outputs in traced(network, inputs):
        memory += sum(value.bytes for value in outputs) + workspace(node, taken)
        work += steps(node, taken, outputs)
        values.update(zip(node.outputs, outputs, strict=True))
    if OUTPUT not in values:
        raise NetworkError(f"nothing gives its output {OUTPUT}")
    return Demands(memory, work, values[OUTPUT]), values


def traced(
    network: ParsedNetwork, inputs: Mapping[str, Value]
) -> Iterator[tuple[Node, Sequence[Value], Results]]:
    """Every node of a network with what it takes and gives when it answers a batch.

    Args:
        network: The network.
        inputs: The batch.

    Raises:
        NetworkError: If it cannot answer such a batch: an operator is not admitted, takes what
            nothing before it gives, or makes no sense of its shape.
    """
    values = {**network.constants}
    for name, value in inputs.items():
        _add(values, name, value)
    for node in network.nodes:
        if missing := [name for name in node.inputs if name not in values]:
            raise NetworkError(f"{node.operator} {node.name}: nothing before it gives {missing[0]}")
        taken = [values[name] for name in node.inputs]
        outputs = results(node, taken)
        for name, value in zip(node.outputs, outputs, strict=True):
            _add(values, name, value)
        yield node, taken, outputs


def _add(values: dict[str, Value], name: str, value: Value) -> None:
    if name in values:
        raise NetworkError(f"two values are called {name}")
    values[name] = value
