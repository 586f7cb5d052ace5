"""What Linux tells of a process and all that it has started: memory, descriptors, threads.

Reads `/proc` (proc(5)) alone, so that a server is measured from outside, whatever it is written in.
"""

import os
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from beside import beside

_PROC = Path("/proc")
_ESTABLISHED = "01"


@dataclass(frozen=True)
class Held:
    """What some processes hold at one moment.

    Attributes:
        seconds: When, since the watching began.
        processes: How many there are.
        rss: Bytes of memory, what is shared counted for each of them.
        pss: Bytes of memory, what is shared divided among those that share it.
        descriptors: Open files and sockets.
        threads: Threads.
    """

    seconds: float
    processes: int
    rss: int
    pss: int
    descriptors: int
    threads: int


@dataclass
class Watch:
    """What was held, one entry for each time that it was looked at."""

    held: list[Held] = field(default_factory=list)


def tree(root: int) -> list[int]:
    """A process and its descendants, in the order in which they are found."""
    parents: dict[int, list[int]] = {}
    for entry in _PROC.iterdir():
        if entry.name.isdigit():
            try:
                # Behind the name, which may hold anything: state, parent, ...
                parent = int(_read(entry / "stat").rpartition(")")[2].split()[1])
            except (OSError, IndexError):
                continue  # it has ended meanwhile
            parents.setdefault(parent, []).append(int(entry.name))
    found = [root]
    for process in found:
        found += parents.get(process, [])
    return found


def children(root: int) -> list[int]:
    """The processes that a process has started itself."""
    return [pid for pid in tree(root)[1:] if _parent(pid) == root]


def runs(process: int) -> bool:
    """Whether a process runs, and is not just waiting for its parent to take notice of its end."""
    try:
        return _read(_PROC / str(process) / "stat").rpartition(")")[2].split()[0] not in "ZX"
    except (OSError, IndexError):
        return False


def held(root: int, since: float = 0.0) -> Held:
    """What a process and its descendants hold now.

    Args:
        root: The process.
        since: What `time.perf_counter` said when the watching began.
    """
    count = rss = pss = descriptors = threads = 0
    for process in tree(root):
        folder = _PROC / str(process)
        try:
            memory = _kilobytes(_read(folder / "smaps_rollup"))
            files = len(os.listdir(folder / "fd"))
            running = len(os.listdir(folder / "task"))
        except OSError:
            continue
        count += 1
        rss += 1024 * memory["Rss"]
        pss += 1024 * memory["Pss"]
        descriptors += files
        threads += running
    return Held(time.perf_counter() - since, count, rss, pss, descriptors, threads)


def processor_seconds(root: int) -> float:
    """Seconds of the processor that a process and its descendants have had so far."""
    ticks = 0
    for process in tree(root):
        try:
            fields = _read(_PROC / str(process) / "stat").rpartition(")")[2].split()
        except OSError:
            continue
        ticks += int(fields[11]) + int(fields[12])  # in the user's mode, and in the kernel's
    return ticks / os.sysconf("SC_CLK_TCK")


@contextmanager
def watched(root: int, every: float = 1.0) -> Iterator[Watch]:
    """Looks at a process and its descendants again and again, for as long as it is used.

    Args:
        root: The process.
        every: Seconds between two looks.
    """
    watch = Watch()
    since = time.perf_counter()

    def look(done: threading.Event) -> None:
        while not done.is_set():
            watch.held.append(held(root, since))
            done.wait(every)

    try:
        with beside(look):
            yield watch
    finally:
        watch.held.append(held(root, since))


def connections(process: int, port: int) -> int:
    """How many clients are connected to a port of this machine by way of one process."""
    sockets = {
        fields[9]
        for name in ("tcp", "tcp6")
        for fields in map(str.split, _read(_PROC / "net" / name).splitlines()[1:])
        if fields[3] == _ESTABLISHED and int(fields[1].rpartition(":")[2], 16) == port
    }
    count = 0
    for descriptor in (_PROC / str(process) / "fd").iterdir():
        try:
            count += os.readlink(descriptor).removeprefix("socket:[").removesuffix("]") in sockets
        except OSError:
            continue
    return count


def _parent(process: int) -> int | None:
    try:
        return int(_read(_PROC / str(process) / "stat").rpartition(")")[2].split()[1])
    except (OSError, IndexError):
        return None


def _kilobytes(rollup: str) -> dict[str, int]:
    lines = (line.split() for line in rollup.splitlines()[1:])
    found = {words[0].rstrip(":"): int(words[1]) for words in lines}
    return found or {"Rss": 0, "Pss": 0}  # a process that has ended and was not waited for


def _read(path: Path) -> str:
    return path.read_text(encoding="utf-8", errors="replace")
