"""Sound and hostile zips of a model folder.

Each case writes a zip next to a copy of a real model folder and returns its path.
"""

import random
import shutil
import stat
import struct
import zipfile
from functools import partial
from pathlib import Path

LOCAL, CENTRAL = b"PK\3\4", b"PK\1\2"


def packed(path, prefix="", method=zipfile.ZIP_DEFLATED, more=lambda _: None):
    """A zip of a folder.

    Args:
        path: The folder.
        prefix: The prefix of each name.
        method: The compression method.
        more: Adds further entries.
    """
    target = path.with_name("model.zip")
    with zipfile.ZipFile(target, "w", method) as archive:
        for file in sorted(path.rglob("*")):
            archive.write(file, f"{prefix}{file.relative_to(path).as_posix()}")
        more(archive)
    return target


def sound_zips():
    """Zips that must load."""

    def with_nested_zip(archive):
        archive.writestr("more.zip", b"PK\3\4 and so on")

    return {
        "files at the top": packed,
        "files in a folder": lambda path: packed(path, "my model/"),
        "what a Mac adds": lambda path: packed(
            path, "model/", more=lambda archive: archive.writestr("__MACOSX/model/._x", b"x")
        ),
        "a comment": lambda path: packed(
            path, more=lambda archive: setattr(archive, "comment", b"hello " * 100)
        ),
        "another suffix": lambda path: packed(path).rename(path.with_name("model.gatewise")),
        "made by shutil": lambda path: Path(
            shutil.make_archive(str(path.with_name("made")), "zip", path.parent, path.name)
        ),
    }


def _named(name):
    """A zip with an entry of this name, written over a name of the same length."""
    return lambda path: _renamed(path, "x" * len(name.encode()), name)


def _renamed(path, stand_in, name, contents=b"evil"):
    target = packed(path, more=lambda archive: archive.writestr(stand_in, contents))
    target.write_bytes(target.read_bytes().replace(stand_in.encode(), name.encode()))
    return target


def _edited(edit):
    """A zip with a changed field of the entry of `config.json`."""

    def make(path):
        target = packed(path)
        with zipfile.ZipFile(target) as archive:
            info = archive.getinfo("config.json")
        contents = bytearray(target.read_bytes())
        edit(contents, info)
        target.write_bytes(contents)
        return target

    return make


def _in_directory(offset, layout, *values):
    """Writes into the entry of the central directory."""

    def edit(contents, info):
        name = info.filename.encode()
        entry = next(
            at
            for at in range(len(contents))
            if contents[at : at + 4] == CENTRAL and contents[at + 46 : at + 46 + len(name)] == name
        )
        struct.pack_into(layout, contents, entry + offset, *values)

    return edit


def _at_header(offset, layout, *values):
    """Writes into the header before the file's contents."""
    return lambda contents, info: struct.pack_into(
        layout, contents, info.header_offset + offset, *values
    )


def _with(more):
    return lambda path: packed(path, more=more)


def _link(archive):
    info = zipfile.ZipInfo("link")
    info.create_system, info.external_attr = 3, (stat.S_IFLNK | 0o777) << 16
    archive.writestr(info, "/etc/passwd")


def _bomb(archive):
    archive.writestr("zeros", bytes(100 * 2**20))


def _many(archive):
    for number in range(20_000):
        archive.writestr(f"{number}", b"")


def _of_two(path):
    def second(archive):
        for file in path.rglob("*"):
            archive.write(file, f"b/{file.relative_to(path).as_posix()}")

    return packed(path, "a/", more=second)


def hostile_zips():
    """Zips that must be refused."""
    huge = 2**31 - 2
    cases = {
        "an absolute name": _named("/etc/cron.d/evil"),
        "a name that leads out": _named("../../evil"),
        "a name of a drive": _named("C:evil"),
        "a name with a NUL": _named("good\0evil"),
        "a name that a terminal obeys": _named("\x1b[2Jevil"),
        "a name twice": lambda path: _renamed(path, "config.jsoN", "config.json", b"{}"),
        "a link": _with(_link),
        "a bomb": _with(_bomb),
        "twenty thousand files": _with(_many),
        "two models": _of_two,
        "bzip2": lambda path: packed(path, method=zipfile.ZIP_BZIP2),
        "encrypted": _edited(_in_directory(8, "<H", 1)),
        "a larger size declared": _edited(_in_directory(24, "<I", 10**6)),
        "a size without end declared": _edited(_in_directory(24, "<I", huge)),
        "a larger packed size declared": _edited(_in_directory(20, "<I", huge)),
        "another sum declared": _edited(_in_directory(16, "<I", 1)),
        "another place declared": _edited(_in_directory(42, "<I", 5)),
        "another name before the contents": _edited(_at_header(30, "<B", 65)),
        "no header before the contents": _edited(_at_header(0, "<I", 0)),
        "another method declared": _edited(_in_directory(10, "<H", 0)),
    }
    return cases | {f"truncated {seed}": partial(_truncated, seed) for seed in range(3)}


def _truncated(seed, path):
    target = packed(path)
    contents = target.read_bytes()
    target.write_bytes(contents[: random.Random(seed).randrange(len(contents))])
    return target


def random_zips(count):
    """Zips with some bytes changed, most of them in the central directory."""

    def change(seed, path):
        rng = random.Random(seed)
        target = packed(path)
        contents = bytearray(target.read_bytes())
        start = rng.choice([0, len(contents) - 800, len(contents) - 800])
        for _ in range(rng.choice([1, 2, 8])):
            contents[rng.randrange(start, len(contents))] = rng.randrange(256)
        target.write_bytes(contents)
        return target

    return {f"zip bytes {seed}": partial(change, seed) for seed in range(count)}
