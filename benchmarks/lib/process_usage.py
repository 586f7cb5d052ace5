"""What a process and its descendants use: memory, descriptors, threads, processor time.

A server is measured from outside, whatever it is written in.
"""

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass

import psutil

from benchmarks.lib.subprocesses import in_background


@dataclass(frozen=True)
class Usage:
    """What a process and its descendants use at one moment."""

    seconds: float  # since the sampling began
    processes: int
    rss: int  # bytes of memory; what they share is counted for each of them
    pss: int  # bytes of memory; what they share is divided among them
    descriptors: int
    threads: int


def tree(root: int) -> list[psutil.Process]:
    """A process and its descendants; empty if it has ended."""
    try:
        process = psutil.Process(root)
        return [process, *process.children(recursive=True)]
    except psutil.NoSuchProcess:
        return []


def usage(root: int, since: float = 0.0) -> Usage:
    """What a process and its descendants use now; `since` is when the sampling began."""
    found = [(0, 0, 0, 0, 0)]
    for process in tree(root):
        with suppress(psutil.NoSuchProcess):  # it has ended meanwhile
            memory = process.memory_full_info()
            counts = process.num_fds(), process.num_threads()
            found.append((1, memory.rss, memory.pss, *counts))
    return Usage(time.perf_counter() - since, *map(sum, zip(*found, strict=True)))


def processor_seconds(root: int) -> float:
    """Seconds of processor time that a process and its descendants have had so far."""
    seconds = 0.0
    for process in tree(root):
        with suppress(psutil.NoSuchProcess):
            times = process.cpu_times()
            seconds += times.user + times.system
    return seconds


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
