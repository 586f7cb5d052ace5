"""Damaged and hostile model folders: changes to a copy of a real folder, by name.

Random changes are seeded, so that they can be repeated.
"""

import json
import os
import random
import shutil
import socket
from collections.abc import Callable
from pathlib import Path

from gatewise.service.model.model_documents import Manifest
from gatewise.service.model.model_folder import ModelFolder, seal_model_folder

Change = Callable[[Path], "Path | None"]
"""Changes a copy of a model folder; returns the path to load if it is a different one."""

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


def reseal(path: Path) -> None:
    """Makes the manifest agree with the files, as an attacker would."""
    folder = ModelFolder(path)
    manifest = Manifest.model_validate_json(folder.manifest.read_bytes())
    seal_model_folder(folder, manifest)


def damaged_files() -> dict[str, Change]:
    """Damage as of a failing disk or a broken download, with the original manifest."""

    def change(name: str, how: Callable[[bytes, random.Random], bytes]) -> Change:
        def apply(path: Path) -> None:
            file = path / name
            file.write_bytes(how(file.read_bytes(), random.Random(name)))

        return apply

    def flipped(data: bytes, rng: random.Random) -> bytes:
        changed = bytearray(data)
        changed[rng.randrange(len(data))] ^= 1 << rng.randrange(8)
        return bytes(changed)

    ways: dict[str, Callable[[bytes, random.Random], bytes]] = {
        "truncated": lambda data, rng: data[: rng.randrange(len(data))],
        "flipped": flipped,
        "grown": lambda data, rng: data + rng.randbytes(rng.randrange(1, 1000)),
        "emptied": lambda data, rng: b"",
    }
    cases = {f"{name} {way}": change(name, how) for name in FILES for way, how in ways.items()}
    for name in FILES:
        cases[f"{name} deleted"] = lambda path, name=name: (path / name).unlink()
        cases[f"{name} renamed"] = lambda path, name=name: (
            (path / name).rename(path / f"{name}.old") and None
        )
    for one, other in (("config.json", "tokenizer.json"), ("onnx/model.onnx", "config.json")):
        cases[f"{one} and {other} swapped"] = lambda path, one=one, other=other: _swap(
            path / one, path / other
        )
    return cases


def _swap(one: Path, other: Path) -> None:
    first, second = one.read_bytes(), other.read_bytes()
    one.write_bytes(second)
    other.write_bytes(first)


def special_files() -> dict[str, Change]:
    """Folders, pipes, sockets, devices and links in place of files."""

    def to_outside(file: Path) -> None:
        outside = next(parent for parent in file.parents if parent.name == "model").parent
        copy = outside / f"outside-{file.name}"
        copy.write_bytes(file.with_name(f"{file.name}.kept").read_bytes())
        file.symlink_to(copy)

    def listening(file: Path) -> None:
        # The path of a socket is limited to about 100 characters, so a short one is moved.
        short = Path("/tmp") / f"gatewise-{os.getpid()}.socket"
        with socket.socket(socket.AF_UNIX) as server:
            server.bind(str(short))
        shutil.move(short, file)

    ways: dict[str, Callable[[Path], None]] = {
        "a folder": Path.mkdir,
        "a pipe": os.mkfifo,
        "a socket": listening,
        "a link to itself": lambda file: file.symlink_to(file.name),
        "a link to nothing": lambda file: file.symlink_to("nothing"),
        "a link to a device": lambda file: file.symlink_to("/dev/zero"),
        "a link out of the folder": to_outside,
    }

    def change(name: str, make: Callable[[Path], None]) -> Change:
        def apply(path: Path) -> None:
            file = path / name
            file.rename(file.with_name(f"{file.name}.kept"))
            make(file)

        return apply

    return {f"{name} is {way}": change(name, make) for name in NEEDED for way, make in ways.items()}


def changed_documents(count: int) -> dict[str, Change]:
    """JSON documents with an unusual value somewhere, resealed."""

    def change(name: str, seed: int) -> Change:
        def apply(path: Path) -> None:
            rng = random.Random(seed)
            file = path / name
            document = json.loads(file.read_text(encoding="utf-8"))
            for _ in range(rng.choice([1, 1, 2])):
                _set_somewhere(document, rng)
            text = json.dumps(document, ensure_ascii=rng.random() < 0.5)
            file.write_bytes(text.encode("utf-8", "surrogatepass"))
            if name != "manifest.json":
                reseal(path)

        return apply

    names = ["config.json", "manifest.json", "tokenizer.json"]
    return {f"{name} {seed}": change(name, seed) for seed in range(count) for name in names}


def _set_somewhere(document: object, rng: random.Random) -> None:
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


def changed_bytes(name: str, count: int) -> dict[str, Change]:
    """A file with some bytes changed, resealed."""

    def change(seed: int) -> Change:
        def apply(path: Path) -> None:
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

        return apply

    return {f"{name} bytes {seed}": change(seed) for seed in range(count)}
