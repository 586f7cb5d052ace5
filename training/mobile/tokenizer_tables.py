"""What a dictionary does to a text, read back from it as sets of characters and tables.

Accepts exactly the dictionaries of words and of characters that
`gatewise.vocab.tokenizer.tokenizer` trains, and those of its settings that look at one character
at a time; whatever else is in a dictionary is refused, so that nothing is left out unseen. Knows
nothing of ONNX.
"""

import json
import re
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from itertools import product
from typing import Any, Literal, get_args

from gatewise.vocab.errors import GatewiseError
from gatewise.vocab.tokenizer import character_classes, pre_tokenization
from gatewise.vocab.tokenizer.tokenizer import (
    CONTINUATION,
    SPECIAL_TOKENS,
    Accents,
    Normalization,
    Unit,
    train_tokenizer,
)
from tokenizers import Tokenizer, normalizers

BLANK = " "
"""What all white space becomes, where tokens are characters."""

_ELSE = "use tokenizer.json beside the model instead"
_CLASS = re.compile(r"\[(?:\\x\{[0-9a-f]+\}-?)+\]")


class TokenizerTablesError(GatewiseError):
    """A dictionary whose work cannot be done, exactly, by operators of onnxruntime."""


@dataclass(frozen=True)
class TokenizerTables:
    """How a text becomes ids: what is dropped, what is made lower case, where it is cut.

    Attributes:
        unit: What a token is.
        dropped: Code points that are taken out before anything else.
        spaces: Code points of white space. Words end there; among characters one space is left
            of several in a row, and none at either end of a text.
        alone: Code points that are a token each, where tokens are words; else empty.
        lowered: What a character becomes that does not stay as it is. White space and what is
            dropped stay; what stands alone becomes one character that does too.
        ids: The id of each token that can come of a text, special tokens left out.
    """

    unit: Literal["word", "character"]
    dropped: frozenset[int]
    spaces: frozenset[int]
    alone: frozenset[int]
    lowered: Mapping[str, str]
    ids: Mapping[str, int]


def read(tokenizer: Tokenizer, unit: Unit) -> TokenizerTables:
    """The recipe of a dictionary.

    Args:
        tokenizer: The dictionary.
        unit: What its tokens are.

    Raises:
        TokenizerTablesError: If it does something else, or something that depends on neighbouring
            characters; the message names it.
    """
    if unit not in ("word", "character"):
        raise TokenizerTablesError(
            f"expected a dictionary with tokens.unit=word or character, received {unit}: how a "
            f"word is cut into pieces, or joined with others, cannot be put into a graph; {_ELSE}"
        )
    document = json.loads(tokenizer.to_str())
    vocabulary = tokenizer.get_vocab(with_added_tokens=False)
    classes: list[str] = []
    lowercase = _lowercase(_shape(document, classes), unit)
    dropped, spaces, *others = map(character_classes.members, classes)
    spaces -= dropped
    alone = others[0] - dropped - spaces if others else frozenset()
    still = {chr(code) for code in dropped | spaces}
    lowered = {a: b for a, b in _lowered().items() if a not in still} if lowercase else {}
    _check(lowered, still, alone, unit)
    if any(entry.startswith(CONTINUATION) and entry != CONTINUATION for entry in vocabulary):
        raise _another(unit)
    longest = document["model"].get("max_input_chars_per_word", 1)

    def comes_of_a_text(token: str) -> bool:
        if token in SPECIAL_TOKENS or not lowered.keys().isdisjoint(token):
            return False
        if unit == "character":
            return token == BLANK or (len(token) == 1 and token not in still)
        if len(token) == 1 and ord(token) in alone:
            return True
        parted = not still.isdisjoint(token) or not alone.isdisjoint(map(ord, token))
        return 0 < len(token) <= longest and not parted

    tokens = sorted(filter(comes_of_a_text, vocabulary), key=vocabulary.__getitem__)
    ids = {token: vocabulary[token] for token in tokens}
    return TokenizerTables(unit, dropped, spaces, alone, lowered, ids)


