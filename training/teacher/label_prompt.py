"""The question that a language model is asked about a text, and what its answers mean.

The labels are numbered and named; an answer is the name or the number of one and nothing else.
"""

import hashlib
import json
from collections.abc import Mapping, Sequence
from itertools import dropwhile

import numpy as np
from numpy.typing import NDArray

from gatewise.training.config.teacher_section import DEFAULT_PROMPT
from gatewise.training.teacher.completion import AnswerToken
from gatewise.training.teacher.teacher import TeacherError

_AROUND = " \t\r\n\"'`*."
"""What an answer may have around the name of a label."""

_MAX_QUOTED = 200

Message = dict[str, str]


class LabelPrompt:
    """The prompt of some labels.

    Attributes:
        labels: Their names.
    """

    def __init__(
        self,
        labels: Sequence[str],
        descriptions: Mapping[str, str],
        template: str = DEFAULT_PROMPT,
    ) -> None:
        """Takes the labels.

        Args:
            labels: Two or more.
            descriptions: What those labels mean whose names do not say it.
            template: The question, with `{text}` for the text and `{labels}` for the list of the
                labels.

        Raises:
            TeacherError: If a description is of another label.
        """
        if unknown := sorted(set(descriptions) - set(labels)):
            raise TeacherError(
                f"teacher.descriptions: expected descriptions of the labels {', '.join(labels)}, "
                f"received one of {unknown[0]!r}"
            )
        # Where labels are numbers themselves, others would be confused with them.
        numbered = not any(label.strip().isdecimal() for label in labels)
        self.labels = labels
        self._answers: dict[str, set[int]] = {}
        lines = []
        for index, label in enumerate(labels):
            number = f"{index + 1}"
            spellings = [label, number, f"{number}. {label}"] if numbered else [label]
            for spelling in spellings:
                self._answers.setdefault(spelling.casefold(), set()).add(index)
            mark = f"{number}." if numbered else "-"
            meaning = f": {descriptions[label]}" if label in descriptions else ""
            lines.append(f"{mark} {label}{meaning}")
        before, _, after = template.partition("{text}")
        self._before, self._after = (
            part.replace("{labels}", "\n".join(lines)) for part in (before, after)
        )

    @property
    def digest(self) -> str:
        """Digest of what the question depends on but for the text."""
        document = json.dumps([self._before, self._after, list(self.labels)])
        return hashlib.sha256(document.encode()).hexdigest()

    @property
    def options(self) -> dict[str, object]:
        """Parameters of a request: an answer is the name of a label, as a JSON string."""
        longest = max(len(label.encode("utf-8", "surrogatepass")) for label in self.labels)
        schema = {"type": "string", "enum": list(self.labels)}
        return {
            # No name has more tokens than bytes.
            "max_tokens": 8 + longest,
            # A small model answers in prose whatever the prompt says, unless the endpoint enforces
            # this.
            "response_format": {
                "type": "json_schema",
                "json_schema": {"name": "label", "strict": True, "schema": schema},
            },
        }

    def messages(self, text: str, rejected: str | None = None) -> list[Message]:
        """The conversation about a text.

        Args:
            text: The text.
            rejected: An earlier answer that was no label; None for the first question.
        """
        question = {"role": "user", "content": f"{self._before}{text}{self._after}"}
        if rejected is None:
            return [question]
        again = f"That is none of the labels. Answer with one of: {', '.join(self.labels)}"
        return [
            question,
            {"role": "assistant", "content": rejected[:_MAX_QUOTED] or "-"},
            {"role": "user", "content": again},
        ]

    def label_of(self, answer: str) -> int | None:
        """The label that an answer is, by its index; None if it is none, or prose.

        >>> LabelPrompt(["ham", "spam"], {}).label_of(' "Spam".')
        1
        >>> LabelPrompt(["ham", "spam"], {}).label_of("It is spam") is None
        True
        """
        answer = _unquoted(answer)
        for form in (answer, answer.strip(), answer.strip(_AROUND)):
            if form in self.labels:
                return self.labels.index(form)
        found = self._answers.get(answer.strip(_AROUND).casefold(), set())
        return next(iter(found)) if len(found) == 1 else None

    def probabilities(self, tokens: Sequence[AnswerToken], label: int) -> NDArray[np.float64]:
        """The probability of each label from the tokens of an answer, `(labels,)`.

        A token that was not chosen stands for the labels that it begins, or goes on with.

        >>> answer = [AnswerToken("sp", {"sp": 0.6, "ham": 0.2, "I": 0.2}), AnswerToken("am", {})]
        >>> LabelPrompt(["ham", "spam"], {}).probabilities(answer, 1).round(2).tolist()
        [0.25, 0.75]

        Args:
            tokens: The tokens of the answer.
            label: The label that it is.
        """
        answer = "".join(token.text for token in tokens)
        if _unquoted(answer) != answer:
            # The endpoint enforces this form: how it would rather begin says nothing of labels.
            tokens = list(dropwhile(lambda token: not token.text.strip(_AROUND), tokens))
        found = np.zeros(len(self.labels))
        begun, share = "", 1.0
        for token in tokens:
            for other, probability in token.probabilities.items():
                if other != token.text:
                    begins = self._begun_by(begun + other)
                    found[begins] += share * probability / max(len(begins), 1)
            begun, share = begun + token.text, share * token.probabilities.get(token.text, 1.0)
            if begun.strip(_AROUND) and self._begun_by(begun) in ([label], []):
                break
        found[label] += share
        total = found.sum()
        return found / total if total > 0 else np.eye(len(self.labels))[label]

    def _begun_by(self, text: str) -> list[int]:
        """The labels whose answer is some text, or begins with it if none is."""
        # A label may itself begin with what an answer may have around it.
        for form in (text.lstrip().casefold(), text.lstrip(_AROUND).casefold()):
            if form in self._answers:
                return sorted(self._answers[form])
            begun = [of for answer, of in self._answers.items() if form and answer.startswith(form)]
            if begun:
                return sorted(set().union(*begun))
        return []


def _unquoted(answer: str) -> str:
    """What an answer that is a JSON string says; any other as it is."""
    if not answer.lstrip().startswith('"'):
        return answer
    try:
        return str(json.loads(answer))
    except ValueError:
        return answer
