"""Decoding and validation of an inference request from the bytes of an HTTP body.

The body is a JSON object, followed by the bytes of each tensor that has a `binary_data_size`, in
the order of the JSON; the header `Inference-Header-Content-Length` then holds the length of the
JSON. A BYTES element is its length as four bytes, little-endian and unsigned, followed by that
many bytes of UTF-8. Source: the specifications that
`gatewise.service.serving.http.open_inference.inference_schemas` names.

Every length is checked against the bytes received, and texts are counted before they are decoded.
"""

import base64
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from gatewise.service.model.scores import ScoreFunction
from gatewise.service.serving.http.open_inference.inference_schemas import (
    DEFAULT_OUTPUTS,
    InferInput,
    InferInputParameters,
    InferOutputParameters,
    InferParameters,
    InferRequest,
    OutputName,
)
from gatewise.service.serving.http.protocol import request_body
from gatewise.service.serving.http.protocol.problems import (
    INVALID_INFERENCE,
    ProblemError,
    pointer,
)

_LENGTH_BYTES = 4
_MAX_VALUE_CHARACTERS = 50
"""The most characters of a header's value that a message shows."""
_INPUT = ("inputs", 0)
_DATA = (*_INPUT, "data")
_ELEMENT = "expected a text, or with the shape [n, 1] a list of one text"


class InferFormatError(ProblemError):
    """The body is not a valid inference request; the message says where."""

    def __init__(self, detail: str) -> None:
        super().__init__(INVALID_INFERENCE, detail)


@dataclass(frozen=True, slots=True)
class RequestedOutput:
    """A requested output, and whether it is sent as bytes."""

    name: OutputName
    binary: bool


@dataclass(frozen=True, slots=True)
class DecodedRequest:
    """A decoded inference request."""

    texts: list[str]  # at least one
    # The shape of the input tensor: `(n,)` or `(n, 1)`.
    shape: tuple[int, ...]
    outputs: tuple[RequestedOutput, ...]  # the requested outputs, in order
    id: str | None = None  # the id that the response repeats, if any
    # The number of labels per text; None for the best only.
    top_k: int | None = None
    # The score function; None for the model's own.
    function_to_apply: ScoreFunction | None = None
    # The model and the version that the body names, if any.
    model_name: str | None = None
    model_version: str | None = None


def decode(body: bytes, header_length: str | None, max_texts: int) -> DecodedRequest:
    """Decodes an inference request."""
    end = len(body) if header_length is None else _json_length(header_length, len(body))
    request = _parse_json(body[:end])
    tensor = request.inputs[0]
    shape = _checked_shape(tensor, max_texts)
    if (tensor.parameters or InferInputParameters()).binary_data_size is None:
        texts = _json_texts(tensor, shape)
        if end < len(body):
            raise _error_at(
                _INPUT,
                f"expected binary_data_size for the {len(body) - end} bytes after the JSON object",
            )
    else:
        texts = _binary_texts(tensor, shape, body[end:])
    parameters = request.parameters or InferParameters()
    return DecodedRequest(
        _from_base64(texts) if _is_base64(tensor) else texts,
        shape,
        _requested_outputs(request, parameters.binary_data_output or False),
        request.id,
        parameters.top_k,
        parameters.function_to_apply,
        request.model_name or None,
        request.model_version or None,
    )


def _json_length(value: str, body_length: int) -> int:
    # int() alone accepts signs, blanks, underscores and the digits of every script.
    if not re.fullmatch(r"[0-9]{1,18}", value):
        raise InferFormatError(
            "Inference-Header-Content-Length: expected a number, received "
            f"{value[:_MAX_VALUE_CHARACTERS]!r}"
        )
    if int(value) > body_length:
        raise InferFormatError(
            f"Inference-Header-Content-Length: expected at most the {body_length} bytes of the "
            f"body, received {int(value)}"
        )
    return int(value)


def _parse_json(document: bytes) -> InferRequest:
    try:
        return request_body.parse(InferRequest, document)
    except ProblemError as problem:
        # pydantic reports an error for each member of the union of a text and a list.
        place = problem.errors[0].pointer if problem.errors else ""
        if place.startswith(f"{pointer(_DATA)}/"):
            raise InferFormatError(f"{place}: {_ELEMENT}") from None
        raise InferFormatError(problem.detail) from None


