"""A thread pool that returns results in the order of the items, with a bounded number in memory.

Threads, not processes: nearly all of the work is done without Python's interpreter lock, by the
tokenizer and by onnxruntime.
"""

import sys
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from threading import Lock
from typing import TypeVar

from gatewise.service.threads import SWITCH_SECONDS, available_cpus
from gatewise.vocab.errors import ArgumentError

T = TypeVar("T")
R = TypeVar("R")


def worker_count(workers: int | None) -> int:
    """The number of workers; by default one per CPU."""
    if workers is not None and workers < 1:
        raise ArgumentError(f"workers: expected one at least, received {workers}", option="workers")
    return available_cpus() if workers is None else workers


def in_order(work: Callable[[T], R], items: Iterable[T], workers: int) -> Generator[R, None, None]:
    """Applies a function to items in several threads; yields the results in the items' order.

    Items are taken only as fast as they are processed.
    """
    pending: deque[Future[R]] = deque()
    with _short_switch_interval(), ThreadPoolExecutor(workers, "scoring") as pool:
        try:
            for item in items:
                pending.append(pool.submit(work, item))
                # One more item per worker than is being processed, so that none has to wait.
                if len(pending) > 2 * workers:
                    yield pending.popleft().result()
            while pending:
                yield pending.popleft().result()
        finally:
            for future in pending:
                future.cancel()


class _SwitchInterval:
    """Shortens the interpreter's switch interval while at least one block runs, in any thread."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._blocks = 0
        self._before = 0.0

    @contextmanager
    def __call__(self) -> Iterator[None]:
        with self._lock:
            if not self._blocks:
                self._before = sys.getswitchinterval()
                sys.setswitchinterval(min(self._before, SWITCH_SECONDS))
            self._blocks += 1
        try:
            yield
        finally:
            with self._lock:
                self._blocks -= 1
                if not self._blocks:
                    sys.setswitchinterval(self._before)


_short_switch_interval = _SwitchInterval()
