"""Which `tokenizer.json` is one of Gatewise's, told by its bytes before any library reads it.

A tokenizer of somebody else can hold a regular expression on which a text takes for ever, or an
entry without a character. So every part must be one that `gatewise.vocab.tokenizer.tokenizer`
writes: the steps of `gatewise.vocab.tokenizer.pre_tokenization` in their order, the settings of a
model, entries of bounded length with the ids 0, 1, 2, …. The classes of characters in the steps
may differ, for they come of the Unicode tables of the Python that trained; they stay classes.
Knows no text and nothing of the model folder.
"""

import json
import math
import re
from collections.abc import Sequence
from typing import Any

from gatewise.vocab.errors import TokenizerError
from gatewise.vocab.tokenizer.pre_tokenization import escape_special_token
from gatewise.vocab.tokenizer.subwords import CONTINUATION, MAX_WORD_CHARACTERS
from gatewise.vocab.tokenizer.word_ngrams import MAX_ENTRY_CHARACTERS

# A class of characters as it stands in JSON, where a backslash is doubled. The longest that is
# written has 5,000 characters.
_CLASS = re.compile(
    r"\[\^?(?:\\\\x\{[0-9a-f]{1,6}\}(?:-\\\\x\{[0-9a-f]{1,6}\})?){1,4000}\]", re.ASCII
)
_C = "[]"
"""What stands for a class here, and in no dictionary."""

# Around the entries a dictionary has some 30,000 characters.
_MOST_CHARACTERS = 500_000
# One for each entry and each merge, of which there are a million at most, and room for entries
# that are brackets. Each takes twenty times its two bytes once it is read.
_MOST_LISTS = 2**22


def _replace(kind: str, pattern: str, content: str) -> dict[str, Any]:
    return {"type": "Replace", "pattern": {kind: pattern}, "content": content}


def _split(pattern: str, behavior: str) -> dict[str, Any]:
    return {
        "type": "Split",
        "pattern": {"Regex": pattern},
        "behavior": behavior,
        "invert": False,
    }


# Each step of a normalizer, by a letter; the same letter for those that may take the same place.
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
]
# What is dropped; a form, or accents with a form before and perhaps after; one case, or special
# tokens taken apart; then single spaces, or marks of words. Earlier releases marked only where a
# word begins ("u"), for the pieces of Unigram.
_ORDER = re.compile("r(f|frf?)?(sl|p{3})(wt|nbx)?")

_BETWEEN_WORDS = {
    "type": "Sequence",
    "pretokenizers": [_split(f"{_C}+", "Removed"), _split(_C, "Isolated")],
}


