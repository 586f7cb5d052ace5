"""A text with the share of each of its tokens in a prediction, for notebooks and terminals."""

from dataclasses import dataclass
from html import escape
from typing import TYPE_CHECKING

from gatewise.service.model.explanation import explain
from gatewise.service.model.scores import apply, shortest
from gatewise.service.model.texts import checked_texts
from gatewise.vocab.errors import ArgumentError, EmptyTextError

if TYPE_CHECKING:
    from gatewise.service.model.classifier import Classifier

# Background of tokens for and against the label, as red, green and blue; readable on both themes.
_FOR, _AGAINST = (46, 160, 67), (218, 54, 51)
_MAX_OPACITY = 0.55


@dataclass(frozen=True)
class ExplainedToken:
    """A token, or several neighbours, and its share in the decision.

    Attributes:
        start: Offset of its first character.
        end: Offset after its last character.
        text: The characters between.
        share: How much the log-odds of the label fall without it; negative if it speaks against the
            label.
    """

    start: int
    end: int
    text: str
    share: float


@dataclass(frozen=True)
class ExplainedText:
    """The explanation of one label of a text; a notebook shows the text with its tokens shaded.

    Attributes:
        text: The text.
        label: The label that is explained.
        probability: Its probability.
        log_odds: `ln(p / (1 - p))` of that probability.
        tokens: The tokens that the model reads, in order.
        truncated: Whether the text is longer than the model reads.
    """

    text: str
    label: str
    probability: float
    log_odds: float
    tokens: tuple[ExplainedToken, ...]
    truncated: bool

    def as_dict(self) -> dict[str, object]:
        """The explanation as a JSON object."""
        tokens = [
            {"start": token.start, "end": token.end, "text": token.text, "share": token.share}
            for token in self.tokens
        ]
        return {
            "text": self.text,
            "label": self.label,
            "score": self.probability,
            "log_odds": self.log_odds,
            "truncated": self.truncated,
            "tokens": tokens,
        }

    def _repr_html_(self) -> str:
        largest = max((abs(token.share) for token in self.tokens), default=0) or 1
        parts, end = [], 0
        for token in self.tokens:
            colour = ", ".join(map(str, _FOR if token.share > 0 else _AGAINST))
            opacity = _MAX_OPACITY * abs(token.share) / largest
            parts.append(escape(self.text[end : token.start]))
            parts.append(
                f'<span style="background: rgba({colour}, {opacity:.2f}); border-radius: 3px" '
                f'title="{token.share:+.3g}">{escape(token.text)}</span>'
            )
            end = token.end
        parts.append(escape(self.text[end:]))
        cut = " (the text is longer than the model reads)" if self.truncated else ""
        return (
            f"<div><p><b>{escape(self.label)}</b> {self.probability:.4g}{cut}</p>"
            f'<p style="white-space: pre-wrap; line-height: 1.7">{"".join(parts)}</p></div>'
        )


def explain_text(classifier: "Classifier", text: str, label: str | None = None) -> ExplainedText:
    """Explains the prediction of one text.

    Args:
        classifier: The model.
        text: The text.
        label: The label to explain; None for the best one.

    Raises:
        TextsError: The text is not a string.
        EmptyTextError: It has no token.
        ArgumentError: The model has no such label, or reads sequences of numbers.
    """
    classifier.artifact.require_texts()
    checked_texts([text])
    if label is not None and label not in classifier.classes_:
        raise ArgumentError(
            f"label: expected one of {', '.join(classifier.classes_[:5])}"
            f"{', …' if len(classifier.classes_) > 5 else ''}; received {label!r}",
            option="label",
        )
    (located,) = classifier.locate([text])
    if located.encoded.is_empty:
        raise EmptyTextError("the text is empty: it holds no token to classify")
    index = None if label is None else classifier.classes_.index(label)
    (found,) = explain(classifier, [located], index)
    scores = apply(classifier.score_function, found.logits[None])[0]
    return ExplainedText(
        text=text,
        label=classifier.classes_[found.index],
        probability=shortest(scores[found.index]),
        log_odds=found.log_odds,
        tokens=tuple(
            ExplainedToken(part.start, part.end, text[part.start : part.end], part.share)
            for part in found.shares
        ),
        truncated=found.truncated,
    )
