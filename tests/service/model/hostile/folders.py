"""What a failing disk does to a model folder, and what somebody does who means harm.

Each case is a change to a copy of a real folder. A random one takes its choices from a generator
with a seed, so that it can be made again.
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
"""Changes a copy of a model folder; returns the path to load where it is another one."""

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

ODD_VALUES = [
    *(None, True, False, 0, -1, 1, 2, 3, 2**31, 2**53 + 1, 10**18, -(10**18), 10**400, 1.5, 1e308),
    *(float("nan"), float("inf"), "", "x", "\x1b[2J", "a\nb", "\x00", "\ud800", "x" * 100_000),
    *([], [[]], {}, {"a": 1}, ["x"], [0], "softmax", "../../etc/passwd"),
]


def reseal(path: Path) -> None:
    """Makes the manifest agree with the files, as somebody would who means harm."""
    folder = ModelFolder(path)
    manifest = Manifest.model_validate_json(folder.manifest.read_bytes())
    seal_model_folder(folder, manifest)


def claiming(path: Path, operators: set[str]) -> None:
    """Reseals a folder with a manifest that tells of other operators."""
    folder = ModelFolder(path)
    manifest = Manifest.model_validate_json(folder.manifest.read_bytes())
    changes = {"operators": tuple(sorted(operators))}
    seal_model_folder(folder, manifest.model_copy(update=changes))


def damages() -> dict[str, Change]:
    """What a failing disk or a broken download does, the manifest as it was."""

    def change(name: str, how: Callable[[bytes, random.Random], bytes], seed: int) -> Change:
        def apply(path: Path) -> None:
            file = path / name
            file.write_bytes(how(file.read_bytes(), random.Random(seed)))

        return apply

    def flipped(data: bytes, choose: random.Random) -> bytes:
        changed = bytearray(data)
        changed[choose.randrange(len(data))] ^= 1 << choose.randrange(8)
        return bytes(changed)

    ways: dict[str, Callable[[bytes, random.Random], bytes]] = {
        "truncated": lambda data, choose: data[: choose.randrange(len(data))],
        "flipped": flipped,
        "grown": lambda data, choose: data + choose.randbytes(choose.randrange(1, 1000)),
        "emptied": lambda data, choose: b"",
    }
    cases = {
        f"{name} {way} {seed}": change(name, how, seed)
        for name in FILES
        for way, how in ways.items()
        for seed in range(1 if way == "emptied" else 2)
    }
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


def other_than_files() -> dict[str, Change]:
    """Folders, pipes, sockets, devices and links where files were."""

    def to_outside(file: Path) -> None:
        outside = next(parent for parent in file.parents if parent.name == "model").parent
        copy = outside / f"outside-{file.name}"
        copy.write_bytes(file.with_name(f"{file.name}.kept").read_bytes())
        file.symlink_to(copy)

    def listening(file: Path) -> None:
        # A path of more than about 100 characters cannot be bound to; a short one is moved.
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


def documents(count: int) -> dict[str, Change]:
    """JSON documents with a value changed to an odd one, and a manifest that agrees."""

    def change(name: str, seed: int) -> Change:
        def apply(path: Path) -> None:
            choose = random.Random(seed)
            file = path / name
            document = json.loads(file.read_text(encoding="utf-8"))
            for _ in range(choose.choice([1, 1, 2])):
                _set_somewhere(document, choose)
            text = json.dumps(document, ensure_ascii=choose.random() < 0.5)
            file.write_bytes(text.encode("utf-8", "surrogatepass"))
            if name != "manifest.json":
                reseal(path)

        return apply

    names = ["config.json", "manifest.json", "tokenizer.json"]
    return {f"{name} {seed}": change(name, seed) for seed in range(count) for name in names}


def _set_somewhere(document: object, choose: random.Random) -> None:
    place = document
    while True:
        keys = list(place) if isinstance(place, dict) else list(range(len(place)))
        key = choose.choice(keys)
        inner = place[key]
        if not (isinstance(inner, dict | list) and inner) or choose.random() < 0.2:
            break
        place = inner
    way = choose.random()
    if way < 0.15:
        del place[key]
    elif way < 0.3 and isinstance(place, dict):
        place[choose.choice(["", "type", "new", "\x1b"])] = choose.choice(ODD_VALUES)
    else:
        place[key] = choose.choice(ODD_VALUES)


def bytes_of(name: str, count: int) -> dict[str, Change]:
    """A file with some bytes changed anywhere, and a manifest that agrees."""

    def change(seed: int) -> Change:
        def apply(path: Path) -> None:
            choose = random.Random(seed)
            file = path / name
            data = bytearray(file.read_bytes())
            # Nodes and the first constants take little of the file, and tell most of it.
            reach = len(data) if choose.random() < 0.3 else min(len(data), 6000)
            for _ in range(choose.choice([1, 1, 2, 4, 20])):
                at = min(choose.randrange(reach), len(data) - 1)
                way = choose.randrange(4)
                if way == 0:
                    data[at] = choose.randrange(256)
                elif way == 1:
                    data[at] ^= 1 << choose.randrange(8)
                elif way == 2:
                    del data[at : at + choose.randrange(1, 9)]
                else:
                    data[at:at] = choose.randbytes(choose.randrange(1, 9))
            file.write_bytes(data)
            if name != "manifest.json":
                reseal(path)

        return apply

    return {f"{name} bytes {seed}": change(seed) for seed in range(count)}
