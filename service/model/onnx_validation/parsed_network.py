"""A network as it is known before it is run: its operations, its constants, its values.

Owns the words that the reader of files and the rules of operators have in common.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

OPSET = 17
"""The ONNX opset of every network: the newest that onnxruntime has read since version 1.12."""

IR_VERSION = 8
"""The version of the ONNX file format of every network, of the same age."""

MOST_DIMENSIONS = 8

INPUTS = ("attention_mask", "input_ids")
OUTPUT = "logits"

TOKEN, STATE, NEXT = "input_ids", "state.", "next."
"""The token of a network that reads one at a time, and what the names of its states begin with:
those before the token, and those after it."""

BATCH = "batch"
"""What stands for any number of texts in the shape of an input."""

TYPES: Mapping[int, np.dtype[Any]] = {
    1: np.dtype(np.float32),
    2: np.dtype(np.uint8),
    3: np.dtype(np.int8),
    6: np.dtype(np.int32),
    7: np.dtype(np.int64),
    9: np.dtype(np.bool_),
    10: np.dtype(np.float16),
}
"""The types of numbers that a network may hold, by their code in ONNX."""

Attribute = int | str | tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Value:
    """A constant of a network.

    Attributes:
        type: The type of its numbers.
        shape: Its dimensions.
        integers: Its numbers, where they are few integers.
    """

    type: np.dtype[Any]
    shape: tuple[int, ...]
    integers: tuple[int, ...] | None = None

    @property
    def size(self) -> int:
        """How many numbers it holds."""
        return math.prod(self.shape)

    @property
    def bytes(self) -> int:
        """How much memory it takes."""
        return self.size * self.type.itemsize


@dataclass(frozen=True, slots=True)
class Node:
    """One operation of a network.

    Attributes:
        operator: Its type, such as `Gather`.
        name: Its name, for messages.
        inputs: The names of the values that it takes.
        outputs: The names of the values that it gives.
        attributes: Its settings.
    """

    operator: str
    name: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    attributes: Mapping[str, Attribute]


@dataclass(frozen=True, slots=True)
class Ends:
    """What goes into a network and what comes out of it.

    Attributes:
        inputs: The type of each input by its name.
        outputs: The type of each output by its name.
        classes: Logits of a text; None where the file does not say.
    """

    inputs: Mapping[str, np.dtype[Any]]
    outputs: Mapping[str, np.dtype[Any]]
    classes: int | None = None


@dataclass(frozen=True, slots=True)
class ParsedNetwork:
    """From the inputs to the logits.

    Attributes:
        nodes: The operations, each after those whose results it takes.
        constants: The weights and other constants by name.
        ends: Its inputs and outputs.
    """

    nodes: tuple[Node, ...]
    constants: Mapping[str, Value]
    ends: Ends

    @property
    def operators(self) -> frozenset[str]:
        """The types of the operations."""
        return frozenset(node.operator for node in self.nodes)
