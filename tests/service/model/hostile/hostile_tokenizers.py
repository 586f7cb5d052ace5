"""Hostile tokenizers: slow regular expressions, huge or invalid values, changes by name.

Each case changes the `tokenizer.json` of a copy of a real model folder.
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


def replacing(pattern: str, content: str = "") -> Document:
    """A regular expression as a normalizer."""
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
    """Nested normalizers."""
    step: Document = {"type": "Lowercase"}
    for _ in range(depth):
        step = {"type": "Sequence", "normalizers": [step]}
    return step


def with_step(step: Document) -> Callable[[Document], None]:
    """Adds a normalizer."""
    return lambda d: d["normalizer"]["normalizers"].append(step)


def with_steps_of(pattern: str) -> Callable[[Document], None]:
    """Replaces the regular expression of every normalizer."""

    def change(document: Document) -> None:
        for step in document["normalizer"]["normalizers"]:
            if "Regex" in step.get("pattern", {}):
                step["pattern"]["Regex"] = pattern

    return change


def _changes() -> dict[str, Callable[[Document], object]]:
    return {
        "a slow expression in every step": with_steps_of(SLOW),
        "an expression that is none": with_steps_of("(("),
        "a class without end": with_steps_of("[" + "\\x{61}-\\x{7a}" * 50_000 + "]"),
        "a slow expression between words": lambda d: d.update(
            pre_tokenizer={"type": "Sequence", "pretokenizers": [splitting(SLOW)]}
        ),
        "a slow expression to decode by": lambda d: d.update(decoder=replacing(SLOW)),
        "text before every text": with_step({"type": "Prepend", "prepend": "a" * 10**6}),
        "much for little": with_step(replacing(LETTERS, "a" * 10**6)),
        "steps in steps": lambda d: d.update(normalizer=nested(200)),
        "lists in lists": lambda d: d.update(normalizer=DEEP),
        "ten thousand steps": lambda d: d["normalizer"].update(
            normalizers=d["normalizer"]["normalizers"] + [{"type": "NFKD"}] * 10_000
        ),
        "a text many times": lambda d: d["post_processor"].update(
            single=d["post_processor"]["single"] * 10_000
        ),
        "another begin mark": lambda d: d["post_processor"]["special_tokens"]["[CLS]"].update(
            ids=[2**32 - 1]
        ),
        "a hundred thousand added tokens": lambda d: d["added_tokens"].extend(
            dict(d["added_tokens"][0], id=3 + number, content=f"t{number}")
            for number in range(100_000)
        ),
        "no model": lambda d: d.pop("model"),
        "a model of another type": lambda d: d.update(
            model={"type": "WordLevel", "vocab": {"[PAD]": 0}, "unk_token": "[UNK]"}
        ),
        "numbers with gaps": lambda d: d["model"]["vocab"].update(new=2**31),
        "a number without end": lambda d: d["model"]["vocab"].update(new=10**30),
        "an entry of nothing": lambda d: d["model"]["vocab"].update({"": len(d["model"]["vocab"])}),
        "merges of what is not there": lambda d: d["model"].update(merges=[["q", "zz"]]),
        "too few entries": lambda d: d.update(model=dict(BPE)),
        "scored entries without end": lambda d: d.update(
            model=unigram([["a" * length, -1.0] for length in range(1, 2000)])
        ),
        "a version of the far future": lambda d: d.update(version="99.0"),
    }


def hostile_tokenizers() -> dict[str, Change]:
    """Documents that must be refused."""

    def rewritten(change: Callable[[Document], object]) -> Change:
        def apply(path: Path) -> None:
            file = path / "tokenizer.json"
            document = json.loads(file.read_text(encoding="utf-8"))
            change(document)
            text = json.dumps(document)
            file.write_text(text.replace(json.dumps(DEEP), "[" * 990 + "]" * 990))

        return apply

    return {name: rewritten(change) for name, change in _changes().items()}


def padding_tokenizers() -> dict[str, Change]:
    """Documents with invalid padding and truncation, which are ignored."""

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


def invalid_json() -> dict[str, Change]:
    """Bytes that are not JSON, or that two parsers read differently."""

    def rewritten(change: Callable[[str], bytes]) -> Change:
        def apply(path: Path) -> None:
            file = path / "tokenizer.json"
            file.write_bytes(change(file.read_text(encoding="utf-8")))

        return apply

    slow = json.dumps(replacing(SLOW))
    changes: dict[str, Callable[[str], bytes]] = {
        "no JSON": lambda text: b"{",
        "a list in a list in a list": lambda text: b"[" * 100_000,
        "many empty lists": lambda text: b'{"a":[' + b"[]," * 20_000_000 + b"[]]}",
        "a number of a million digits": lambda text: b'{"version":' + b"9" * 10**6 + b"}",
        "two normalizers": lambda text: text.replace(
            '"normalizer":', f'"normalizer": {slow}, "normalizer":', 1
        ).encode(),
        "an entry twice": lambda text: text.replace(
            '"[UNK]": 1', '"[UNK]": 1, "[UNK]": 1', 1
        ).encode(),
        "half of a pair": lambda text: text.replace('"[PAD]": 0', '"\\ud800": 0', 1).encode(),
        "no number": lambda text: text.replace('"dropout": null', '"dropout": NaN', 1).encode(),
    }
    return {name: rewritten(change) for name, change in changes.items()}
