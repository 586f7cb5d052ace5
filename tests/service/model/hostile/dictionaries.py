"""Dictionaries on which a text takes for ever, or which bring their reader down.

Each case is a change to the `tokenizer.json` of a copy of a real model folder, and a manifest that
agrees with it.
"""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

Change = Callable[[Path], None]
Document = dict[str, Any]

SLOW = "(a+)+$"
LETTERS = "[\\x{61}-\\x{7a}]"
BPE = {
    "type": "BPE",
    "dropout": None,
    "unk_token": "[UNK]",
    "continuing_subword_prefix": None,
    "end_of_word_suffix": None,
    "fuse_unk": False,
    "byte_fallback": False,
    "ignore_merges": False,
    "vocab": {"[PAD]": 0, "[UNK]": 1, "[CLS]": 2, "a": 3},
    "merges": [],
}
DEEP = "in place of lists in lists"
SPECIAL = [["[PAD]", 0.0], ["[UNK]", 0.0], ["[CLS]", 0.0]]


def unigram(entries: list[Any], **changes: object) -> Document:
    """A model of entries with scores."""
    model = {"type": "Unigram", "unk_id": 1, "vocab": SPECIAL + entries, "byte_fallback": False}
    return model | changes


def wordpiece(vocab: object, **changes: object) -> Document:
    """A model of whole words."""
    return {
        "type": "WordPiece",
        "unk_token": "[UNK]",
        "continuing_subword_prefix": "##",
        "max_input_chars_per_word": 100,
        "vocab": vocab,
    } | changes


def replacing(pattern: str, content: str = "") -> Document:
    """A step of a normalizer."""
    return {"type": "Replace", "pattern": {"Regex": pattern}, "content": content}


def splitting(pattern: str) -> Document:
    """A step of a pre-tokenizer."""
    return {
        "type": "Split",
        "pattern": {"Regex": pattern},
        "behavior": "Isolated",
        "invert": False,
    }


def nested(depth: int) -> Document:
    """A normalizer in a normalizer in a normalizer."""
    step: Document = {"type": "Lowercase"}
    for _ in range(depth):
        step = {"type": "Sequence", "normalizers": [step]}
    return step


def with_step(step: Document) -> Callable[[Document], None]:
    """Adds a step to the normalizer."""
    return lambda d: d["normalizer"]["normalizers"].append(step)


def with_steps_of(pattern: str) -> Callable[[Document], None]:
    """Writes another regular expression into every step."""

    def change(document: Document) -> None:
        for step in document["normalizer"]["normalizers"]:
            if "Regex" in step.get("pattern", {}):
                step["pattern"]["Regex"] = pattern

    return change


def _changes() -> dict[str, Callable[[Document], object]]:
    return {
        "a slow expression in a new step": with_step(replacing(SLOW)),
        "a slow expression in every step": with_steps_of(SLOW),
        "a slow expression of classes": with_steps_of(f"({LETTERS}+)+$"),
        "a slow expression around a class": with_steps_of(f"(?:{LETTERS}|{LETTERS})*x"),
        "an expression that looks back": with_steps_of(f"(?<={LETTERS})(?={LETTERS}|a*)"),
        "an expression that calls itself": with_steps_of(r"(?<a>a|\g<a>)+"),
        "an expression that is none": with_steps_of("(("),
        "an expression of nothing": with_steps_of("[]"),
        "a class without end": with_steps_of("[" + "\\x{61}-\\x{7a}" * 50_000 + "]"),
        "a slow expression between words": lambda d: d.update(
            pre_tokenizer={"type": "Sequence", "pretokenizers": [splitting(SLOW)]}
        ),
        "another cut between words": lambda d: d.update(pre_tokenizer={"type": "Whitespace"}),
        "bytes for letters": lambda d: d.update(
            pre_tokenizer={"type": "ByteLevel", "add_prefix_space": True, "use_regex": True}
        ),
        "a slow expression to decode by": lambda d: d.update(decoder=replacing(SLOW)),
        "text before every text": with_step({"type": "Prepend", "prepend": "a" * 10**6}),
        "much for little": with_step(replacing(LETTERS, "a" * 10**6)),
        "a charsmap of zeros": with_step({"type": "Precompiled", "precompiled_charsmap": "AAAA"}),
        "steps in steps": lambda d: d.update(normalizer=nested(200)),
        "lists in lists": lambda d: d.update(normalizer=DEEP),
        "ten thousand steps": lambda d: d["normalizer"].update(
            normalizers=d["normalizer"]["normalizers"] + [{"type": "NFKD"}] * 10_000
        ),
        "steps in another order": lambda d: d["normalizer"]["normalizers"].reverse(),
        "no steps": lambda d: d.update(normalizer=None),
        "a text many times": lambda d: d["post_processor"].update(
            single=d["post_processor"]["single"] * 10_000
        ),
        "no begin mark": lambda d: d.update(post_processor=None),
        "another begin mark": lambda d: d["post_processor"]["special_tokens"]["[CLS]"].update(
            ids=[2**32 - 1]
        ),
        "a hundred thousand added tokens": lambda d: d["added_tokens"].extend(
            dict(d["added_tokens"][0], id=3 + number, content=f"t{number}")
            for number in range(100_000)
        ),
        "an added token of nothing": lambda d: d["added_tokens"][1].update(content=""),
        "an added token with a number without end": lambda d: d["added_tokens"][0].update(
            id=2**32 - 1
        ),
        "no model": lambda d: d.pop("model"),
        "a model of nothing": lambda d: d.update(model={}),
        "a model of another type": lambda d: d.update(
            model={"type": "WordLevel", "vocab": {"[PAD]": 0}, "unk_token": "[UNK]"}
        ),
        "words of any length": lambda d: d.update(
            model=wordpiece(d["model"]["vocab"], max_input_chars_per_word=2**40)
        ),
        "chance": lambda d: d["model"].update(dropout=0.5),
        "bytes for what is unknown": lambda d: d["model"].update(byte_fallback=True),
        "numbers with gaps": lambda d: d["model"]["vocab"].update(new=2**31),
        "a number of two entries": lambda d: d["model"]["vocab"].update(new=3),
        "a number below nothing": lambda d: d["model"]["vocab"].update(new=-1),
        "a number that is none": lambda d: d["model"]["vocab"].update(new="3"),
        "a number without end": lambda d: d["model"]["vocab"].update(new=10**30),
        "an entry of nothing": lambda d: d["model"]["vocab"].update({"": len(d["model"]["vocab"])}),
        "merges of what is not there": lambda d: d["model"].update(merges=[["q", "zz"]]),
        "merges of nothing": lambda d: d["model"].update(merges=[["", ""]]),
        "merges of three": lambda d: d["model"].update(merges=[["a", "b", "c"]]),
        "merges as texts": lambda d: d["model"].update(merges=["a b"]),
        "too few entries": lambda d: d.update(model=dict(BPE)),
        "no entries": lambda d: d["model"].update(vocab={}),
        "scores without entries": lambda d: d.update(model=unigram([])),
        "a scored entry of nothing": lambda d: d.update(model=unigram([["", -1.0]])),
        "scored entries without end": lambda d: d.update(
            model=unigram([["a" * length, -1.0] for length in range(1, 2000)])
        ),
        "a scored entry twice": lambda d: d.update(model=unigram([["a", -1.0], ["a", -2.0]])),
        "a score that is no number": lambda d: d.update(model=unigram([["a", float("nan")]])),
        "a score without end": lambda d: d.update(model=unigram([["a", float("-inf")]])),
        "an unknown entry that is not there": lambda d: d.update(
            model=unigram([["a", -1.0]], unk_id=10**6)
        ),
        "scores that are texts": lambda d: d.update(model=unigram([["a", "b"]])),
        "a version of the far future": lambda d: d.update(version="99.0"),
        "a part that nobody knows": lambda d: d.update(more=1),
    }


