"""Damaged and hostile model folders: changes to a copy of a real folder, by name.

A change takes the path of the copy, and returns the path to load if it is a different one.

Random changes are seeded, so that they can be repeated.
"""

import json
import os
import random
import shutil
import socket
from functools import partial
from pathlib import Path

from gatewise.service.model.model_documents import Manifest
from gatewise.service.model.model_folder import ModelFolder, seal_model_folder

FILES = [
    "README.md",
    "config.json",
    "manifest.json",
    "metrics.json",
    "onnx/model.onnx",
    "report.html",
    "tokenizer.json",
    "tokenizer_config.json",
]
NEEDED = ["config.json", "manifest.json", "onnx/model.onnx", "tokenizer.json"]

UNUSUAL_VALUES = [
    *(None, True, False, 0, -1, 1, 2, 3, 2**31, 2**53 + 1, 10**18, -(10**18), 10**400, 1.5, 1e308),
    *(float("nan"), float("inf"), "", "x", "\x1b[2J", "a\nb", "\x00", "\ud800", "x" * 100_000),
    *([], [[]], {}, {"a": 1}, ["x"], [0], "softmax", "../../etc/passwd"),
]


def reseal(path):
    """Makes the manifest agree with the files, as an attacker would."""
    folder = ModelFolder(path)
    manifest = Manifest.model_validate_json(folder.manifest.read_bytes())
    seal_model_folder(folder, manifest)


def damaged_files():
    """Damage as of a failing disk or a broken download, with the original manifest."""

    def rewrite(name, how, path):
        file = path / name
        file.write_bytes(how(file.read_bytes(), random.Random(name)))

    def flipped(data, rng):
        changed = bytearray(data)
        changed[rng.randrange(len(data))] ^= 1 << rng.randrange(8)
        return bytes(changed)

    ways = {
        "truncated": lambda data, rng: data[: rng.randrange(len(data))],
        "flipped": flipped,
        "grown": lambda data, rng: data + rng.randbytes(rng.randrange(1, 1000)),
        "emptied": lambda data, rng: b"",
    }
    cases = {
        f"{name} {way}": partial(rewrite, name, how) for name in FILES for way, how in ways.items()
    }
    for name in FILES:
        cases[f"{name} deleted"] = lambda path, name=name: (path / name).unlink()
        cases[f"{name} renamed"] = lambda path, name=name: (
            (path / name).rename(path / f"{name}.old") and None
        )
    for names in (("config.json", "tokenizer.json"), ("onnx/model.onnx", "config.json")):
        cases[" and ".join(names) + " swapped"] = partial(_swap, *names)
    return cases


def _swap(one, other, path):
    first, second = (path / one).read_bytes(), (path / other).read_bytes()
    (path / one).write_bytes(second)
    (path / other).write_bytes(first)


def special_files():
    """Folders, pipes, sockets, devices and links in place of files."""

    def to_another(file):
        another = _outside(file)
        another.write_bytes(b"{}")
        file.symlink_to(another)

    def listening(file):
        # The path of a socket is limited to about 100 characters, so a short one is moved.
        short = Path("/tmp") / f"gatewise-{os.getpid()}.socket"
        with socket.socket(socket.AF_UNIX) as server:
            server.bind(str(short))
        shutil.move(short, file)

    ways = {
        "a folder": Path.mkdir,
        "a pipe": os.mkfifo,
        "a socket": listening,
        "a link to itself": lambda file: file.symlink_to(file.name),
        "a link to nothing": lambda file: file.symlink_to("nothing"),
        "a link to a device": lambda file: file.symlink_to("/dev/zero"),
        "a link to another file outside": to_another,
    }

    def replace(name, make, path):
        file = path / name
        file.rename(file.with_name(f"{file.name}.kept"))
        make(file)

    return {
        f"{name} is {way}": partial(replace, name, make)
        for name in NEEDED
        for way, make in ways.items()
    }


def linked_files():
    """Every file is a link into a folder beside, as in the caches of Hugging Face and DVC."""

    def link(path):
        for name in FILES:
            file = path / name
            kept = _outside(file)
            file.rename(kept)
            file.symlink_to(kept)

    return {"linked from a cache": link}


def _outside(file):
    """A path outside the model folder that a file belongs to."""
    model = next(parent for parent in file.parents if parent.name == "model")
    return model.parent / f"outside-{file.name}"


def changed_documents(count):
    """JSON documents with an unusual value somewhere, resealed."""

    def change(name, seed, path):
        rng = random.Random(seed)
        file = path / name
        document = json.loads(file.read_text(encoding="utf-8"))
        for _ in range(rng.choice([1, 1, 2])):
            _set_somewhere(document, rng)
        text = json.dumps(document, ensure_ascii=rng.random() < 0.5)
        file.write_bytes(text.encode("utf-8", "surrogatepass"))
        if name != "manifest.json":
            reseal(path)

    names = ["config.json", "manifest.json", "tokenizer.json"]
    return {
        f"{name} {seed}": partial(change, name, seed) for seed in range(count) for name in names
    }


def _set_somewhere(document, rng):
    place = document
    while True:
        keys = list(place) if isinstance(place, dict) else list(range(len(place)))
        key = rng.choice(keys)
        inner = place[key]
        if not (isinstance(inner, dict | list) and inner) or rng.random() < 0.2:
            break
        place = inner
    kind = rng.random()
    if kind < 0.15:
        del place[key]
    elif kind < 0.3 and isinstance(place, dict):
        place[rng.choice(["", "type", "new", "\x1b"])] = rng.choice(UNUSUAL_VALUES)
    else:
        place[key] = rng.choice(UNUSUAL_VALUES)


def changed_bytes(name, count):
    """A file with some bytes changed, resealed."""

    def change(seed, path):
        rng = random.Random(seed)
        file = path / name
        data = bytearray(file.read_bytes())
        # Most changes are at the beginning of the file, where its structure is.
        reach = len(data) if rng.random() < 0.3 else min(len(data), 6000)
        for _ in range(rng.choice([1, 1, 2, 4, 20])):
            at = min(rng.randrange(reach), len(data) - 1)
            kind = rng.randrange(4)
            if kind == 0:
                data[at] = rng.randrange(256)
            elif kind == 1:
                data[at] ^= 1 << rng.randrange(8)
            elif kind == 2:
                del data[at : at + rng.randrange(1, 9)]
            else:
                data[at:at] = rng.randbytes(rng.randrange(1, 9))
        file.write_bytes(data)
        if name != "manifest.json":
            reseal(path)

    return {f"{name} bytes {seed}": partial(change, seed) for seed in range(count)}
