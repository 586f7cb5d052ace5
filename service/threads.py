"""Threads: the CPUs that they may use, and the interval at which Python switches between them."""

import os

SWITCH_SECONDS = 1e-4
"""Switch interval for a process whose threads run batches.

A thread that comes back from onnxruntime waits for the interpreter's lock until the thread that
holds it has had it for a switch interval: by default five milliseconds, in which two batches run.
"""


def available_cpus() -> int:
    """Returns the number of CPUs that this process may use, which a container may limit."""
    affinity = getattr(os, "sched_getaffinity", None)
    return len(affinity(0)) if affinity else os.cpu_count() or 1
