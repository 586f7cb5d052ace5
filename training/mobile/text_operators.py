"""A graph that has texts in it: the operators on strings that onnxruntime has built in.

Knows how they are written, and nothing of what is done with them.
"""

from collections.abc import Iterable, Mapping

import numpy as np
from gatewise.training.onnx_export.graph_builder import Graph
from gatewise.vocab.tokenizer.character_classes import class_of
from onnx import TensorProto

OPSET = 20
"""The ONNX opset written, the first with `StringConcat`: onnxruntime reads it since 1.17."""

_MICROSOFT, _CLASSICAL = "com.microsoft", "ai.onnx.ml"
DOMAINS = {_MICROSOFT: 1, _CLASSICAL: 3}
"""The operator sets beside ONNX's own, each with its version."""

BREAK = ""
"""The piece before each text, and after those with fewer pieces than others beside them."""


class TextGraph(Graph):
    """A graph in the making; every method returns the name of its result."""

    def cut(self, text: str, pattern: str) -> str:
        """What matches in each text, one text after the other in one row, each after a break.

        Of several matches at one place the longest is taken; what matches nothing is left out.

        Args:
            text: Strings, `(batch,)`.
            pattern: A regular expression, in RE2's syntax.
        """
        pieces = self.add(
            "Tokenizer",
            text,
            domain=_MICROSOFT,
            mark=0,
            mincharnum=1,
            pad_value=BREAK,
            tokenexp=pattern,
        )
        column = self.add("Concat", self.add("Shape", text), self.integers(1), axis=0)
        breaks = self.add("Expand", self.strings("break", [BREAK]), column)
        return self.add("Reshape", self.add("Concat", breaks, pieces, axis=1), self.integers(-1))

    def other_strings(self, keys: str, table: Mapping[str, str], default: str) -> str:
        """What a table has for each string, or the default."""
        return self.add(
            "LabelEncoder",
            keys,
            domain=_CLASSICAL,
            keys_strings=list(table),
            values_strings=list(table.values()),
            default_string=default,
        )

    def numbers(self, keys: str, table: Mapping[str, int], default: int) -> str:
        """The number that a table has for each string, or the default."""
        return self.add(
            "LabelEncoder",
            keys,
            domain=_CLASSICAL,
            keys_strings=list(table),
            values_int64s=list(table.values()),
            default_int64=default,
        )

    def strings(self, name: str, values: Iterable[str]) -> str:
        """Adds a constant of strings."""
        return self.constant(name, list(values), np.object_)

    def count(self, flags: str, axis: int = 0) -> str:
        """How many flags are set along an axis, each place itself included, int64."""
        ones = self.add("Cast", flags, to=TensorProto.INT64)
        return self.add("CumSum", ones, self.constant(f"axis_{axis}", axis, np.int64))

    def before(self, flags: str) -> str:
        """The flag of the place before, in one row; the first has none before it."""
        but_last = self.add("Slice", flags, self.integers(0), self.integers(-1))
        return self.add("Concat", self.no(), but_last, axis=0)

    def no(self) -> str:
        """One flag that is not set."""
        return self.constant("no", [False], np.bool_)

    def up_to(self, count: str) -> str:
        """The numbers from 0 up to a count, `(1,)`, which is not among them."""
        zero, one = (self.constant(f"step_{value}", value, np.int64) for value in (0, 1))
        return self.add("Range", zero, self.add("Squeeze", count), one)


def without(codes: Iterable[int]) -> str:
    r"""The class of every character but some.

    >>> without([0x30, 0x31])
    '[^\\x{30}-\\x{31}]'
    """
    return f"[^{class_of(codes)[1:-1]}]"
