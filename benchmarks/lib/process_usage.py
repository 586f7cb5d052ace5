"""What a process and its descendants use: memory, descriptors, threads, processor time.

Reads `/proc` (proc(5)), so that a server is measured from outside, whatever it is written in.
"""

import os
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from benchmarks.lib.subprocesses import in_background

_PROC = Path("/proc")


@dataclass(frozen=True)
class Usage:
    """What a process and its descendants use at one moment."""

    seconds: float  # since the sampling began
    processes: int
    rss: int  # bytes of memory; what they share is counted for each of them
    pss: int  # bytes of memory; what they share is divided among them
    descriptors: int
    threads: int


def tree(root: int) -> list[int]:
    """A process and its descendants, in the order in which they are found."""
    children: dict[int, list[int]] = {}
    for entry in _PROC.iterdir():
        if entry.name.isdigit() and (fields := _stat(int(entry.name))):
            children.setdefault(int(fields[1]), []).append(int(entry.name))
    found = [root]
    for process in found:
        found += children.get(process, [])
    return found


def is_running(process: int) -> bool:
    """Whether a process runs; one that has ended and was not waited for does not."""
    fields = _stat(process)
    return bool(fields) and fields[0] not in "ZX"


def usage(root: int, since: float = 0.0) -> Usage:
    """What a process and its descendants use now; `since` is when the sampling began."""
    count = rss = pss = descriptors = threads = 0
    for process in tree(root):
        folder = _PROC / str(process)
        try:
            memory = _kilobytes(_read(folder / "smaps_rollup"))
            descriptors += len(os.listdir(folder / "fd"))
            threads += len(os.listdir(folder / "task"))
        except OSError:
            continue  # it has ended meanwhile
        count += 1
        rss += 1024 * memory["Rss"]
        pss += 1024 * memory["Pss"]
    return Usage(time.perf_counter() - since, count, rss, pss, descriptors, threads)


def processor_seconds(root: int) -> float:
    """Seconds of processor time that a process and its descendants have had so far."""
    fields = filter(None, map(_stat, tree(root)))
    ticks = sum(int(each[11]) + int(each[12]) for each in fields)  # user and kernel mode
    return ticks / os.sysconf("SC_CLK_TCK")


@contextmanager
def sampled(root: int, every: float = 1.0) -> Iterator[list[Usage]]:
    """Samples the usage every so many seconds until the block ends, and once after it."""
    samples: list[Usage] = []
    since = time.perf_counter()

    def sample(ending: threading.Event) -> None:
        while not ending.is_set():
            samples.append(usage(root, since))
            ending.wait(every)

    try:
        with in_background(sample):
            yield samples
    finally:
        samples.append(usage(root, since))


def _stat(process: int) -> list[str]:
    """The fields behind the name, which may hold anything: state, parent and so on."""
    try:
        return _read(_PROC / str(process) / "stat").rpartition(")")[2].split()
    except OSError:
        return []


def _kilobytes(rollup: str) -> dict[str, int]:
    lines = (line.split() for line in rollup.splitlines()[1:])
    found = {words[0].rstrip(":"): int(words[1]) for words in lines}
    return found or {"Rss": 0, "Pss": 0}  # a process that has ended and was not waited for


def _read(path: Path) -> str:
    return path.read_text(encoding="utf-8", errors="replace")
