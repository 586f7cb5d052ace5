"""A text that comes in pieces, cut into tokens as it comes.

The ids are those that the whole text has, but for those at its end that more text can still
change: a word may go on. How much is left open does not grow with the text. Owns what is known of
a text whose end is not; where a text may be cut is in
`gatewise.vocab.tokenizer.stable_boundaries`. Knows no model.
"""

import re
from dataclasses import dataclass

from gatewise.vocab.errors import GatewiseError
from gatewise.vocab.tokenizer.stable_boundaries import StableBoundaries, stable_boundaries
from gatewise.vocab.tokenizer.tokenizer import SPECIAL_TOKENS
from tokenizers import Tokenizer

MOST_OPEN = 1024
"""Most characters at the end of a text that may be open: some words would never end."""

_SPECIAL = re.compile("|".join(map(re.escape, SPECIAL_TOKENS)))
# What may become a special token with what follows.
_BEGINNINGS = {token[:size] for token in SPECIAL_TOKENS for size in range(1, len(token))}
_BEGUN = re.compile(f"(?:{'|'.join(map(re.escape, sorted(_BEGINNINGS)))})\\Z")


class EndlessWordError(GatewiseError):
    """A text that goes on without a place where a token must have ended."""


@dataclass(frozen=True, slots=True)
class TokenDelta:
    """The tokens that a piece of text has added.

    Attributes:
        ids: Those that stay, whatever follows.
        open: Those of the rest, if the text ends here.
    """

    ids: list[int]
    open: list[int]


class IncrementalTokenizer:
    """Texts that come in pieces, all read with one dictionary.

    Args:
        tokenizer: The dictionary.

    Raises:
        DictionaryError: If which tokens a text has at its beginning may depend on its end.
    """

    def __init__(self, tokenizer: Tokenizer) -> None:
        self._seams = stable_boundaries(tokenizer)

    def text(self) -> "IncrementalText":
        """A new text, of which nothing has come."""
        return IncrementalText(self._seams)


class IncrementalText:
    """A text of which more may come; see `IncrementalTokenizer.text`."""

    def __init__(self, seams: StableBoundaries) -> None:
        self._seams = seams
        self._open = ""  # cleaned, after the last seam
        self._begun = ""  # as it came: the beginning of what may become a special token
        self._before: int | None = None  # the last id, since the last special token

    def add(self, piece: str) -> TokenDelta:
        """The tokens that a piece of text adds, without the begin mark.

        Raises:
            EndlessWordError: If more than `MOST_OPEN` characters are still open. The text cannot
                go on then.
            UnicodeEncodeError: If the piece holds half a character of UTF-16.
        """
        piece.encode()  # told of before anything of it is taken in
        ids = []
        text, start = self._begun + piece, 0
        for special in _SPECIAL.finditer(text):
            ids += self._read(text[start : special.start()])
            ids += self._closed()
            ids.append(SPECIAL_TOKENS.index(special[0]))
            start = special.end()
        begun = _BEGUN.search(text, start)
        end = begun.start() if begun else len(text)
        ids += self._read(text[start:end])
        self._begun = text[end:]
        rest = self._seams.cleaned(self._begun)
        return TokenDelta(ids, self._seams.tokens(self._open + rest, self._before))

    def _read(self, text: str) -> list[int]:
        """What stays of a stretch without special tokens; the rest is left open."""
        seams = self._seams
        more = seams.cleaned(text)
        if self._open.endswith(" "):
            more = more.removeprefix(" ")
        self._open += more
        place = seams.last(self._open)
        ids = seams.tokens(self._open[:place], self._before)
        self._open = seams.shortened(self._open[place:])
        if len(self._open) > MOST_OPEN:
            raise EndlessWordError(
                f"expected an end of a token within {MOST_OPEN:,} characters, found none in "
                f"{self._open[:20]!r}…: such a text can be classified as a whole alone"
            )
        self._before = ids[-1] if ids else self._before
        return ids

    def _closed(self) -> list[int]:
        """What was open, of a stretch that has ended."""
        ids = self._seams.tokens(self._open, self._before)
        self._open, self._before = "", None
        return ids
