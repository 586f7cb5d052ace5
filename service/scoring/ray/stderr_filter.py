"""What Ray's core writes to standard error past Python, kept from whoever looks at it.

It tells of every pool of workers that it is made as Ray Data makes it, which is nobody's to mend.
Knows no cluster.
"""

import os
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stderr

_OF_NO_USE = "constructor arguments in the object store and max_restarts > 0"


@contextmanager
def filter_stderr() -> Iterator[None]:
    """Lets Python alone write to standard error; what else was written there follows at the end.

    For a command's process: standard error is every thread's.
    """
    sys.stderr.flush()
    theirs = os.dup(2)
    with (
        tempfile.TemporaryFile() as aside,
        os.fdopen(theirs, "w", buffering=1, errors="backslashreplace") as ours,
    ):
        os.dup2(aside.fileno(), 2)
        try:
            with redirect_stderr(ours):
                yield
        finally:
            os.dup2(theirs, 2)
            aside.seek(0)
            for line in aside.read().decode(errors="replace").splitlines():
                if _OF_NO_USE not in line:
                    sys.stderr.write(f"{line}\n")
