"""A request of the Open Inference Protocol, read from the bytes of its body.

The format is that of the protocol's REST specification, version 2, and of its binary tensor data
extension (`gatewise.service.serving.http.open_inference.inference_schemas` names both): a JSON
object, and behind it the bytes of each tensor whose `binary_data_size` says so, in the order of
the JSON; the header `Inference-Header-Content-Length` then tells where the JSON ends. An element
of BYTES is a length of four bytes, little-endian and without sign, and then as many bytes, here
UTF-8.

Nothing in a body is believed: every length is held against the bytes that are there, and the texts
are counted before they are read. Knows no route, no server and no model.
"""

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
    InferRequestBody,
    OutputName,
)
from gatewise.service.serving.http.protocol.problems import pointer
from gatewise.vocab.errors import GatewiseError
from pydantic import ValidationError

_LENGTH_BYTES = 4
_KEY_SHOWN = 50
_MOST_ERRORS = 100
"""Most errors of a body that are looked at: telling each would hold up every other request."""
_DATA = ("inputs", 0, "data")
_ELEMENT = "expected a text, or where the shape is [n, 1] a list of one text"


class InferFormatError(GatewiseError):
    """A body that is no inference request for a text classifier; the message says where."""


@dataclass(frozen=True, slots=True)
class RequestedOutput:
    """An output that is asked for, and whether as bytes."""

    name: OutputName
    binary: bool


@dataclass(frozen=True, slots=True)
class InferRequest:
    """An inference request.

    Attributes:
        texts: The texts, at least one.
        shape: That of the tensor they came in: `(n,)` or `(n, 1)`.
        outputs: What is to be answered, in this order.
        id: What the answer has to repeat; None if nothing.
        top_k: How many labels a text; None for the best alone.
        function_to_apply: What turns logits into scores; None for the model's own.
    """

    texts: list[str]
    shape: tuple[int, ...]
    outputs: tuple[RequestedOutput, ...]
    id: str | None = None
    top_k: int | None = None
    function_to_apply: ScoreFunction | None = None


def decode(body: bytes, header_length: str | None, most_texts: int) -> InferRequest:
    """Reads an inference request.

    Args:
        body: The body, whole.
        header_length: The value of `Inference-Header-Content-Length`; None without that header,
            and then the body is JSON alone.
        most_texts: Most texts of a request.

    Raises:
        InferFormatError: If the body is none, or has more texts.
    """
    end = len(body) if header_length is None else _header_length(header_length, len(body))
    request = _request(body[:end])
    given = request.inputs[0]
    shape = _shape(given, most_texts)
    if (given.parameters or InferInputParameters()).binary_data_size is None:
        texts = _texts_in_json(given, shape)
        if end < len(body):
            raise _refusal(
                ("inputs", 0),
                f"expected binary_data_size for the {len(body) - end} bytes behind the JSON object",
            )
    else:
        texts = _texts_in_bytes(given, shape, body[end:])
    parameters = request.parameters or InferParameters()
    return InferRequest(
        texts,
        shape,
        _outputs(request, parameters.binary_data_output or False),
        request.id,
        parameters.top_k,
        parameters.function_to_apply,
    )


def _header_length(value: str, body_length: int) -> int:
    # int() alone would take signs, blanks, underscores and the digits of every script.
    if not re.fullmatch(r"[0-9]{1,18}", value):
        raise InferFormatError(
            f"Inference-Header-Content-Length: expected a number, received {value[:_KEY_SHOWN]!r}"
        )
    if int(value) > body_length:
        raise InferFormatError(
            f"Inference-Header-Content-Length: expected at most the {body_length} bytes of the "
            f"body, received {int(value)}"
        )
    return int(value)


def _request(document: bytes) -> InferRequestBody:
    # pydantic's parser and not `json`: it bounds the depth of nesting and refuses broken UTF-8 and
    # lone surrogates, which no tokenizer could take.
    try:
        return InferRequestBody.model_validate_json(document)
    except ValidationError as error:
        if error.error_count() > _MOST_ERRORS:
            raise InferFormatError(f"#: {error.error_count()} errors in one request") from None
        first = error.errors(include_url=False, include_context=False)[0]
        if first["type"] == "json_invalid":
            reason = first["msg"].removeprefix("Invalid JSON: ")
            raise InferFormatError(f"expected a JSON object in UTF-8: {reason}") from None
        location = first["loc"]
        if location[: len(_DATA)] == _DATA and len(location) > len(_DATA) + 1:
            # What follows is pydantic's name for one of the two kinds of element.
            raise _refusal(location[: len(_DATA) + 1], _ELEMENT) from None
        raise _refusal(location, first["msg"]) from None


