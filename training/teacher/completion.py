"""A chat completion: the answers of a language model to one request, as OpenAI's endpoints give it.

The format is that of https://platform.openai.com/docs/api-reference/chat/object.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from gatewise.training.teacher.teacher import TeacherError


class RefusedTextError(TeacherError):
    """A request that an endpoint refuses for what is in it, such as a text that is too long."""


@dataclass(frozen=True)
class AnswerToken:
    """A token of an answer.

    Attributes:
        text: The token.
        probabilities: The probability of each token that could stand here, as far as the endpoint
            gives them; the token itself is among them.
    """

    text: str
    probabilities: Mapping[str, float]


@dataclass(frozen=True)
class CompletionAnswer:
    """An answer to a request.

    Attributes:
        text: The answer; empty if the endpoint gives none.
        tokens: Its tokens; None without log-probabilities.
    """

    text: str
    tokens: tuple[AnswerToken, ...] | None


@dataclass(frozen=True)
class Completion:
    """The answers to one request.

    Attributes:
        answers: One at least.
        read: Tokens of the request, as the endpoint counts them; 0 if it does not.
        written: Tokens of the answers, likewise.
    """

    answers: tuple[CompletionAnswer, ...]
    read: int
    written: int

    @classmethod
    def of(cls, document: Mapping[str, Any]) -> "Completion":
        """The answers in a response; what is not as expected in it counts as no answer."""
        choices, usage = document.get("choices"), _mapping(document.get("usage"))
        listed = choices if isinstance(choices, list) else []
        answers = [_answer(_mapping(choice)) for choice in listed]
        counts = [usage.get(name) for name in ("prompt_tokens", "completion_tokens")]
        read, written = (count if isinstance(count, int) else 0 for count in counts)
        return cls(tuple(answers) or (CompletionAnswer("", None),), read, written)


def _answer(choice: Mapping[str, Any]) -> CompletionAnswer:
    text = _mapping(choice.get("message")).get("content")
    content = _mapping(choice.get("logprobs")).get("content")
    tokens = [_token(_mapping(token)) for token in content] if isinstance(content, list) else []
    known = [token for token in tokens if token]
    complete = bool(known) and len(known) == len(tokens)
    return CompletionAnswer(
        text if isinstance(text, str) else "", tuple(known) if complete else None
    )


def _token(token: Mapping[str, Any]) -> AnswerToken | None:
    """A token with its alternatives; None if it has none."""
    others = token.get("top_logprobs")
    found = {}
    for entry in (token, *(others if isinstance(others, list) else ())):
        text, logit = _mapping(entry).get("token"), _mapping(entry).get("logprob")
        if isinstance(text, str) and isinstance(logit, int | float) and not math.isnan(logit):
            found[text] = math.exp(min(logit, 0.0))
    is_known = others and isinstance(token.get("token"), str) and token["token"] in found
    return AnswerToken(token["token"], found) if is_known else None


def _mapping(value: object) -> Mapping[str, Any]:
    return value if isinstance(value, dict) else {}
