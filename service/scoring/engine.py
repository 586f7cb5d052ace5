"""Work on windows by several threads at once, and the results in the windows' order.

Owns how many windows are in memory at a time. Knows nothing of what the work is.

Threads, for nearly all of the work is done outside Python's lock: by the tokenizer, and by
onnxruntime with one thread a call.
"""

import os
import sys
from collections import deque
from collections.abc import Callable, Generator, Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

# A thread that comes back from the network asks for Python's lock, and gets it once the thread that
# has it has had it for so long: by default five milliseconds, in which two batches could be run.
_SWITCH_SECONDS = 1e-4

T = TypeVar("T")
R = TypeVar("R")


def cores() -> int:
    """The processor cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


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
    before = sys.getswitchinterval()
    sys.setswitchinterval(min(before, _SWITCH_SECONDS))
    with ThreadPoolExecutor(workers, thread_name_prefix="scoring") as pool:
        try:
            for item in items:
                waiting.append(pool.submit(work, item))
                # One more for each worker than it works on, so that none has to wait for the next.
                if len(waiting) > 2 * workers:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        finally:
            sys.setswitchinterval(before)
            for future in waiting:
                future.cancel()
