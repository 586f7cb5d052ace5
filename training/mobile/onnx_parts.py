"""An ONNX network whose weights and nodes can be read and changed, and the names of its weights.

The names are those of `gatewise.training.onnx_export.keras_to_onnx`.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import numpy_helper

from gatewise.training.onnx_export.graph_builder import replace_nodes

EMBEDDING = "embedding.weight"
FIRST_KERNEL = "recurrent_0.W"
NGRAMS = "ngrams.weight"
IDF = "ngrams.idf"
NGRAM_KERNEL = "ngrams.kernel"

Weights = NDArray[np.float32]


@dataclass
class OnnxParts:
    """A network as a mapping from names to weights; it is changed in place."""

    model: onnx.ModelProto
    _indices: dict[str, int] = field(init=False)

    def __post_init__(self) -> None:
        constants = self.model.graph.initializer
        self._indices = {constant.name: index for index, constant in enumerate(constants)}

    @classmethod
    def copy_of(cls, model: onnx.ModelProto) -> "OnnxParts":
        """The parts of a copy of a network."""
        copied = onnx.ModelProto()
        copied.CopyFrom(model)
        return cls(copied)

    def __iter__(self) -> Iterator[str]:
        return iter(self._indices)

    def __contains__(self, name: str) -> bool:
        return name in self._indices

    def __getitem__(self, name: str) -> Weights:
        constants = self.model.graph.initializer
        value: Weights = numpy_helper.to_array(constants[self._indices[name]])
        return value

    def __setitem__(self, name: str, value: NDArray[np.generic]) -> None:
        constants = self.model.graph.initializer
        proto = numpy_helper.from_array(np.ascontiguousarray(value), name)
        if name in self:
            constants[self._indices[name]].CopyFrom(proto)
        else:
            self._indices[name] = len(constants)
            constants.append(proto)

    def lookups(self, *names: str) -> list[onnx.NodeProto]:
        """The nodes that look up rows of these tables."""
        nodes = self.model.graph.node
        return [node for node in nodes if node.op_type == "Gather" and node.input[0] in names]

    def insert(self, index: int, nodes: Sequence[onnx.NodeProto]) -> None:
        """Inserts nodes before the node at an index."""
        graph = self.model.graph
        replace_nodes(graph, [*graph.node[:index], *nodes, *graph.node[index:]])