def _checked_shape(tensor: InferInput, max_texts: int) -> tuple[int, ...]:
    count = tensor.shape[0]
    if tensor.shape[1:] not in ([], [1]):
        raise _error_at((*_INPUT, "shape"), f"expected [n] or [n, 1], received {tensor.shape}")
    if not 1 <= count <= max_texts:
        raise _error_at((*_INPUT, "shape"), f"expected 1 to {max_texts} texts, received {count}")
    return tuple(tensor.shape)


def _json_texts(tensor: InferInput, shape: tuple[int, ...]) -> list[str]:
    if tensor.data is None:
        raise _error_at(_INPUT, "expected data, or parameters with binary_data_size")
    texts = [text if isinstance(text, str) else text[0] for text in tensor.data]
    if len(texts) != shape[0]:
        raise _wrong_count(_DATA, shape, str(len(texts)))
    # With the shape [n] no element is a list; with [n, 1] either none or all of them are.
    kind = str if len(shape) == 1 else type(tensor.data[0])
    for index, element in enumerate(tensor.data):
        if type(element) is not kind:
            raise _error_at((*_DATA, index), f"{_ELEMENT}, all of the same kind")
    return texts


def _binary_texts(tensor: InferInput, shape: tuple[int, ...], data: bytes) -> list[str]:
    parameters = tensor.parameters or InferInputParameters()
    if tensor.data is not None:
        raise _error_at(_DATA, "expected no data with binary_data_size: send one or the other")
    if parameters.binary_data_size != len(data):
        raise _error_at(
            (*_INPUT, "parameters", "binary_data_size"),
            f"expected the {len(data)} bytes after the JSON object, received "
            f"{parameters.binary_data_size}; Inference-Header-Content-Length is the length of the "
            "JSON",
        )
    texts: list[str] = []
    for start, element in _split_elements(data):
        if len(texts) == shape[0]:
            raise _wrong_count(_INPUT, shape, "more")
        try:
            texts.append(element.decode())
        except UnicodeDecodeError as error:
            raise _error_at(
                _INPUT,
                f"text {len(texts)}: expected UTF-8: {error.reason} at byte "
                f"{start + error.start} of the tensor",
            ) from None
    if len(texts) != shape[0]:
        raise _wrong_count(_INPUT, shape, str(len(texts)))
    return texts


def _is_base64(tensor: InferInput) -> bool:
    return tensor.parameters is not None and tensor.parameters.content_type == "base64"


def _from_base64(elements: Sequence[str]) -> list[str]:
    texts = []
    for index, element in enumerate(elements):
        try:
            texts.append(base64.b64decode(element, validate=True).decode())
        except ValueError:  # of base64, and of UTF-8
            raise _error_at(
                (*_DATA, index), "expected the base64 of a text in UTF-8, as content_type says"
            ) from None
    return texts


def _split_elements(data: bytes) -> Iterator[tuple[int, bytes]]:
    """Yields the elements of a BYTES tensor, each with its offset."""
    start = 0
    while start < len(data):
        length = int.from_bytes(data[start : start + _LENGTH_BYTES], "little")
        end = start + _LENGTH_BYTES + length
        if end > len(data):
            left = max(len(data) - start - _LENGTH_BYTES, 0)
            raise _error_at(
                _INPUT,
                f"expected {_LENGTH_BYTES} bytes of length and {length} bytes of text at byte "
                f"{start} of the tensor, received {left} bytes of text",
            )
        yield start + _LENGTH_BYTES, data[start + _LENGTH_BYTES : end]
        start = end


def _requested_outputs(request: InferRequest, binary: bool) -> tuple[RequestedOutput, ...]:
    # An empty list is the same as none.
    if not request.outputs:
        return tuple(RequestedOutput(name, binary) for name in DEFAULT_OUTPUTS)
    names = [output.name for output in request.outputs]
    if len(set(names)) != len(names):
        raise _error_at(("outputs",), f"expected each output once, received {', '.join(names)}")
    choices = [(each.parameters or InferOutputParameters()).binary_data for each in request.outputs]
    return tuple(
        RequestedOutput(name, binary if choice is None else choice)
        for name, choice in zip(names, choices, strict=True)
    )


def _wrong_count(
    location: Sequence[str | int], shape: tuple[int, ...], received: str
) -> InferFormatError:
    return _error_at(location, f"expected {shape[0]} texts, as in shape, received {received}")


def _error_at(location: Sequence[str | int], reason: str) -> InferFormatError:
    return InferFormatError(f"{pointer(location)}: {reason}")
