"""The JSON of the Open Inference Protocol: requests, answers, metadata, errors.

The shapes are those of the protocol's REST specification, version 2
(https://github.com/kserve/open-inference-protocol, specification/protocol/inference_rest.md), with
the parameters of its binary tensor data extension
(https://kserve.github.io/website/docs/concepts/architecture/data-plane/v2-protocol/binary-tensor-data-extension).
Parameters are the protocol's open place: what is not known there is passed over, what would change
the answer and is not done here is refused. Knows neither HTTP nor how tensors become bytes.
"""

from typing import Annotated, Any, ClassVar, Literal

from gatewise.service.model.scores import ScoreFunction
from pydantic import BaseModel, ConfigDict, Field, model_validator
from pydantic_core import PydanticCustomError

Datatype = Literal["BYTES", "FP32", "BOOL"]
OutputName = Literal["label", "score", "scores", "classes", "given"]

MOST_TEXTS = 8192
"""Most texts of a request in JSON, whatever is set: what is beyond is not even looked at."""

DEFAULT_OUTPUTS: tuple[OutputName, ...] = ("label", "score")
"""What is answered where a request names no outputs."""

_STRICT = ConfigDict(extra="forbid", frozen=True, strict=True, protected_namespaces=())


class _Parameters(BaseModel):
    """Parameters, of which those under `refused` ask for what this service does not do."""

    model_config = ConfigDict(extra="ignore", frozen=True, strict=True)
    refused: ClassVar[tuple[str, ...]] = ()

    @model_validator(mode="before")
    @classmethod
    def _refuse(cls, data: Any) -> Any:
        found = [name for name in cls.refused if isinstance(data, dict) and name in data]
        if found:
            raise PydanticCustomError(
                "not_supported", "expected no {name}: this service has no such thing",
                {"name": found[0]},
            )  # fmt: skip
        return data


class InferParameters(_Parameters):
    """How the whole answer is made; unknown parameters are passed over."""

    refused = ("sequence_id", "sequence_start", "sequence_end")

    binary_data_output: bool | None = Field(
        None, description="Whether outputs that do not say it themselves are answered as bytes."
    )
    top_k: Annotated[int, Field(ge=1)] | None = Field(
        None,
        description="How many labels to answer with, best first, at most as many as there are "
        "classes: `label` and `score` then have the shape [n, top_k]. The best alone when absent.",
    )
    function_to_apply: ScoreFunction | None = Field(
        None, description="What turns the network's logits into scores; the model's own if absent."
    )


class InferInputParameters(_Parameters):
    """How an input is sent; unknown parameters are passed over."""

    refused = ("shared_memory_region",)

    binary_data_size: Annotated[int, Field(ge=0)] | None = Field(
        None, description="Bytes of the tensor behind the JSON object; in place of `data`."
    )


class InferOutputParameters(_Parameters):
    """How an output is answered; unknown parameters are passed over."""

    refused = ("shared_memory_region", "classification")

    binary_data: bool | None = Field(
        None, description="Whether it is answered as bytes; wins over `binary_data_output`."
    )


# Each element by itself, and not two kinds of lists told apart by a function: that would be shown
# the list as Python's, and a megabyte of empty lists takes most of a second to become one.
TextData = Annotated[
    list[str | Annotated[list[str], Field(min_length=1, max_length=1)]],
    Field(max_length=MOST_TEXTS, fail_fast=True),
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
        None, description="The texts, also one list each where the shape is [n, 1]."
    )


class InferOutput(BaseModel):
    """A tensor that is asked for."""

    model_config = _STRICT

    name: OutputName
    parameters: InferOutputParameters | None = None


class InferRequestBody(BaseModel):
    """An inference request, without the bytes that may follow it."""

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

    id: str | None = Field(None, description="Anything; it comes back with the answer.")
    model_name: str | None = Field(None, description="Passed over: the path names the model.")
    model_version: str | None = Field(None, description="Passed over: the path names it.")
    parameters: InferParameters | None = None
    inputs: Annotated[list[InferInput], Field(min_length=1, max_length=1, fail_fast=True)]
    outputs: Annotated[list[InferOutput], Field(max_length=5, fail_fast=True)] | None = Field(
        None, description="Which tensors to answer, each once; `label` and `score` when absent."
    )


class TensorParameters(BaseModel):
    """How an output of an answer is sent."""

    binary_data_size: int = Field(description="Bytes of the tensor behind the JSON object.")


class InferOutputTensor(BaseModel):
    """A tensor of an answer: with `data`, or as bytes behind the JSON object."""

    name: OutputName
    datatype: Datatype
    shape: list[int]
    parameters: TensorParameters | None = None
    data: list[str | float | bool] | None = Field(None, description="Its elements, row by row.")


class InferResponse(BaseModel):
    """An inference response, without the bytes that may follow it."""

    model_config = ConfigDict(protected_namespaces=())

    model_name: str
    model_version: str
    id: str | None = None
    outputs: list[InferOutputTensor]


class TensorMetadata(BaseModel):
    """A tensor of a model; -1 is a dimension of any size."""

    name: str
    datatype: Datatype
    shape: list[int]


class ModelMetadata(BaseModel):
    """What a model takes and answers."""

    name: str
    versions: list[str] = Field(description="The versions that a path may name.")
    platform: str
    inputs: list[TensorMetadata]
    outputs: list[TensorMetadata]


class ServerMetadata(BaseModel):
    """What the server is."""

    name: str
    version: str
    extensions: list[str]


class ServerLive(BaseModel):
    """That the process answers."""

    live: bool


class ServerReady(BaseModel):
    """That every model is ready."""

    ready: bool


class ModelReady(BaseModel):
    """That a model is ready."""

    name: str
    ready: bool


class InferError(BaseModel):
    """Every error below /v2."""

    error: str = Field(description="What is wrong, and what to do.")
