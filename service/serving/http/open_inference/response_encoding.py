"""An answer of the Open Inference Protocol, written as the bytes of a body.

The format is that of the protocol's REST specification, version 2, and of its binary tensor data
extension (`gatewise.service.serving.http.open_inference.inference_schemas` names both): a JSON
object, and behind it the bytes of each tensor whose `binary_data_size` says so, in the order of
the JSON. Elements of FP32 are four bytes, little-endian; of BOOL one byte, 0 or 1; of BYTES a
length of four bytes, little-endian and without sign, and then as many bytes, here UTF-8. Knows no
route, no server and no model.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from gatewise.service.serving.http.open_inference.inference_schemas import Datatype, OutputName
from numpy.typing import NDArray

_LENGTH_BYTES = 4


@dataclass(frozen=True, slots=True)
class Tensor:
    """A tensor of an answer.

    Attributes:
        name: Its name.
        datatype: BYTES with `values` a list of strings; FP32 and BOOL with an array.
        shape: Its shape; the elements are in row-major order.
        values: Its elements.
    """

    name: OutputName
    datatype: Datatype
    shape: tuple[int, ...]
    values: Sequence[str] | NDArray[np.float32] | NDArray[np.bool_]


def encode(
    tensors: Sequence[Tensor],
    binary: Sequence[bool],
    model_name: str,
    model_version: str,
    id: str | None = None,  # noqa: A002 — the protocol's own name
) -> tuple[bytes, int | None]:
    """Writes an inference response.

    Args:
        tensors: The outputs, in the order of the answer.
        binary: Which of them are written as bytes.
        model_name: Which model has answered.
        model_version: Which version of it.
        id: The request's `id`; None if it had none.

    Returns:
        The body, and where in it the JSON ends if bytes follow; None if it is JSON alone.
    """
    outputs, parts = [], []
    for tensor, as_bytes in zip(tensors, binary, strict=True):
        head = {"name": tensor.name, "datatype": tensor.datatype, "shape": tensor.shape}
        if as_bytes:
            parts.append(_bytes(tensor))
            outputs.append(_json({**head, "parameters": {"binary_data_size": len(parts[-1])}}))
        else:
            outputs.append(f'{_json(head)[:-1]},"data":[{_elements(tensor)}]}}')
    told = {"model_name": model_name, "model_version": model_version}
    start = _json(told if id is None else {**told, "id": id})
    document = f'{start[:-1]},"outputs":[{",".join(outputs)}]}}'.encode()
    return document + b"".join(parts), len(document) if parts else None


def _bytes(tensor: Tensor) -> bytes:
    """The elements as the binary extension writes them."""
    if isinstance(tensor.values, np.ndarray):
        return tensor.values.astype("<f4" if tensor.datatype == "FP32" else "?").tobytes()
    elements = [text.encode() for text in tensor.values]
    return b"".join(len(each).to_bytes(_LENGTH_BYTES, "little") + each for each in elements)


def _elements(tensor: Tensor) -> str:
    """The elements as JSON, scores with the fewest decimals that are the same in 32 bits."""
    if not isinstance(tensor.values, np.ndarray):
        return _json(tensor.values)[1:-1]
    elements = ",".join(map(str, tensor.values.ravel()))
    return elements if tensor.datatype == "FP32" else elements.lower()


def _json(value: object) -> str:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))
