"""The parts of an ONNX network that are changed to make it smaller: its constants and its nodes.

Knows the names that `gatewise.training.onnx_export.keras_to_onnx` gives to the constants, and
nothing of what is done to them.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np
import onnx
from gatewise.training.onnx_export.graph_builder import replace_nodes
from numpy.typing import NDArray
from onnx import numpy_helper

EMBEDDING = "embedding.weight"
FIRST_KERNEL = "recurrent_0.W"
NGRAMS = "ngrams.weight"
IDF = "ngrams.idf"
NGRAM_KERNEL = "ngrams.kernel"

Weights = NDArray[np.float32]


@dataclass
class OnnxParts:
    """A network that can be looked into and changed, constant by constant.

    Attributes:
        model: The network. It is changed in place: give it a copy.
    """

    model: onnx.ModelProto
    _places: dict[str, int] = field(init=False)

    def __post_init__(self) -> None:
        constants = self.model.graph.initializer
        self._places = {constant.name: place for place, constant in enumerate(constants)}

    @classmethod
    def copy_of(cls, model: onnx.ModelProto) -> "OnnxParts":
        """A network to be changed, of a model that stays."""
        copied = onnx.ModelProto()
        copied.CopyFrom(model)
        return cls(copied)

    def __iter__(self) -> Iterator[str]:
        return iter(self._places)

    def __contains__(self, name: str) -> bool:
        return name in self._places

    def __getitem__(self, name: str) -> Weights:
        constants = self.model.graph.initializer
        value: Weights = numpy_helper.to_array(constants[self._places[name]])
        return value

    def __setitem__(self, name: str, value: NDArray[np.generic]) -> None:
        constants = self.model.graph.initializer
        proto = numpy_helper.from_array(np.ascontiguousarray(value), name)
        if name in self:
            constants[self._places[name]].CopyFrom(proto)
        else:
            self._places[name] = len(constants)
            constants.append(proto)

    def lookups(self, *names: str) -> list[onnx.NodeProto]:
        """The nodes that look something up in these tables."""
        nodes = self.model.graph.node
        return [node for node in nodes if node.op_type == "Gather" and node.input[0] in names]

    def insert(self, place: int, nodes: Sequence[onnx.NodeProto]) -> None:
        """Puts nodes before the one that stands at a place."""
        graph = self.model.graph
        replace_nodes(graph, [*graph.node[:place], *nodes, *graph.node[place:]])
