"""The weights of an encoder in ONNX, run by onnxruntime."""

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import numpy_helper

from gatewise.training.network import sentence_encoder
from gatewise.training.teacher.encoder_folder import EncoderFolder
from gatewise.training.teacher.teacher import TeacherError
from gatewise.vocab.errors import first_line


class OnnxEncoder:
    """An encoder in ONNX; `per_token` if it has a vector for every token of a text."""

    def __init__(self, folder: EncoderFolder) -> None:
        self._path, self._file = folder.path, folder.onnx
        self._session, self._output = sentence_encoder.open_encoder(folder.path)
        self._names = [value.name for value in self._session.get_inputs()]
        self.per_token = self._output in sentence_encoder.TOKEN_OUTPUTS

    def run(self, inputs: dict[str, NDArray[np.int64]]) -> NDArray[np.float32]:
        """The state of each token, `(texts, tokens, width)`, or the vector of each text."""
        given = {name: inputs[name] for name in self._names}
        try:
            (output,) = self._session.run([self._output], given)
        except Exception as error:  # onnxruntime's own classes derive from Exception alone
            raise TeacherError(f"{self._path}: the encoder fails: {first_line(error)}") from None
        shape = inputs["input_ids"].shape if self.per_token else inputs["input_ids"].shape[:1]
        if output.ndim != len(shape) + 1 or output.shape[:-1] != shape:
            raise TeacherError(
                f"{self._path}: expected the encoder to return a vector for each text or token, "
                f"received the shape {output.shape} for {shape[0]} texts"
            )
        found: NDArray[np.float32] = output.astype(np.float32)
        return found

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
