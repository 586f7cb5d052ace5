"""Spans: the characters of the original text that tokens stand for."""

from collections.abc import Sequence
from dataclasses import dataclass, replace


@dataclass(frozen=True, slots=True)
class Span:
    """The characters of a text from `start` to `end`, and the indices of its tokens."""

    start: int
    end: int
    tokens: range


def token_offsets(text: str, offsets: Sequence[tuple[int, int]]) -> list[Span]:
    r"""Turn a tokenizer's offsets into spans: ascending, not empty, without overlaps.

    Tokens that share characters are joined in one span, such as the three that `½` becomes in a
    compatibility form, or a word mark that is no character of the text. White space at the ends of
    a span is left out, unless there is nothing else. Characters that the normalizer drops or
    combines belong to the span before them: an accent, a variation selector, an emoji's joiner.

    >>> [(span.start, span.end) for span in token_offsets("no\u200b way", [(0, 2), (3, 7)])]
    [(0, 3), (4, 7)]
    """
    joined = _joined(offsets)
    nexts = [*(span.start for span in joined), len(text)][1:]
    return [_fitted(text, span, until) for span, until in zip(joined, nexts, strict=True)]


def _joined(offsets: Sequence[tuple[int, int]]) -> list[Span]:
    spans: list[Span] = []
    for place, (start, end) in enumerate(offsets):
        last = spans[-1] if spans else None
        # An empty token marks a word's begin, so it joins the token after it.
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
    content = text[start:end]
    if not content.isspace():
        start += len(content) - len(content.lstrip())
        end -= len(content) - len(content.rstrip())
    # Extend over dropped characters, but not after white space.
    while start < end < until and not text[end - 1].isspace() and not text[end].isspace():
        end += 1
    return replace(span, start=start, end=end)
