"""`tokenizer.json`: written by `serialize_tokenizer`, checked and read by `parse_tokenizer`.

A foreign file can hold a regular expression that takes exponential time, or an empty entry. So
every part is compared with what Gatewise writes before the library sees it: the normalizer steps
in their order, the settings of the model, entries of bounded length with the ids 0, 1, 2, … Only
the character classes may differ, because they come from the Unicode tables of the Python that
trained the tokenizer.
"""

import json
import math
import re
from typing import Any

from tokenizers import Tokenizer

from gatewise.vocab.errors import TokenizerError
from gatewise.vocab.strict_json import decoder
from gatewise.vocab.tokenizer.pre_tokenization import escape_special_token
from gatewise.vocab.tokenizer.tokenizer import (
    CLS,
    CLS_ID,
    MAX_WORD_CHARACTERS,
    SPECIAL_TOKENS,
    UNKNOWN,
    UNKNOWN_ID,
)
from gatewise.vocab.tokenizer.word_ngrams import MAX_ENTRY_CHARACTERS
from gatewise.vocab.tokenizer.word_pieces import CONTINUATION

# A character class as written in JSON, with doubled backslashes. The longest has 5,000 characters.
_CLASS = re.compile(
    r"\[\^?(?:\\\\x\{[0-9a-f]{1,6}\}(?:-\\\\x\{[0-9a-f]{1,6}\})?){1,4000}\]", re.ASCII
)
_C = "[]"
"""Placeholder for a character class in the patterns below; no valid file contains it."""

# Without its entries, a tokenizer.json has some 30,000 characters.
_MAX_CHARACTERS = 500_000
# One list per entry and per merge, of which there are a million at most, and room for entries that
# are brackets. A parsed list takes twenty times its two bytes.
_MAX_LISTS = 2**22


def _replace(kind: str, pattern: str, content: str) -> dict[str, Any]:
    return {"type": "Replace", "pattern": {kind: pattern}, "content": content}


def _split(pattern: str, behavior: str) -> dict[str, Any]:
    return {
        "type": "Split",
        "pattern": {"Regex": pattern},
        "behavior": behavior,
        "invert": False,
    }


# The steps of a normalizer, each with a letter; alternatives share one.
_STEPS = [
    ("r", _replace("Regex", _C, "")),
    *(("f", {"type": form}) for form in ("NFC", "NFKC", "NFD", "NFKD")),
    ("s", _replace("String", "Σ", "σ")),
    ("l", {"type": "Lowercase"}),
    ("w", _replace("Regex", f"{_C}+", " ")),
    ("t", _replace("Regex", "^ | $", "")),
    ("n", _replace("Regex", f"{_C}+", "\n")),
    ("u", _replace("Regex", f"(?<!{_C})(?={_C})", " ")),
    ("b", _replace("Regex", f"(?<!{_C})(?={_C})|(?<={_C})(?!{_C})", " ")),
    ("x", _replace("String", "\n", "")),
    *(("p", _replace("String", token, escape_special_token(token))) for token in SPECIAL_TOKENS),
]
# Removed characters; a Unicode form, or stripped accents between two forms; lower case, or escaped
# special tokens; single spaces, or word marks. "u" is Unigram's word mark of earlier releases.
_ORDER = re.compile("r(f|frf?)?(sl|p{3})(wt|nbx)?")

_BETWEEN_WORDS = {
    "type": "Sequence",
    "pretokenizers": [_split(f"{_C}+", "Removed"), _split(_C, "Isolated")],
}
_CLS_TOKEN = {"SpecialToken": {"id": CLS, "type_id": 0}}
_FIRST, _SECOND = ({"Sequence": {"id": name, "type_id": n}} for n, name in enumerate("AB"))
_FLAGS = dict.fromkeys(("single_word", "lstrip", "rstrip", "normalized"), False)
_FIXED_PARTS: dict[str, Any] = {
    "version": "1.0",
    "added_tokens": [
        {"id": number, "content": token, **_FLAGS, "special": True}
        for number, token in enumerate(SPECIAL_TOKENS)
    ],
    "post_processor": {
        "type": "TemplateProcessing",
        "single": [_CLS_TOKEN, _FIRST],
        "pair": [_CLS_TOKEN, _FIRST, _SECOND],
        "special_tokens": {CLS: {"id": CLS, "ids": [CLS_ID], "tokens": [CLS]}},
    },
    "decoder": None,
}
_MODELS: list[dict[str, Any]] = [
    {
        "type": "WordPiece",
        "unk_token": UNKNOWN,
        "continuing_subword_prefix": CONTINUATION,
        "max_input_chars_per_word": MAX_WORD_CHARACTERS,
    },
    {
        "type": "BPE",
        "dropout": None,
        "unk_token": UNKNOWN,
        "continuing_subword_prefix": None,
        "end_of_word_suffix": None,
        "fuse_unk": False,
        "byte_fallback": False,
        "ignore_merges": False,
    },
    {"type": "Unigram", "unk_id": UNKNOWN_ID, "byte_fallback": False},
]


