"""The JSON of `POST /predict`: what may be asked and what is answered.

The shapes are those of the Hugging Face text-classification task, so that its clients work
unchanged: https://huggingface.co/docs/inference-providers/tasks/text-classification.
Knows neither HTTP nor any model.
"""

from collections.abc import Sequence
from typing import Annotated, Self

import orjson
from gatewise.service.model.scores import ScoreFunction, best_first
from gatewise.service.serving.batching import Scored
from pydantic import BaseModel, ConfigDict, Discriminator, Field, Tag, model_validator
from pydantic_core import PydanticCustomError


def _kind(inputs: object) -> str | None:
    if isinstance(inputs, str):
        return "text"
    return "texts" if isinstance(inputs, list) else None


# Told apart by a function, because a plain union would complain once for each of its members.
Inputs = Annotated[
    Annotated[str, Tag("text")]
    # The first bad text is enough: a body of a million numbers shall not cost a million errors.
    | Annotated[list[str], Field(min_length=1, fail_fast=True), Tag("texts")],
    Discriminator(
        _kind,
        custom_error_type="inputs_type",
        custom_error_message="expected a text or a list of texts",
    ),
]


class PredictParameters(BaseModel):
    """How the answer is made; a parameter that is null counts as absent."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    top_k: Annotated[int, Field(ge=1)] | None = Field(
        None, description="How many labels to answer with, best first; all when absent."
    )
    function_to_apply: ScoreFunction | None = Field(
        None, description="What turns the network's logits into scores; the model's own if absent."
    )
    above_threshold: bool | None = Field(
        None,
        description="Whether to answer only with labels whose score reaches the threshold that "
        "was chosen for them in training, of which there may be none. Only for models that may "
        "give a text several labels, and only with their own scores, sigmoid.",
    )

    @model_validator(mode="after")
    def _thresholds_are_of_sigmoid(self) -> Self:
        if self.above_threshold and self.function_to_apply not in (None, "sigmoid"):
            raise PydanticCustomError(
                "above_threshold",
                "expected function_to_apply to be sigmoid or absent beside above_threshold: "
                "thresholds are of those scores",
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
        """The texts as a list, also when there is one."""
        return [self.inputs] if isinstance(self.inputs, str) else self.inputs

    def place(self, index: int) -> str:
        """JSON pointer to the text of that index."""
        return "#/inputs" if isinstance(self.inputs, str) else f"#/inputs/{index}"


class PredictRequest(TextsRequest):
    """One text or several, to be classified."""

    parameters: PredictParameters | None = None


class LabelScore(BaseModel):
    """A label and how well it fits."""

    model_config = ConfigDict(frozen=True)

    label: str
    score: float


def written(
    labels: Sequence[str],
    scored: Scored,
    top_k: int | None = None,
    thresholds: Sequence[float] | None = None,
) -> bytes:
    """The JSON that answers a request: for each text its labels with their scores, best first.

    Labels with equal scores keep the model's order, so that an answer can be repeated. A score is
    written as the shortest number that is the same in 32 bits.

    >>> written(["ham", "spam"], Scored(np.array([[0.2, 0.8]], np.float32), [None]), top_k=1)
    b'[[{"label":"spam","score":0.8}]]'

    Args:
        labels: The label of each class.
        scored: What the model says; a text that is given something else than a label has that
            first, with the score of the best, and it counts among the labels.
        top_k: How many labels to keep; all if absent or more than there are.
        thresholds: If given, only labels whose score reaches theirs are kept.
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
