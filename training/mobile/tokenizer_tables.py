"""A tokenizer of words or characters as character sets and tables, read from its `tokenizer.json`.

Of the tokenizers that `gatewise.vocab.tokenizer.tokenizer_json` reads, accepts those that normalize
each character by itself; others are refused.
"""

import json
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from typing import Literal

from tokenizers import Tokenizer, normalizers

from gatewise.vocab.errors import GatewiseError
from gatewise.vocab.tokenizer import character_classes, pre_tokenization
from gatewise.vocab.tokenizer.tokenizer import SPECIAL_TOKENS, Unit
from gatewise.vocab.tokenizer.word_pieces import CONTINUATION

SPACE = " "
"""The character token that a run of white space becomes."""

_ADVICE = "use the model folder with its tokenizer.json instead"


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
        ids: The id of each token that a text or a word can begin with, without special tokens.
        pieces: The id of each piece inside a word, without the mark of one.
        longest_word: Characters of a word; a longer one is unknown.
    """

    unit: Literal["word", "character"]
    dropped: frozenset[int]
    spaces: frozenset[int]
    isolated: frozenset[int]
    lowercase: Mapping[str, str]
    ids: Mapping[str, int]
    pieces: Mapping[str, int]
    longest_word: int


def read_tables(tokenizer: Tokenizer, unit: Unit | Literal["vector"]) -> TokenizerTables:
    """The tables of a tokenizer that `parse_tokenizer` accepts, with tokens of a unit.

    Raises:
        TokenizerTablesError: If a step of the tokenizer depends on neighbouring characters; the
            message names it.
    """
    if unit not in ("word", "character"):
        raise TokenizerTablesError(
            f"expected a tokenizer with tokens.unit=word or character, received {unit}: splitting "
            f"words or joining them cannot be expressed as an ONNX graph; {_ADVICE}"
        )
    document = json.loads(tokenizer.to_str())
    model, splits = document["model"], (document["pre_tokenizer"] or {}).get("pretokenizers", [])
    kind = (model["type"], model.get("merges", []), len(splits))
    if kind != (("WordPiece", [], 2) if unit == "word" else ("BPE", [], 0)):
        raise TokenizerTablesError(
            f"expected a tokenizer of {unit}s, received a different one; {_ADVICE}"
        )
    steps = document["normalizer"]["normalizers"]
    lowercases = _lowercases({step["type"] for step in steps}, unit)
    # The first step removes characters. White space and isolated characters are split at; among
    # characters, white space is collapsed by the step before the last.
    dropped, spaces, *others = (
        character_classes.members(step["pattern"]["Regex"])
        for step in (steps[0], *(splits or [steps[-2]]))
    )
    spaces -= dropped
    isolated = others[0] - dropped - spaces if others else frozenset()
    unchanged = {chr(code) for code in dropped | spaces}
    lowercase = {a: b for a, b in _lowercase().items() if a not in unchanged} if lowercases else {}
    _check_lowercase(lowercase, unchanged, isolated, unit)
    max_length = model.get("max_input_chars_per_word", 1)

    def is_reachable(token: str) -> bool:
        if token in SPECIAL_TOKENS or not lowercase.keys().isdisjoint(token):
            return False
        if unit == "character":
            return token == SPACE or (len(token) == 1 and token not in unchanged)
        if len(token) == 1 and ord(token) in isolated:
            return True
        is_split = not unchanged.isdisjoint(token) or not isolated.isdisjoint(map(ord, token))
        return 0 < len(token) <= max_length and not is_split

    vocabulary = tokenizer.get_vocab(with_added_tokens=False)
    entries = sorted(vocabulary, key=vocabulary.__getitem__)
    ids = {token: vocabulary[token] for token in filter(is_reachable, entries)}
    inside = [entry for entry in entries if unit == "word" and entry.startswith(CONTINUATION)]
    bare = {entry.removeprefix(CONTINUATION): vocabulary[entry] for entry in inside}
    pieces = {
        piece: id_
        for piece, id_ in bare.items()
        if isolated.isdisjoint(map(ord, piece)) and is_reachable(piece)
    }
    return TokenizerTables(unit, dropped, spaces, isolated, lowercase, ids, pieces, max_length)


def _lowercases(steps: set[str], unit: Unit) -> bool:
    """Whether a tokenizer with these normalizer steps lowercases; refuses other steps."""
    if forms := steps & {"NFC", "NFKC", "NFD", "NFKD"}:
        raise TokenizerTablesError(
            "expected a tokenizer with tokens.accents=keep and tokens.normalization=none, received "
            f"one with the form {min(forms)}: the result for a character then depends on its "
            f"neighbours, which cannot be expressed as an ONNX graph; {_ADVICE}"
        )
    if unit == "character" and "Lowercase" not in steps:
        raise TokenizerTablesError(
            "expected a tokenizer of characters with tokens.lowercase=true, received "
            "tokens.lowercase=false: whether characters form a special token then depends "
            "on their neighbours, which cannot be expressed as an ONNX graph; " + _ADVICE
        )
    return "Lowercase" in steps


@cache
def _lowercase() -> Mapping[str, str]:
    """The lower case of every character that changes, from the library that normalizes texts.

    The library's Unicode tables may differ from Python's.
    """
    codes = range(sys.maxunicode + 1)
    characters = [chr(code) for code in codes if not 0xD800 <= code <= 0xDFFF]
    steps = pre_tokenization.cleaning(lowercase=True, strip_accents=False, form="none")[1:]
    changed = normalizers.Sequence(steps).normalize_str("\n".join(characters)).split("\n")
    # The line feed itself became two empty parts.
    at = characters.index("\n")
    changed[at : at + 2] = ["\n"]
    return {a: b for a, b in zip(characters, changed, strict=True) if a != b}


def _check_lowercase(
    lowercase: Mapping[str, str], unchanged: set[str], isolated: frozenset[int], unit: Unit
) -> None:
    """Refuses a tokenizer where lowercasing a text moves its token boundaries."""
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
