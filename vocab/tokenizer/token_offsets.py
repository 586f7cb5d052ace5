"""Which characters of a text its tokens stand for.

Owns how the offsets that a tokenizer tells become stretches of the text as it was written: told
apart, in order, none of them empty. Knows no ids and no model.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace


@dataclass(frozen=True, slots=True)
class Span:
    """A stretch of a text and the tokens that stand for it.

    Attributes:
        start: Its first character, counted in code points, as Python counts.
        end: The character behind its last.
        tokens: Which tokens they are, by their places among those of the text.
    """

    start: int
    end: int
    tokens: range


def token_offsets(text: str, offsets: Sequence[tuple[int, int]]) -> list[Span]:
    r"""The stretches that tokens stand for, ascending; none overlaps another.

    Tokens are joined that cannot be told apart by characters, such as the three that `½` becomes
    in a compatibility form, or a mark of a word's beginning that is no character. White space at
    the ends of a stretch is left out, unless there is nothing else. Characters that are dropped,
    or become one with those before them, are taken with what stands before them: an accent, a
    variation selector, the joiner of an emoji.

    >>> [(span.start, span.end) for span in spans_of("no\u200b way", [(0, 2), (3, 7)])]
    [(0, 3), (4, 7)]

    Args:
        text: The text as it was given.
        offsets: The first character of each token and the one behind its last.
    """
    joined = _joined(offsets)
    nexts = [*(span.start for span in joined), len(text)][1:]
    return [_fitted(text, span, until) for span, until in zip(joined, nexts, strict=True)]


def _joined(offsets: Sequence[tuple[int, int]]) -> list[Span]:
    spans: list[Span] = []
    for place, (start, end) in enumerate(offsets):
        last = spans[-1] if spans else None
        # What is empty goes with the token behind it, for it marks where a word begins.
        if last and (start < last.end or last.start == last.end):
            spans[-1] = Span(
                min(start, last.start), max(end, last.end), range(last.tokens.start, place + 1)
            )
        else:
            spans.append(Span(start, end, range(place, place + 1)))
    if spans and spans[-1].start == spans[-1].end:
        empty = spans.pop()
        if spans:
            spans[-1] = replace(spans[-1], tokens=range(spans[-1].tokens.start, empty.tokens.stop))
    return spans


def _fitted(text: str, span: Span, until: int) -> Span:
    start, end = span.start, span.end
    stretch = text[start:end]
    if not stretch.isspace():
        start += len(stretch) - len(stretch.lstrip())
        end -= len(stretch) - len(stretch.rstrip())
    # A blank takes nothing with it.
    while start < end < until and not text[end - 1].isspace() and not text[end].isspace():
        end += 1
    return replace(span, start=start, end=end)
