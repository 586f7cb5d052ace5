"""The weights of an encoder in ONNX, run by onnxruntime."""

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import numpy_helper

from gatewise.training.network import sentence_encoder
from gatewise.training.teacher.encoder_folder import EncoderFolder


class OnnxEncoder(sentence_encoder.OnnxEncoder):
    """See `gatewise.training.teacher.text_encoder.Weights`."""

    def __init__(self, folder: EncoderFolder) -> None:
        super().__init__(folder.path)
        self._file = folder.onnx

    def word_vectors(self) -> NDArray[np.float32] | None:
        """The vector of each token before the first layer, `(vocab, width)`.

        None if the graph does not look tokens up in a table of numbers, as where it is quantized.
        """
        graph = onnx.load(str(self._file)).graph
        tables = {node.input[0] for node in graph.node if list(node.input[1:]) == ["input_ids"]}
        for table in graph.initializer:
            if table.name in tables and len(table.dims) == 2:
                found = numpy_helper.to_array(table)
                if found.dtype.kind == "f":
                    return np.asarray(found, dtype=np.float32)
        return None
