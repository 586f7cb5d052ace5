"""The ids of texts whose tokens are characters, by a table over code points.

Without a normal form every step of such a tokenizer looks at one character alone, except that
white space is collapsed, and stripped at the ends: so many texts are tokenized by a few operations
on arrays, which takes a twentieth of the tokenizer's time.
"""

import json
from collections.abc import Sequence
from typing import Self

import numpy as np
from numpy.typing import NDArray
from tokenizers import Tokenizer

from gatewise.vocab.tokenizer.tokenizer import (
    CLS_ID,
    SPECIAL_TOKENS,
    UNKNOWN_ID,
    has_independent_entries,
)

_CODE_POINTS = 0x110000
_UNSEEN, _DROPPED, _WHITE, _SEVERAL = -1, -2, -3, -4
"""What the table has instead of an id: characters that were not looked up yet, that the normalizer
removes, that count as white space, and that it replaces by several."""


class CharacterIds:
    """The ids of the characters of a tokenizer; safe to use from several threads.

    Args:
        tokenizer: A tokenizer that `CharacterIds.of` accepts.
    """

    def __init__(self, tokenizer: Tokenizer) -> None:
        self._normalizer = tokenizer.normalizer
        self._vocabulary = tokenizer.get_vocab(with_added_tokens=False)
        self._space = self._vocabulary.get(" ", UNKNOWN_ID)
        self._table = np.full(_CODE_POINTS, _UNSEEN, dtype=np.int32)

    @classmethod
    def of(cls, tokenizer: Tokenizer) -> Self | None:
        """The ids of a tokenizer; None if an id does not depend on one character alone."""
        if tokenizer.pre_tokenizer is not None or not has_independent_entries(tokenizer):
            return None
        steps = json.loads(tokenizer.normalizer.__getstate__())["normalizers"]
        if any(step["type"].startswith("NF") for step in steps):
            return None
        return cls(tokenizer) if steps[-1].get("pattern") == {"Regex": "^ | $"} else None

    def encode(self, texts: Sequence[str]) -> tuple[NDArray[np.int64], NDArray[np.int64]] | None:
        """The ids of texts, one after another, and the number of ids of each.

        Returns:
            Each text's ids begin with `[CLS]`. None if the texts must go to the tokenizer: they
            hold a special token, or a character that becomes several.
        """
        joined = "".join(texts)
        if any(token in joined for token in SPECIAL_TOKENS):
            return None
        try:
            codes = np.frombuffer(joined.encode("utf-32-le"), dtype=np.dtype("<u4"))
        except UnicodeEncodeError:  # a lone surrogate, which the tokenizer refuses
            return None
        ids = self._table.take(codes)
        if (ids == _UNSEEN).any():
            for code in np.unique(codes[ids == _UNSEEN]).tolist():
                self._table[code] = self._look_up(chr(code))
            ids = self._table.take(codes)
        is_dropped = ids == _DROPPED
        # A special token may only appear without what is dropped, and is then escaped.
        if (ids == _SEVERAL).any() or ("[" in joined and is_dropped.any()):
            return None
        lengths = np.fromiter(map(len, texts), np.int64, len(texts))
        ids = np.insert(ids, lengths.cumsum() - lengths, CLS_ID)
        if is_dropped.any():
            ids = ids[ids != _DROPPED]
        # Of several white spaces the first, and none after [CLS], or before it or the end.
        is_white, is_begin = ids == _WHITE, ids == CLS_ID
        kept = ~is_white
        kept[1:] |= ~(is_white | is_begin)[:-1]
        ids = ids[kept]
        is_white, is_begin = ids == _WHITE, ids == CLS_ID
        kept = ~is_white
        kept[:-1] |= ~is_begin[1:]
        if is_white[-1]:
            kept[-1] = False
        ids = np.where(is_white, self._space, ids)[kept].astype(np.int64)
        begins = np.flatnonzero(ids == CLS_ID)
        return ids, np.diff(begins, append=len(ids))

    def _look_up(self, character: str) -> int:
        # Twice, so that white space, which collapses, differs from a character that is unknown.
        normalized = self._normalizer.normalize_str(f"a{character}{character}a")[1:-1]
        if normalized in ("", " "):
            return _WHITE if normalized else _DROPPED
        return self._vocabulary.get(normalized[0], UNKNOWN_ID) if len(normalized) == 2 else _SEVERAL