def dictionaries() -> dict[str, Change]:
    """Dictionaries that mean harm, each by what it does."""

    def rewritten(change: Callable[[Document], object]) -> Change:
        def apply(path: Path) -> None:
            file = path / "tokenizer.json"
            document = json.loads(file.read_text(encoding="utf-8"))
            change(document)
            text = json.dumps(document)
            file.write_text(text.replace(json.dumps(DEEP), "[" * 990 + "]" * 990))

        return apply

    return {name: rewritten(change) for name, change in _changes().items()}


def cutting_dictionaries() -> dict[str, Change]:
    """Dictionaries that pad and cut texts by themselves, in ways that make no sense."""

    def rewritten(change: Document) -> Change:
        def apply(path: Path) -> None:
            file = path / "tokenizer.json"
            document = json.loads(file.read_text(encoding="utf-8"))
            file.write_text(json.dumps(document | change), encoding="utf-8")

        return apply

    return {
        "padding to a multiple without end": rewritten(
            {"padding": {"strategy": "BatchLongest", "pad_to_multiple_of": 2**40, "pad_id": 0}}
        ),
        "cutting to nothing": rewritten(
            {"truncation": {"max_length": 0, "stride": 10, "strategy": "LongestFirst"}}
        ),
        "cutting by words": rewritten({"truncation": "x"}),
    }


def raw_dictionaries() -> dict[str, Change]:
    """Bytes that are no dictionary, or that two readers read as two."""

    def rewritten(change: Callable[[str], bytes]) -> Change:
        def apply(path: Path) -> None:
            file = path / "tokenizer.json"
            file.write_bytes(change(file.read_text(encoding="utf-8")))

        return apply

    slow = json.dumps(replacing(SLOW))
    changes: dict[str, Callable[[str], bytes]] = {
        "nothing": lambda text: b"",
        "no JSON": lambda text: b"{",
        "no object": lambda text: b"[]",
        "a list in a list in a list": lambda text: b"[" * 100_000,
        "an object in an object": lambda text: b'{"a":' * 100_000,
        "many empty lists": lambda text: b'{"a":[' + b"[]," * 20_000_000 + b"[]]}",
        "many empty lists as entries": lambda text: (
            text[: text.index('"vocab"')].encode() + b'"vocab":[' + b"[]," * 20_000_000 + b"[]]}}"
        ),
        "a number of a million digits": lambda text: b'{"version":' + b"9" * 10**6 + b"}",
        "two normalizers": lambda text: text.replace(
            '"normalizer":', f'"normalizer": {slow}, "normalizer":', 1
        ).encode(),
        "a step of two types": lambda text: text.replace(
            '"type": "Lowercase"', '"type": "NFKD", "type": "Lowercase"', 1
        ).encode(),
        "an entry twice": lambda text: text.replace(
            '"[UNK]": 1', '"[UNK]": 1, "[UNK]": 1', 1
        ).encode(),
        "another encoding": lambda text: text.encode("utf-16"),
        "a mark of the byte order": lambda text: text.encode("utf-8-sig"),
        "half of a pair": lambda text: text.replace('"[PAD]": 0', '"\\ud800": 0', 1).encode(),
        "no number": lambda text: text.replace('"dropout": null', '"dropout": NaN', 1).encode(),
    }
    return {name: rewritten(change) for name, change in changes.items()}