def _lowercase(shape: object, unit: Unit) -> bool:
    """Whether a dictionary of such a shape makes texts lower case.

    Raises:
        TokenizerTablesError: If Gatewise trains none of this shape, or one that cannot be
        expressed.
    """
    for accents, form in product(get_args(Accents), get_args(Normalization)):
        found = [low for low in (True, False) if shape == _reference(unit, low, accents, form)]
        if not found:
            continue
        if accents == "keep" and form == "none":
            if unit == "character" and not found[0]:
                raise TokenizerTablesError(
                    "expected a dictionary of characters with tokens.lowercase=true, received one "
                    "that keeps the case: what becomes a special token there once characters are "
                    f"dropped depends on those beside it, which cannot be put into a graph; {_ELSE}"
                )
            return found[0]
        setting = "accents=strip" if accents == "strip" else f"normalization={form}"
        raise TokenizerTablesError(
            "expected a dictionary that leaves accents and Unicode forms as they are, received "
            f"one with tokens.{setting}: what becomes of a character then depends on those beside "
            f"it, which cannot be put into a graph; {_ELSE}"
        )
    raise _another(unit)


def _another(unit: Unit) -> TokenizerTablesError:
    return TokenizerTablesError(
        f"expected a dictionary of {unit}s as this version of Gatewise trains it, received "
        f"another: how it cuts a text is not known to be what a graph can do; {_ELSE}"
    )


@cache
def _reference(unit: Unit, lowercase: bool, accents: Accents, form: Normalization) -> object:
    tokenizer = train_tokenizer(
        ["a"], unit=unit, lowercase=lowercase, accents=accents, normalization=form
    )
    return _shape(json.loads(tokenizer.to_str()), [])


def _shape(document: dict[str, Any], classes: list[str]) -> object:
    """A dictionary without its entries and its classes of characters; those go into `classes`.

    The classes follow the Unicode tables of the Python that trained the dictionary, so they may
    differ between two that are made in the same way.
    """
    parts = ("added_tokens", "normalizer", "pre_tokenizer", "post_processor", "model")
    model = {name: value for name, value in document["model"].items() if name != "vocab"}

    def walk(value: object) -> object:
        if isinstance(value, dict):
            return {name: walk(inner) for name, inner in value.items()}
        if isinstance(value, list):
            return [walk(inner) for inner in value]
        if isinstance(value, str):
            classes.extend(_CLASS.findall(value))
            return _CLASS.sub("class", value)
        return value

    return [walk({**document, "model": model}[part]) for part in parts]


@cache
def _lowered() -> Mapping[str, str]:
    """What each character becomes in lower case that does not stay as it is.

    Asked of the library that cuts the texts of a model, whose Unicode tables are its own.
    """
    whole = [chr(code) for code in _encodable()]
    steps = pre_tokenization.cleaning(lowercase=True, strip_accents=False, form="none")[1:]
    changed = normalizers.Sequence(steps).normalize_str("\n".join(whole)).split("\n")
    # The line feed itself gave two parts that are empty.
    at = whole.index("\n")
    changed[at : at + 2] = ["\n"]
    return {a: b for a, b in zip(whole, changed, strict=True) if a != b}


def _encodable() -> Iterator[int]:
    return (code for code in range(sys.maxunicode + 1) if not 0xD800 <= code <= 0xDFFF)


def _check(lowered: Mapping[str, str], still: set[str], alone: frozenset[int], unit: Unit) -> None:
    """Checks that making a text lower case does not move where it is cut.

    Raises:
        TokenizerTablesError: If a character becomes one of another kind, or a bracket is part of a
        word.
    """
    for character, becomes in lowered.items():
        kinds = {ord(one) in alone for one in becomes}
        standing = ord(character) in alone
        if not still.isdisjoint(becomes) or kinds != {standing} or len(becomes) > 2 - standing:
            raise TokenizerTablesError(
                f"U+{ord(character):04X} becomes {becomes!a} in lower case, which is of another "
                f"kind, and cannot be put into a graph; {_ELSE}"
            )
    if unit == "word" and not alone.issuperset(map(ord, "[]")):
        raise TokenizerTablesError(
            f"expected square brackets to stand alone, so that {' '.join(SPECIAL_TOKENS)} can be "
            f"told from words, received a dictionary where they are part of words; {_ELSE}"
        )
