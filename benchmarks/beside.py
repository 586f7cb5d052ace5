"""Something that goes on in a thread for as long as a block lasts. Knows nothing of what it is."""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from process import FailedError


@contextmanager
def beside(work: Callable[[threading.Event], None]) -> Iterator[None]:
    """Does work in a thread of its own until the block ends, and waits for its end.

    Args:
        work: What is done; is given an event that is set when the block ends.

    Raises:
        FailedError: If it has failed.
    """
    ending = threading.Event()
    errors: list[BaseException] = []

    def run() -> None:
        try:
            work(ending)
        except BaseException as error:
            errors.append(error)

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    try:
        yield
    finally:
        ending.set()
        thread.join()
    if errors:
        raise FailedError(f"what went on beside has failed: {errors[0]!r}")
