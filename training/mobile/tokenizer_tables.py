"""A tokenizer of words or characters as character sets and tables, read from its `tokenizer.json`.

Accepts exactly the tokenizers that `gatewise.vocab.tokenizer.tokenizer` trains with settings under
which each character is normalized by itself. Any other part of a tokenizer is refused, so that none
is left out unnoticed.
"""

import json
import re
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from itertools import product
from typing import Any, Literal, get_args

from tokenizers import Tokenizer, normalizers

from gatewise.vocab.errors import GatewiseError
from gatewise.vocab.tokenizer import character_classes, pre_tokenization
from gatewise.vocab.tokenizer.tokenizer import (
    SPECIAL_TOKENS,
    Accents,
    Normalization,
    Unit,
    train_tokenizer,
)

SPACE = " "
"""The character token that a run of white space becomes."""

_ADVICE = "use the model folder with its tokenizer.json instead"
_CLASS = re.compile(r"\[(?:\\x\{[0-9a-f]+\}-?)+\]")


class TokenizerTablesError(GatewiseError):
    """A tokenizer that operators of onnxruntime cannot reproduce exactly."""


@dataclass(frozen=True)
class TokenizerTables:
    """From text to ids: the characters to drop, to lowercase and to split at, and the vocabulary.

    Attributes:
        unit: What a token is.
        dropped: Code points that are removed first.
        spaces: Code points of white space. Words end there; among characters, a run of white space
            becomes one space, and none is left at either end of a text.
        isolated: Code points that are a token each if tokens are words; else empty.
        lowercase: The lower case of each character that changes. White space and dropped
            characters do not change; an isolated character becomes one isolated character.
        ids: The id of each token that a text can contain, without special tokens.
    """

    unit: Literal["word", "character"]
    dropped: frozenset[int]
    spaces: frozenset[int]
    isolated: frozenset[int]
    lowercase: Mapping[str, str]
    ids: Mapping[str, int]


def read_tables(tokenizer: Tokenizer, unit: Unit) -> TokenizerTables:
    """The tables of a tokenizer.

    Args:
        tokenizer: The tokenizer.
        unit: What its tokens are.

    Raises:
        TokenizerTablesError: If the tokenizer has another step, or a step that depends on
            neighbouring characters; the message names it.
    """
    if unit not in ("word", "character"):
        raise TokenizerTablesError(
            f"expected a tokenizer with tokens.unit=word or character, received {unit}: splitting "
            f"words or joining them cannot be expressed as an ONNX graph; {_ADVICE}"
        )
    document = json.loads(tokenizer.to_str())
    vocabulary = tokenizer.get_vocab(with_added_tokens=False)
    classes: list[str] = []
    lowercases = _lowercases(_shape(document, classes), unit)
    dropped, spaces, *others = map(character_classes.members, classes)
    spaces -= dropped
    isolated = others[0] - dropped - spaces if others else frozenset()
    unchanged = {chr(code) for code in dropped | spaces}
    lowercase = {a: b for a, b in _lowercase().items() if a not in unchanged} if lowercases else {}
    _check_lowercase(lowercase, unchanged, isolated, unit)
    max_length = document["model"].get("max_input_chars_per_word", 1)

    def is_reachable(token: str) -> bool:
        if token in SPECIAL_TOKENS or not lowercase.keys().isdisjoint(token):
            return False
        if unit == "character":
            return token == SPACE or (len(token) == 1 and token not in unchanged)
        if len(token) == 1 and ord(token) in isolated:
            return True
        is_split = not unchanged.isdisjoint(token) or not isolated.isdisjoint(map(ord, token))
        return 0 < len(token) <= max_length and not is_split

    tokens = sorted(filter(is_reachable, vocabulary), key=vocabulary.__getitem__)
    ids = {token: vocabulary[token] for token in tokens}
    return TokenizerTables(unit, dropped, spaces, isolated, lowercase, ids)


def _lowercases(shape: object, unit: Unit) -> bool:
    """Whether a tokenizer of this shape lowercases.

    Raises:
        TokenizerTablesError: If Gatewise trains none of this shape, or the shape cannot be
            expressed.
    """
    for accents, form in product(get_args(Accents), get_args(Normalization)):
        found = [low for low in (True, False) if shape == _trained_shape(unit, low, accents, form)]
        if not found:
            continue
        if accents == "keep" and form == "none":
            if unit == "character" and not found[0]:
                raise TokenizerTablesError(
                    "expected a tokenizer of characters with tokens.lowercase=true, received "
                    "tokens.lowercase=false: whether characters form a special token then depends "
                    "on their neighbours, which cannot be expressed as an ONNX graph; " + _ADVICE
                )
            return found[0]
        setting = "accents=strip" if accents == "strip" else f"normalization={form}"
        raise TokenizerTablesError(
            "expected a tokenizer that keeps accents and does not normalize, received "
            f"tokens.{setting}: the result for a character then depends on its neighbours, which "
            f"cannot be expressed as an ONNX graph; {_ADVICE}"
        )
    raise TokenizerTablesError(
        f"expected a tokenizer of {unit}s as this version of Gatewise trains it, received a "
        f"different one; {_ADVICE}"
    )


@cache
def _trained_shape(unit: Unit, lowercase: bool, accents: Accents, form: Normalization) -> object:
    tokenizer = train_tokenizer(
        ["a"], unit=unit, lowercase=lowercase, accents=accents, normalization=form
    )
    return _shape(json.loads(tokenizer.to_str()), [])


def _shape(document: dict[str, Any], classes: list[str]) -> object:
    """A tokenizer without its vocabulary and its character classes; those are added to `classes`.

    The classes follow the Unicode tables of the Python that trained the tokenizer, so they may
    differ between tokenizers of the same settings.
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
def _lowercase() -> Mapping[str, str]:
    """The lower case of every character that changes, from the library that normalizes texts.

    The library's Unicode tables may differ from Python's.
    """
    characters = [chr(code) for code in _encodable()]
    steps = pre_tokenization.cleaning(lowercase=True, strip_accents=False, form="none")[1:]
    changed = normalizers.Sequence(steps).normalize_str("\n".join(characters)).split("\n")
    # The line feed itself became two empty parts.
    at = characters.index("\n")
    changed[at : at + 2] = ["\n"]
    return {a: b for a, b in zip(characters, changed, strict=True) if a != b}


def _encodable() -> Iterator[int]:
    return (code for code in range(sys.maxunicode + 1) if not 0xD800 <= code <= 0xDFFF)


def _check_lowercase(
    lowercase: Mapping[str, str], unchanged: set[str], isolated: frozenset[int], unit: Unit
) -> None:
    """Checks that lowercasing a text does not move its token boundaries.

    Raises:
        TokenizerTablesError: If a character becomes one of another kind, or a square bracket is
            part of a word.
    """
    for character, becomes in lowercase.items():
        kinds = {ord(each) in isolated for each in becomes}
        is_isolated = ord(character) in isolated
        if (
            not unchanged.isdisjoint(becomes)
            or kinds != {is_isolated}
            or len(becomes) > 2 - is_isolated
        ):
            raise TokenizerTablesError(
                f"U+{ord(character):04X} becomes {becomes!a} in lower case, a character of another "
                f"kind, which cannot be expressed as an ONNX graph; {_ADVICE}"
            )
    if unit == "word" and not isolated.issuperset(map(ord, "[]")):
        raise TokenizerTablesError(
            f"expected square brackets to be tokens by themselves, so that "
            f"{' '.join(SPECIAL_TOKENS)} differ from words, received a tokenizer where they are "
            f"part of words; {_ADVICE}"
        )
