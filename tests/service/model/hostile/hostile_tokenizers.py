"""Hostile tokenizers: slow regular expressions, huge or invalid values, changes by name.

Each case changes the `tokenizer.json` of a copy of a real model folder.
"""

import json
from functools import partial

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


def unigram(entries, **changes):
    """A model of entries with scores."""
    model = {"type": "Unigram", "unk_id": 1, "vocab": SPECIAL + entries, "byte_fallback": False}
    return model | changes


def replacing(pattern, content=""):
    """A regular expression as a normalizer."""
    return {"type": "Replace", "pattern": {"Regex": pattern}, "content": content}


def splitting(pattern):
    """A step of a pre-tokenizer."""
    return {
        "type": "Split",
        "pattern": {"Regex": pattern},
        "behavior": "Isolated",
        "invert": False,
    }


def nested(depth):
    """Nested normalizers."""
    step = {"type": "Lowercase"}
    for _ in range(depth):
        step = {"type": "Sequence", "normalizers": [step]}
    return step


def with_step(step):
    """Adds a normalizer."""
    return lambda d: d["normalizer"]["normalizers"].append(step)


def with_steps_of(pattern):
    """Replaces the regular expression of every normalizer."""

    def change(document):
        for step in document["normalizer"]["normalizers"]:
            if "Regex" in step.get("pattern", {}):
                step["pattern"]["Regex"] = pattern

    return change


def _changes():
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


def rewritten(change, path):
    """Changes the document; a mark in it becomes lists nested too deep for Python to write."""
    file = path / "tokenizer.json"
    document = json.loads(file.read_text(encoding="utf-8"))
    change(document)
    text = json.dumps(document)
    file.write_text(text.replace(json.dumps(DEEP), "[" * 990 + "]" * 990), encoding="utf-8")


def hostile_tokenizers():
    """Documents that must be refused."""
    return {name: partial(rewritten, change) for name, change in _changes().items()}


def padding_tokenizers():
    """Documents with invalid padding and truncation, which are ignored."""
    multiple = {"strategy": "BatchLongest", "pad_to_multiple_of": 2**40, "pad_id": 0}
    nothing = {"max_length": 0, "stride": 10, "strategy": "LongestFirst"}
    changes = {
        "padding to a multiple without end": {"padding": multiple},
        "cutting to nothing": {"truncation": nothing},
        "cutting by words": {"truncation": "x"},
    }
    return {
        name: partial(rewritten, lambda document, values=values: document.update(values))
        for name, values in changes.items()
    }


def invalid_json():
    """Bytes that are not JSON, or that two parsers read differently."""

    def rewrite(change, path):
        file = path / "tokenizer.json"
        file.write_bytes(change(file.read_text(encoding="utf-8")))

    def replacing_once(old, new):
        return lambda text: text.replace(old, new, 1).encode()

    slow = json.dumps(replacing(SLOW))
    changes = {
        "no JSON": lambda text: b"{",
        "a list in a list in a list": lambda text: b"[" * 100_000,
        "many empty lists": lambda text: b'{"a":[' + b"[]," * 20_000_000 + b"[]]}",
        "a number of a million digits": lambda text: b'{"version":' + b"9" * 10**6 + b"}",
        "two normalizers": replacing_once('"normalizer":', f'"normalizer": {slow}, "normalizer":'),
        "an entry twice": replacing_once('"[UNK]": 1', '"[UNK]": 1, "[UNK]": 1'),
        "half of a pair": replacing_once('"[PAD]": 0', '"\\ud800": 0'),
        "no number": replacing_once('"dropout": null', '"dropout": NaN'),
    }
    return {name: partial(rewrite, change) for name, change in changes.items()}