class TokenizerSchema:
    """The parts that every dictionary has, around its entries.

    Args:
        special_tokens: The special tokens in the order of their ids.
        unknown: The one that stands for what is unknown.
        begin: The one that a text begins with.
    """

    def __init__(self, special_tokens: Sequence[str], unknown: str, begin: str) -> None:
        flags = dict.fromkeys(("single_word", "lstrip", "rstrip", "normalized"), False)
        mark = {"SpecialToken": {"id": begin, "type_id": 0}}
        first, second = ({"Sequence": {"id": name, "type_id": n}} for n, name in enumerate("AB"))
        number = special_tokens.index(begin)
        apart = (_replace("String", token, escape_special_token(token)) for token in special_tokens)
        self._steps = [*_STEPS, *(("p", step) for step in apart)]
        self._fixed: dict[str, Any] = {
            "version": "1.0",
            "added_tokens": [
                {"id": number, "content": token, **flags, "special": True}
                for number, token in enumerate(special_tokens)
            ],
            "post_processor": {
                "type": "TemplateProcessing",
                "single": [mark, first],
                "pair": [mark, first, second],
                "special_tokens": {begin: {"id": begin, "ids": [number], "tokens": [begin]}},
            },
            "decoder": None,
        }
        self._models: list[dict[str, Any]] = [
            {
                "type": "WordPiece",
                "unk_token": unknown,
                "continuing_subword_prefix": CONTINUATION,
                "max_input_chars_per_word": MAX_WORD_CHARACTERS,
            },
            {
                "type": "BPE",
                "dropout": None,
                "unk_token": unknown,
                "continuing_subword_prefix": None,
                "end_of_word_suffix": None,
                "fuse_unk": False,
                "byte_fallback": False,
                "ignore_merges": False,
            },
            {
                "type": "Unigram",
                "unk_id": special_tokens.index(unknown),
                "byte_fallback": False,
            },
        ]

    def check(self, contents: bytes) -> bytes:
        """Looks at every part of a dictionary.

        Returns:
            What a library may read: the contents, without any padding and cutting of texts, which
            is not the dictionary's to say.

        Raises:
            TokenizerError: If a part is none that Gatewise writes.
        """
        try:
            return self._checked(contents, _parsed(contents))
        except RecursionError:
            raise TokenizerError("not a tokenizer: its JSON is nested too deeply") from None

    def _checked(self, contents: bytes, document: dict[str, Any]) -> bytes:
        cut = {key: document.pop(key, None) for key in ("truncation", "padding")}
        model = document.pop("model", None)
        if not isinstance(model, dict):
            raise TokenizerError("not a tokenizer: it has no model")
        entries = {key: model.pop(key) for key in ("vocab", "merges") if key in model}
        text = json.dumps(document)
        if _C in text or len(text) > _MOST_CHARACTERS:
            raise _foreign("normalizer")
        frame = json.loads(_CLASS.sub(_C, text))
        self._check_normalizer(frame.pop("normalizer", None))
        if frame.pop("pre_tokenizer", None) not in (None, _BETWEEN_WORDS):
            raise _foreign("pre_tokenizer")
        for key in (*self._fixed, *frame):
            if key not in self._fixed or frame.get(key) != self._fixed[key]:
                raise _foreign(key)
        if model not in self._models:
            raise _foreign("model")
        _check_entries(model["type"], entries)
        if cut == {"truncation": None, "padding": None}:
            return contents
        return json.dumps(_parsed(contents) | dict.fromkeys(cut)).encode()

    def _check_normalizer(self, normalizer: Any) -> None:
        steps = normalizer.get("normalizers") if isinstance(normalizer, dict) else None
        if not isinstance(steps, list) or normalizer != {"type": "Sequence", "normalizers": steps}:
            raise _foreign("normalizer")
        letters = (
            next((letter for letter, known in self._steps if step == known), "?") for step in steps
        )
        order = "".join(letters)
        if "u" in order:
            raise _of_earlier_release("Unigram")
        if not _ORDER.fullmatch(order):
            raise _foreign("normalizer")


def _parsed(contents: bytes) -> dict[str, Any]:
    if contents.count(b"[") + contents.count(b"{") > _MOST_LISTS:
        raise TokenizerError("not a tokenizer: it holds more lists than a dictionary has entries")
    try:
        document = json.loads(
            contents.decode(), object_pairs_hook=_without_repetition, parse_constant=_no_number
        )
    except ValueError as error:  # of JSON, of UTF-8, of numbers with thousands of digits
        raise TokenizerError(f"not a tokenizer: {error}") from None
    if not isinstance(document, dict):
        raise TokenizerError("not a tokenizer: expected a JSON object")
    return document


def _without_repetition(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    # Of two values of one key another reader may take the other one.
    found = dict(pairs)
    if len(found) < len(pairs):
        raise ValueError("a key occurs twice")
    return found


def _no_number(name: str) -> None:
    raise ValueError(f"{name} is no number of JSON")


def _foreign(part: str) -> TokenizerError:
    return TokenizerError(
        f"its {part} is not as Gatewise writes it: this dictionary was not trained by Gatewise"
    )


def _of_earlier_release(pieces: str) -> TokenizerError:
    return TokenizerError(
        f"its tokens are {pieces} subwords of an earlier release, which this version of Gatewise "
        "does not read: train the model again"
    )


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
    if kind == "WordPiece" and any(name.startswith(CONTINUATION) for name in names):
        raise _of_earlier_release("WordPiece")
    if (kind == "BPE") != _is_table(merges, (str, str)):
        raise _foreign("model.merges")


def _is_table(rows: Any, kinds: tuple[type, type]) -> bool:
    return isinstance(rows, list) and all(
        type(row) is list and len(row) == 2 and (type(row[0]), type(row[1])) == kinds
        for row in rows
    )
