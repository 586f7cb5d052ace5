"""Why a text has its label: how much each of its tokens counts in the decision.

A token is left out by putting the unknown token in its place, and what the label's log-odds lose
by that is the token's share. No gradient is needed, only the classifier's own answers: those of a
text and of all its variants, in one batch.

The unknown token, and neither nothing nor padding, for it is what networks see in place of words
while they are trained (word dropout); the others keep their neighbours and their distance; and
variants of one length cost no padding. On three corpora of questions, reviews and commands,
leaving tokens out altogether orders them almost alike (correlation of 0.94 to 0.97).

Source of the method: J. Li, W. Monroe, D. Jurafsky: Understanding Neural Networks through
Representation Erasure, 2016. Knows no HTTP.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from gatewise.service.model.classifier import Classifier
from gatewise.service.model.scores import log_odds
from gatewise.vocab.tokenizer.encoding import Encoded, EncodedWithOffsets
from gatewise.vocab.tokenizer.token_offsets import Span
from gatewise.vocab.tokenizer.tokenizer import UNKNOWN_ID
from numpy.typing import NDArray

MOST_STRETCHES = 128
"""Most stretches of a text that are left out one by one; neighbours are joined beyond."""

MOST_TOKENS = 2**16
"""Most tokens that the variants of one text may have together, unless two of them have more."""

# What is below is the noise of 32-bit logits.
_DECIMALS = 4


@dataclass(frozen=True, slots=True)
class Attribution:
    """What a stretch of a text counts in the decision.

    Attributes:
        start: Its first character in the text as it was given, counted in code points.
        end: The character behind its last.
        share: By how much the log-odds of the explained label are lower without it; negative
            where it speaks against the label.
    """

    start: int
    end: int
    share: float


@dataclass(frozen=True, slots=True)
class Explanation:
    """Why a label fits a text, or does not.

    The shares are differences, each to the whole text. They need not add up to anything: where two
    words say the same, each of them can be left out at little loss.

    Attributes:
        index: The class that is explained.
        log_odds: The logarithm of p / (1 - p), p being the probability of that class.
        shares: The stretches that were read, ascending; none overlaps another.
        logits: What the network says of the text, float32, shape `(classes,)`.
        truncated: Whether tokens beyond the maximum length were left out of it.
    """

    index: int
    log_odds: float
    shares: tuple[Attribution, ...]
    logits: NDArray[np.float32]
    truncated: bool


def cost(text: EncodedWithOffsets) -> int:
    """How many tokens the network reads to explain a text."""
    return (len(_stretches(text)) + 1) * len(text.encoded.ids)


def explain(
    classifier: Classifier, texts: Sequence[EncodedWithOffsets], index: int | None = None
) -> list[Explanation]:
    """Explains one label of each text, whatever the texts beside it.

    Args:
        classifier: The model.
        texts: From `Classifier.locate`; none without a token.
        index: The class to explain; None for the best of each text.
    """
    stretches = [_stretches(text) for text in texts]
    variants = [
        variant
        for text, these in zip(texts, stretches, strict=True)
        for variant in _variants(text.encoded, these)
    ]
    logits = classifier.logits(variants)
    counts = [len(these) + 1 for these in stretches]
    firsts = np.cumsum([0, *counts[:-1]])
    chosen = logits[firsts].argmax(axis=1) if index is None else np.full(len(texts), index)
    odds = log_odds(classifier.score_function, logits, np.repeat(chosen, counts))
    return [
        Explanation(
            index=int(explained),
            log_odds=_rounded(odds[first]),
            shares=tuple(
                Attribution(span.start, span.end, _rounded(odds[first] - without))
                for span, without in zip(these, odds[first + 1 :], strict=False)
            ),
            logits=logits[first],
            truncated=text.encoded.truncated,
        )
        for text, these, first, explained in zip(texts, stretches, firsts, chosen, strict=True)
    ]


def _stretches(text: EncodedWithOffsets) -> list[Span]:
    """What is left out in turn: each span, or neighbours together where there are too many."""
    spans = text.spans
    most = min(MOST_STRETCHES, max(1, MOST_TOKENS // len(text.encoded.ids) - 1))
    count = min(len(spans), most)
    bounds = {number * len(spans) // count for number in range(count)} | {len(spans)}
    # What stands on both sides of a part that was not read is no stretch.
    ordered = sorted(bounds | {text.boundary})
    return [_joined(spans[first:last]) for first, last in pairwise(ordered)]


def _joined(spans: Sequence[Span]) -> Span:
    first, last = spans[0], spans[-1]
    return Span(first.start, last.end, range(first.tokens.start, last.tokens.stop))


def _variants(text: Encoded, stretches: Sequence[Span]) -> Iterator[Encoded]:
    """The text itself, and what it is without each of the stretches."""
    yield text
    for stretch in stretches:
        ids = text.ids.copy()
        ids[stretch.tokens.start : stretch.tokens.stop] = UNKNOWN_ID
        yield Encoded(ids, text.truncated)


def _rounded(value: np.float64) -> float:
    # Adding zero makes a zero of what would be printed as -0.0.
    return round(float(value), _DECIMALS) + 0.0