def _shape(given: InferInput, most_texts: int) -> tuple[int, ...]:
    """The shape of the texts' tensor, which holds as many as are allowed."""
    count = given.shape[0]
    if given.shape[1:] not in ([], [1]):
        raise _refusal(("inputs", 0, "shape"), f"expected [n] or [n, 1], received {given.shape}")
    if not 1 <= count <= most_texts:
        raise _refusal(
            ("inputs", 0, "shape"), f"expected 1 to {most_texts} texts, received {count}"
        )
    return tuple(given.shape)


def _texts_in_json(given: InferInput, shape: tuple[int, ...]) -> list[str]:
    if given.data is None:
        raise _refusal(("inputs", 0), "expected data, or parameters with binary_data_size")
    texts = [text if isinstance(text, str) else text[0] for text in given.data]
    if len(texts) != shape[0]:
        raise _refusal(_DATA, f"expected {shape[0]} texts, as shape says, received {len(texts)}")
    # In one dimension there are no lists within, in two there are none or nothing else.
    kind = str if len(shape) == 1 else type(given.data[0])
    for index, element in enumerate(given.data):
        if type(element) is not kind:
            raise _refusal((*_DATA, index), f"{_ELEMENT}, all alike")
    return texts


def _texts_in_bytes(given: InferInput, shape: tuple[int, ...], data: bytes) -> list[str]:
    parameters = given.parameters or InferInputParameters()
    if given.data is not None:
        raise _refusal(_DATA, "expected none beside binary_data_size")
    if parameters.binary_data_size != len(data):
        raise _refusal(
            ("inputs", 0, "parameters", "binary_data_size"),
            f"expected the {len(data)} bytes that follow the JSON object, received "
            f"{parameters.binary_data_size}; Inference-Header-Content-Length says where it ends",
        )
    texts: list[str] = []
    for start, element in _split(data):
        if len(texts) == shape[0]:
            raise _refusal(("inputs", 0), f"expected {shape[0]} texts, as shape says: more came")
        try:
            texts.append(element.decode())
        except UnicodeDecodeError as error:
            raise _refusal(
                ("inputs", 0),
                f"text {len(texts)}: expected UTF-8: {error.reason} at byte "
                f"{start + error.start} of the tensor",
            ) from None
    if len(texts) != shape[0]:
        raise _refusal(
            ("inputs", 0), f"expected {shape[0]} texts, as shape says, received {len(texts)}"
        )
    return texts


def _split(data: bytes) -> Iterator[tuple[int, bytes]]:
    """The elements of a tensor of BYTES, each with the place where it begins."""
    start = 0
    while start < len(data):
        length = int.from_bytes(data[start : start + _LENGTH_BYTES], "little")
        end = start + _LENGTH_BYTES + length
        if end > len(data):
            there = max(len(data) - start - _LENGTH_BYTES, 0)
            raise _refusal(
                ("inputs", 0),
                f"expected {_LENGTH_BYTES} bytes of length and {length} of text at byte {start} of "
                f"the tensor: {there} are left for the text",
            )
        yield start + _LENGTH_BYTES, data[start + _LENGTH_BYTES : end]
        start = end


def _outputs(request: InferRequestBody, binary: bool) -> tuple[RequestedOutput, ...]:
    # An empty list names no outputs, as no list does.
    if not request.outputs:
        return tuple(RequestedOutput(name, binary) for name in DEFAULT_OUTPUTS)
    names = [output.name for output in request.outputs]
    if len(set(names)) != len(names):
        raise _refusal(("outputs",), f"expected each output once, received {', '.join(names)}")
    wishes = [(each.parameters or InferOutputParameters()).binary_data for each in request.outputs]
    return tuple(
        RequestedOutput(name, binary if wish is None else wish)
        for name, wish in zip(names, wishes, strict=True)
    )


def _refusal(location: Sequence[str | int], reason: str) -> InferFormatError:
    """The refusal of what stands at a place."""
    return InferFormatError(f"{pointer(location)}: {reason}")
