"""Work on windows by several threads at once, and the results in the windows' order.

Owns how many windows are in memory at a time. Knows nothing of what the work is.

Threads, for nearly all of the work is done outside Python's lock: by the tokenizer, and by
onnxruntime with one thread a call.
"""

import sys
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from threading import Lock
from typing import TypeVar

from gatewise.service.threads import SWITCH_SECONDS, available_cpus
from gatewise.vocab.errors import GatewiseError

T = TypeVar("T")
R = TypeVar("R")


def required_workers(wanted: int | None) -> int:
    """How many workers there are to be.

    Args:
        wanted: As many; None for one on each core.

    Raises:
        GatewiseError: There is to be less than one.
    """
    if wanted is not None and wanted < 1:
        raise GatewiseError(f"workers: expected one at least, received {wanted}")
    return available_cpus() if wanted is None else wanted


def in_order(work: Callable[[T], R], items: Iterable[T], workers: int) -> Generator[R, None, None]:
    """Works on items side by side.

    Args:
        work: What is done with an item; may be called from several threads at once.
        items: Taken only as fast as they are worked on.
        workers: Items worked on at a time.

    Yields:
        The results in the items' order, each as soon as those before it are there.
    """
    waiting: deque[Future[R]] = deque()
    with _switching(), ThreadPoolExecutor(workers, thread_name_prefix="scoring") as pool:
        try:
            for item in items:
                waiting.append(pool.submit(work, item))
                # One more for each worker than it works on, so that none has to wait for the next.
                if len(waiting) > 2 * workers:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        finally:
            for future in waiting:
                future.cancel()


class _Switching:
    """Has threads take turns more often while a block runs, in whichever threads there are some."""

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


_switching = _Switching()