def serialize_tokenizer(tokenizer: Tokenizer, *, pretty: bool = True) -> bytes:
    """The contents of `tokenizer.json`: the same tokenizer gives the same bytes.

    They are indented if `pretty`; without, the file is a third smaller.
    """
    return (tokenizer.to_str(pretty=pretty) + "\n").encode()


def parse_tokenizer(contents: bytes) -> Tokenizer:
    """Read what `serialize_tokenizer` wrote, every part checked first.

    Raises:
        TokenizerError: The contents are no tokenizer that Gatewise trained.
    """
    try:
        tokenizer = Tokenizer.from_buffer(_checked(contents))
    except TokenizerError:
        raise
    except RecursionError:
        raise TokenizerError("not a tokenizer: its JSON is nested too deeply") from None
    except Exception as error:  # the Rust side raises Exception itself
        reason = " ".join(str(error).split())[:300]
        raise TokenizerError(f"not a tokenizer: {reason}") from None
    expected = list(range(len(SPECIAL_TOKENS)))
    if [tokenizer.token_to_id(token) for token in SPECIAL_TOKENS] != expected:
        raise TokenizerError(
            f"expected the special tokens {', '.join(SPECIAL_TOKENS)} with the ids 0, 1 and 2: "
            "this tokenizer was not trained by Gatewise"
        )
    return tokenizer


def _checked(contents: bytes) -> bytes:
    """The contents without truncation and padding, which are not the tokenizer's to set."""
    document = _parsed(contents)
    limits = {key: document.pop(key, None) for key in ("truncation", "padding")}
    model = document.pop("model", None)
    if not isinstance(model, dict):
        raise TokenizerError("not a tokenizer: it has no model")
    entries = {key: model.pop(key) for key in ("vocab", "merges") if key in model}
    text = json.dumps(document)
    if _C in text or len(text) > _MAX_CHARACTERS:
        raise _foreign("normalizer")
    frame = json.loads(_CLASS.sub(_C, text))
    _check_normalizer(frame.pop("normalizer", None))
    if frame.pop("pre_tokenizer", None) not in (None, _BETWEEN_WORDS):
        raise _foreign("pre_tokenizer")
    for key in (*_FIXED_PARTS, *frame):
        if key not in _FIXED_PARTS or frame.get(key) != _FIXED_PARTS[key]:
            raise _foreign(key)
    if model not in _MODELS:
        raise _foreign("model")
    _check_entries(model["type"], entries)
    if limits == {"truncation": None, "padding": None}:
        return contents
    return json.dumps(_parsed(contents) | dict.fromkeys(limits)).encode()


def _parsed(contents: bytes) -> dict[str, Any]:
    if contents.count(b"[") + contents.count(b"{") > _MAX_LISTS:
        raise TokenizerError(
            "not a tokenizer: it holds more lists than a tokenizer can have entries"
        )
    try:
        document = decoder().decode(contents.decode())
    except ValueError as error:  # of JSON, of UTF-8, of numbers with thousands of digits
        raise TokenizerError(f"not a tokenizer: {error}") from None
    if not isinstance(document, dict):
        raise TokenizerError("not a tokenizer: expected a JSON object")
    return document


def _check_normalizer(normalizer: Any) -> None:
    steps = normalizer.get("normalizers") if isinstance(normalizer, dict) else None
    if not isinstance(steps, list) or normalizer != {"type": "Sequence", "normalizers": steps}:
        raise _foreign("normalizer")
    order = "".join(
        next((letter for letter, known in _STEPS if step == known), "?") for step in steps
    )
    if "u" in order:
        raise TokenizerError(
            "its tokens are Unigram subwords of an earlier release, which this version of Gatewise "
            "does not read: train the model again"
        )
    if not _ORDER.fullmatch(order):
        raise _foreign("normalizer")


def _check_entries(kind: str, entries: dict[str, Any]) -> None:
    vocabulary, merges = entries.pop("vocab", None), entries.pop("merges", None)
    if kind == "Unigram":
        if not _is_table(vocabulary, (str, float)):
            raise _foreign("model.vocab")
        names = [name for name, _ in vocabulary]
        if len(set(names)) < len(names) or not all(map(math.isfinite, dict(vocabulary).values())):
            raise _foreign("model.vocab")
        longest: float = MAX_ENTRY_CHARACTERS
    else:
        if not isinstance(vocabulary, dict) or set(map(type, vocabulary.values())) - {int}:
            raise _foreign("model.vocab")
        if sorted(vocabulary.values()) != list(range(len(vocabulary))):
            raise TokenizerError("expected the ids 0, 1, 2, … as the values of model.vocab")
        names, longest = list(vocabulary), math.inf
    if not names or not 0 < len(min(names, key=len)) <= len(max(names, key=len)) <= longest:
        raise _foreign("model.vocab")
    if (kind == "BPE") != _is_table(merges, (str, str)):
        raise _foreign("model.merges")


def _is_table(rows: Any, kinds: tuple[type, type]) -> bool:
    return isinstance(rows, list) and all(
        type(row) is list and len(row) == 2 and (type(row[0]), type(row[1])) == kinds
        for row in rows
    )


def _foreign(part: str) -> TokenizerError:
    return TokenizerError(
        f"its {part} is not as Gatewise writes it: this tokenizer was not trained by Gatewise"
    )
