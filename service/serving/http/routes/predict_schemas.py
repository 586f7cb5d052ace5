"""The JSON schemas of `POST /predict`: requests, and the encoding of responses.

They are those of the Hugging Face text-classification task, so that its clients work unchanged:
https://huggingface.co/docs/inference-providers/tasks/text-classification.
"""

from collections.abc import Sequence
from typing import Annotated, Self

import orjson
from pydantic import BaseModel, ConfigDict, Discriminator, Field, Tag, model_validator
from pydantic_core import PydanticCustomError

from gatewise.service.model.scores import ScoreFunction, best_first
from gatewise.service.serving.batching import Scored


def _inputs_kind(inputs: object) -> str | None:
    if isinstance(inputs, str):
        return "text"
    return "texts" if isinstance(inputs, list) else None


# With a discriminator function, because a plain union reports one error for each of its members.
Inputs = Annotated[
    Annotated[str, Tag("text")]
    # Validation stops at the first invalid text: a body of a million numbers costs one error.
    | Annotated[list[str], Field(min_length=1, fail_fast=True), Tag("texts")],
    Discriminator(
        _inputs_kind,
        custom_error_type="inputs_type",
        custom_error_message="expected a text or a list of texts",
    ),
]


class PredictParameters(BaseModel):
    """The parameters of a request; null is the same as absent."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    top_k: Annotated[int, Field(ge=1)] | None = Field(
        None, description="The number of labels per text, best first; all if absent."
    )
    function_to_apply: ScoreFunction | None = Field(
        None,
        description="The function that turns logits into scores; the model's own if absent.",
    )
    above_threshold: bool | None = Field(
        None,
        description="Whether to return only the labels whose score reaches their threshold, which "
        "training chose; this can be none. Only for multi-label models, and only with sigmoid "
        "scores.",
    )

    @model_validator(mode="after")
    def _thresholds_are_of_sigmoid(self) -> Self:
        if self.above_threshold and self.function_to_apply not in (None, "sigmoid"):
            raise PydanticCustomError(
                "above_threshold",
                "expected function_to_apply to be sigmoid or absent with above_threshold: "
                "thresholds apply to sigmoid scores",
            )
        return self


class TextsRequest(BaseModel):
    """One text or several."""

    model_config = ConfigDict(
        extra="forbid",
        frozen=True,
        strict=True,
        json_schema_extra={
            "examples": [
                {"inputs": "Where is the nearest station?"},
                {"inputs": ["Who wrote Hamlet?", "How far is it?"], "parameters": {"top_k": 3}},
            ]
        },
    )

    inputs: Inputs = Field(description="A text, or a list of at least one text.")

    @property
    def texts(self) -> list[str]:
        """The texts as a list, also if `inputs` is a single text."""
        return [self.inputs] if isinstance(self.inputs, str) else self.inputs

    def pointer(self, index: int) -> str:
        """Returns the JSON pointer to the text with this index."""
        return "#/inputs" if isinstance(self.inputs, str) else f"#/inputs/{index}"


class PredictRequest(TextsRequest):
    """The body of a request to `/predict`."""

    parameters: PredictParameters | None = None


class LabelScore(BaseModel):
    """A label and its score."""

    model_config = ConfigDict(frozen=True)

    label: str
    score: float


def encode(
    labels: Sequence[str],
    scored: Scored,
    top_k: int | None = None,
    thresholds: Sequence[float] | None = None,
) -> bytes:
    """Encodes the response: for each text its labels with their scores, best first.

    Labels with equal scores keep the model's order. A score is written as the shortest decimal
    that gives the same float32.

    >>> encode(["ham", "spam"], Scored(np.array([[0.2, 0.8]], np.float32), [None]), top_k=1)
    b'[[{"label":"spam","score":0.8}]]'

    Args:
        labels: The label of each class.
        scored: The scores; a rejected text has the model's label for that first, with the score
            of the best label, and it counts towards `top_k`.
        top_k: The number of labels to keep; all if None or more than there are.
        thresholds: The threshold of each label; labels with lower scores are left out.
    """
    rows = []
    for scores, none in zip(scored.scores, scored.none, strict=True):
        order = best_first(scores, top_k, thresholds)
        row = [
            {"label": labels[place], "score": score}
            for place, score in zip(order.tolist(), scores[order], strict=True)
        ]
        if none is not None:
            row = [{"label": none, "score": scores.max()}, *row][:top_k]
        rows.append(row)
    return orjson.dumps(rows, option=orjson.OPT_SERIALIZE_NUMPY)
