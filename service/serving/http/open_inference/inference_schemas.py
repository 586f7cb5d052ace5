"""The JSON schemas of the Open Inference Protocol: requests, responses, metadata, errors.

Source: the protocol's REST specification, version 2
(https://github.com/kserve/open-inference-protocol, specification/protocol/inference_rest.md), with
the parameters of its binary tensor data extension
(https://kserve.github.io/website/docs/concepts/architecture/data-plane/v2-protocol/binary-tensor-data-extension).
The protocol leaves parameters open. Here, unknown ones are refused, because they are meant to
change the answer; those of other servers that do not are accepted.
"""

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator
from pydantic_core import PydanticCustomError

from gatewise.service.model.scores import ScoreFunction

Datatype = Literal["BYTES", "FP32", "BOOL"]
OutputName = Literal["label", "score", "scores", "classes", "given"]

MAX_JSON_TEXTS = 8192
"""The most texts in a JSON request, whatever the settings: the list is not parsed beyond."""

DEFAULT_OUTPUTS: tuple[OutputName, ...] = ("label", "score")
"""The outputs of a request that names none."""

_OF_TRITON = "Of Triton's scheduler, which this service has none of; it changes no answer."
_STRICT = ConfigDict(extra="forbid", frozen=True, strict=True, protected_namespaces=())


class _Parameters(BaseModel):
    """Parameters; others are refused, for they would be meant to change the answer."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    @model_validator(mode="before")
    @classmethod
    def _refuse_unsupported(cls, data: Any) -> Any:
        names = data if isinstance(data, dict) else ()
        unsupported = next((name for name in names if name not in cls.model_fields), None)
        if unsupported is not None:
            raise PydanticCustomError(
                "not_supported",
                "expected no {name}: this service does not support it",
                {"name": f"{unsupported:.200}"},
            )
        return data


class InferParameters(_Parameters):
    """Parameters of a request."""

    content_type: Literal["str", "pd"] | None = Field(
        None,
        description="How MLServer's clients mark texts and tables of them; it changes nothing.",
    )
    binary_data_output: bool | None = Field(
        None, description="Whether outputs without `binary_data` of their own are sent as bytes."
    )
    top_k: Annotated[int, Field(ge=1)] | None = Field(
        None,
        description="The number of labels, best first, at most the number of classes. `label` and "
        "`score` then have the shape [n, top_k]. If absent, only the best label.",
    )
    function_to_apply: ScoreFunction | None = Field(
        None, description="The function that turns logits into scores; the model's own if absent."
    )
    priority: Any = Field(None, description=_OF_TRITON)
    timeout: Any = Field(None, description=_OF_TRITON)
    triton_enable_empty_final_response: Any = Field(None, description=_OF_TRITON)
    headers: Any = Field(None, description="Of MLServer; it changes nothing.")


class InferInputParameters(_Parameters):
    """Parameters of an input."""

    content_type: Literal["str", "base64"] | None = Field(
        None,
        description="What an element is: a text, or the base64 of a text in UTF-8. A text if "
        "absent.",
    )
    binary_data_size: Annotated[int, Field(ge=0)] | None = Field(
        None, description="Bytes of the tensor that follow the JSON object, instead of `data`."
    )


class InferOutputParameters(_Parameters):
    """Parameters of an output."""

    content_type: Literal["str"] | None = Field(
        None, description="What an element of BYTES is: a text."
    )
    binary_data: bool | None = Field(
        None, description="Whether it is sent as bytes; overrides `binary_data_output`."
    )


# A union per element, not a union of two list types with a discriminator function: the function
# would get the list as a Python object, and converting a megabyte of empty lists takes most of a
# second.
TextData = Annotated[
    list[str | Annotated[list[str], Field(min_length=1, max_length=1)]],
    Field(max_length=MAX_JSON_TEXTS, fail_fast=True),
]


class InferInput(BaseModel):
    """The tensor of texts."""

    model_config = _STRICT

    name: Literal["text"]
    datatype: Literal["BYTES"]
    shape: Annotated[
        list[Annotated[int, Field(ge=0)]], Field(min_length=1, max_length=2, fail_fast=True)
    ] = Field(description="[n] or [n, 1] for n texts.")
    parameters: InferInputParameters | None = None
    data: TextData | None = Field(
        None, description="The texts. With the shape [n, 1], each may be a list of one text."
    )


class InferOutput(BaseModel):
    """A requested output."""

    model_config = _STRICT

    name: OutputName
    parameters: InferOutputParameters | None = None


class InferRequest(BaseModel):
    """The JSON of an inference request; binary tensor data may follow it."""

    model_config = ConfigDict(
        **_STRICT,
        json_schema_extra={
            "examples": [
                {
                    "id": "42",
                    "inputs": [
                        {
                            "name": "text",
                            "shape": [2],
                            "datatype": "BYTES",
                            "data": ["Who wrote Hamlet?", "How far is it?"],
                        }
                    ],
                    "outputs": [{"name": "label"}, {"name": "scores"}],
                }
            ]
        },
    )

    id: str | None = Field(None, description="Any text; the response repeats it.")
    model_name: str | None = Field(None, description="The model, as the path names it.")
    model_version: str | None = Field(
        None, description="The version, as the path names it; it is chosen if the path names none."
    )
    parameters: InferParameters | None = None
    inputs: Annotated[list[InferInput], Field(min_length=1, max_length=1, fail_fast=True)]
    outputs: Annotated[list[InferOutput], Field(max_length=5, fail_fast=True)] | None = Field(
        None, description="The tensors to return, each once; `label` and `score` if absent."
    )


class TensorParameters(BaseModel):
    """Parameters of an output tensor."""

    binary_data_size: int = Field(description="Bytes of the tensor that follow the JSON object.")


class InferOutputTensor(BaseModel):
    """An output tensor: with `data`, or as bytes that follow the JSON object."""

    name: OutputName
    datatype: Datatype
    shape: list[int]
    parameters: TensorParameters | None = None
    data: list[str | float | bool] | None = Field(
        None, description="Its elements, in row-major order."
    )


class InferResponse(BaseModel):
    """The JSON of an inference response; binary tensor data may follow it."""

    model_config = ConfigDict(protected_namespaces=())

    model_name: str
    model_version: str
    id: str | None = None
    outputs: list[InferOutputTensor]


class TensorMetadata(BaseModel):
    """An input or output of a model; -1 is a dimension of any size."""

    name: str
    datatype: Datatype
    shape: list[int]


class ModelMetadata(BaseModel):
    """The inputs and outputs of a model."""

    name: str
    versions: list[str] = Field(description="The versions that a path can name.")
    platform: str
    inputs: list[TensorMetadata]
    outputs: list[TensorMetadata]


class ServerMetadata(BaseModel):
    """The server's name, version and extensions of the protocol."""

    name: str
    version: str
    extensions: list[str]


class ServerLive(BaseModel):
    """The answer of a running process."""

    live: bool


class ServerReady(BaseModel):
    """The answer when every model is ready."""

    ready: bool


class ModelReady(BaseModel):
    """The answer when a model is ready."""

    name: str
    ready: bool


class InferError(BaseModel):
    """An error of a route below /v2."""

    error: str = Field(description="What is wrong, and what to do.")
