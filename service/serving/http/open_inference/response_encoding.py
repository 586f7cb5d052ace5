"""Encoding of an inference response as the bytes of an HTTP body.

The body is a JSON object, followed by the bytes of each tensor that has a `binary_data_size`, in
the order of the JSON. An FP32 element is four bytes, little-endian; a BOOL element is one byte, 0
or 1; a BYTES element is its length as four bytes, little-endian and unsigned, followed by that
many bytes of UTF-8. Source: the specifications that
`gatewise.service.serving.http.open_inference.inference_schemas` names.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from gatewise.service.serving.http.open_inference.inference_schemas import Datatype, OutputName

_LENGTH_BYTES = 4


@dataclass(frozen=True, slots=True)
class Tensor:
    """An output tensor.

    Attributes:
        name: Its name.
        datatype: BYTES if `values` is a list of strings; FP32 or BOOL if it is an array.
        shape: Its shape.
        values: Its elements, in row-major order.
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
    """Encodes an inference response.

    Args:
        tensors: The outputs, in order.
        binary: Whether each output is sent as bytes after the JSON.
        model_name: The model that answered.
        model_version: Its version.
        id: The `id` of the request, if it has one.

    Returns:
        The body, and the length of its JSON; None if the body is only JSON.
    """
    outputs, parts = [], []
    for tensor, as_bytes in zip(tensors, binary, strict=True):
        head = {"name": tensor.name, "datatype": tensor.datatype, "shape": tensor.shape}
        if as_bytes:
            parts.append(_to_bytes(tensor))
            outputs.append(_to_json({**head, "parameters": {"binary_data_size": len(parts[-1])}}))
        else:
            outputs.append(f'{_to_json(head)[:-1]},"data":[{_json_elements(tensor)}]}}')
    model = {"model_name": model_name, "model_version": model_version}
    start = _to_json(model if id is None else {**model, "id": id})
    document = f'{start[:-1]},"outputs":[{",".join(outputs)}]}}'.encode()
    return document + b"".join(parts), len(document) if parts else None


def _to_bytes(tensor: Tensor) -> bytes:
    if isinstance(tensor.values, np.ndarray):
        return tensor.values.astype("<f4" if tensor.datatype == "FP32" else "?").tobytes()
    elements = [text.encode() for text in tensor.values]
    return b"".join(len(each).to_bytes(_LENGTH_BYTES, "little") + each for each in elements)


def _json_elements(tensor: Tensor) -> str:
    """Returns the elements as JSON; a score has the fewest decimals that give the same float32."""
    if not isinstance(tensor.values, np.ndarray):
        return _to_json(tensor.values)[1:-1]
    elements = ",".join(map(str, tensor.values.ravel()))
    return elements if tensor.datatype == "FP32" else elements.lower()


def _to_json(value: object) -> str:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))
