"""Incremental tokenization: token ids of a text that arrives in pieces.

The ids are those of the whole text, except for those at the end that more text can still change.
How much stays open does not grow with the text.
"""

import re
from dataclasses import dataclass
from typing import Generic, TypeVar

from tokenizers import Tokenizer

from gatewise.vocab.errors import GatewiseError
from gatewise.vocab.tokenizer.stable_boundaries import StableBoundaries, stable_boundaries
from gatewise.vocab.tokenizer.tokenizer import SPECIAL_TOKENS

MAX_OPEN_CHARACTERS = 1024
"""Maximum number of characters after the last stable boundary."""

_SPECIAL = re.compile("|".join(map(re.escape, SPECIAL_TOKENS)))
# The begin of a special token, which what follows may complete.
_PREFIXES = {token[:size] for token in SPECIAL_TOKENS for size in range(1, len(token))}
_PREFIX_AT_END = re.compile(f"(?:{'|'.join(map(re.escape, sorted(_PREFIXES)))})\\Z")


class EndlessWordError(GatewiseError):
    """A text without a stable boundary in its last `MAX_OPEN_CHARACTERS` characters."""


_Token = TypeVar("_Token")


@dataclass(frozen=True, slots=True)
class TokenDelta(Generic[_Token]):
    """The tokens that a piece adds: final ones, and those if the text ends here."""

    ids: list[_Token]
    open: list[_Token]


class IncrementalTokenizer:
    """Tokenizes texts that arrive in pieces.

    Raises:
        TokenizerError: The first tokens of a text may depend on its end.
    """

    def __init__(self, tokenizer: Tokenizer) -> None:
        self._boundaries = stable_boundaries(tokenizer)

    def text(self) -> "IncrementalText":
        """A new, empty text."""
        return IncrementalText(self._boundaries)


class IncrementalText:
    """A text that arrives in pieces; see `IncrementalTokenizer.text`."""

    def __init__(self, boundaries: StableBoundaries) -> None:
        self._boundaries = boundaries
        self._open = ""  # cleaned text after the last boundary
        self._prefix = ""  # raw text at the end that may become a special token
        self._before: int | None = None  # the last id since the last special token

    def add(self, piece: str = "") -> TokenDelta[int]:
        """Add a piece and return the tokens that it adds, without `[CLS]`.

        Raises:
            EndlessWordError: More than `MAX_OPEN_CHARACTERS` are open. Nothing can be added
                afterwards.
            UnicodeEncodeError: The piece holds a lone surrogate; nothing is added.
        """
        piece.encode()  # raises before anything changes
        ids = []
        text, start = self._prefix + piece, 0
        for special in _SPECIAL.finditer(text):
            ids += self._read(text[start : special.start()])
            ids += self._close()
            ids.append(SPECIAL_TOKENS.index(special[0]))
            start = special.end()
        prefix = _PREFIX_AT_END.search(text, start)
        end = prefix.start() if prefix else len(text)
        ids += self._read(text[start:end])
        self._prefix = text[end:]
        rest = self._boundaries.cleaned(self._prefix)
        return TokenDelta(ids, self._boundaries.tokens(self._open + rest, self._before))

    def _read(self, text: str) -> list[int]:
        """Add text without special tokens; return the ids up to the last boundary."""
        boundaries = self._boundaries
        more = boundaries.cleaned(text)
        if self._open.endswith(" "):
            more = more.removeprefix(" ")
        self._open += more
        place = boundaries.last(self._open)
        ids = boundaries.tokens(self._open[:place], self._before)
        self._open = boundaries.shortened(self._open[place:])
        if len(self._open) > MAX_OPEN_CHARACTERS:
            raise EndlessWordError(
                f"expected a token to end within {MAX_OPEN_CHARACTERS:,} characters, found none in "
                f"{self._open[:20]!r}…: classify such a text in one piece"
            )
        self._before = ids[-1] if ids else self._before
        return ids

    def _close(self) -> list[int]:
        """End the open text at a special token; return its ids."""
        ids = self._boundaries.tokens(self._open, self._before)
        self._open, self._before = "", None
        return ids
