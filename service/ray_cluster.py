"""The connection to a Ray cluster: a running one, or one that is started on this machine.

The two packages that use Ray import this module first, for Ray reads its variables when it is
imported.
"""

import logging
import os
import re
import signal
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from gatewise.vocab.errors import GatewiseError, first_line

# They turn off usage statistics, the deduplication of similar log lines, the prefix of log lines,
# and the copy of the replicas' logs on standard error.
for _name, _value in (
    ("RAY_USAGE_STATS_ENABLED", "0"),
    ("RAY_DEDUP_LOGS", "0"),
    ("RAY_DISABLE_WORKER_LOG_PREFIX", "1"),
    ("RAY_SERVE_LOG_TO_STDERR", "0"),
):
    os.environ.setdefault(_name, _value)

import ray  # noqa: E402
import ray.exceptions  # noqa: E402

NAMESPACE = "gatewise"

_OBJECT_STORE_BYTES = 128 * 2**20
"""Memory for objects passed between processes; Ray's default is a third of the machine's memory."""

_REACH_SECONDS = 5.0
"""How long to try to connect; Ray itself would try for some minutes."""


class ClusterError(GatewiseError):
    """A cluster that cannot be reached or started, or that has failed."""


@dataclass(frozen=True, slots=True)
class ClusterConnection:
    """A cluster that this process is connected to."""

    is_ours: bool  # whether it was started by this process, and ends with it
    cpus: int  # its processors at the moment, as Ray counts them


@contextmanager
def connected(
    address: str | None,
    *,
    cpus: int | None = None,
    log_to_driver: bool = True,
    niceness: int | None = None,
) -> Iterator[ClusterConnection]:
    """Connects to a cluster for the length of a block.

    Args:
        address: The cluster's address, as for `ray.init`; None starts one on this machine.
        cpus: Processors that a cluster started here counts; None for those of the machine.
        log_to_driver: Whether the output of the cluster's processes is printed here too.
        niceness: The nice value of the processes of a cluster started here; None for Ray's
            default, which is 15.

    Raises:
        ClusterError: There is no cluster at the address, or none can be started.
    """
    # Before it starts: Ray warns that it asks for a token.
    logging.getLogger("ray").setLevel(logging.ERROR)
    options: dict[str, Any] = {"address": address}
    if address is None:
        if niceness is not None:  # the only way to set it
            os.environ.setdefault("RAY_worker_niceness", str(niceness))
        options = {
            "address": "local",
            "num_cpus": cpus,
            "object_store_memory": _OBJECT_STORE_BYTES,
            "include_dashboard": False,
        }
    else:
        _reach(address)
    try:
        with _own_signals():
            ray.init(
                namespace=NAMESPACE,
                logging_level=logging.ERROR,
                log_to_driver=log_to_driver,
                **options,
            )
    except (ConnectionError, RuntimeError, ValueError, OSError, ray.exceptions.RayError) as error:
        raise _missing(address, first_line(error)) from error
    try:
        yield ClusterConnection(address is None, int(ray.cluster_resources().get("CPU", 0)))
    finally:
        ray.shutdown()


def _reach(address: str) -> None:
    """Checks that something listens at an address of a host and a port."""
    found = re.fullmatch(r"(?:ray://)?\[?([^\[\]/]+)\]?:(\d{1,5})", address)
    if not found:
        return
    try:
        socket.create_connection((found[1], int(found[2])), _REACH_SECONDS).close()
    except (OSError, OverflowError, UnicodeError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise _missing(address, reason) from None


def _missing(address: str | None, reason: str) -> ClusterError:
    if address is None:
        return ClusterError(f"Ray cannot be started on this machine: {reason}")
    return ClusterError(
        f"no Ray cluster at {address!r}: {reason} (expected the address of its head, such as "
        "10.0.0.1:6379, on one of its nodes; without an address, Ray is started on this "
        "machine)",
        option="address",
    )


@contextmanager
def _own_signals() -> Iterator[None]:
    """Restores this process's SIGTERM handler, which Ray replaces."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.getsignal(signal.SIGTERM)
    try:
        yield
    except SystemExit as end:
        # Ray exits with the signal's number; shells expect 128 more.
        raise SystemExit(128 + signal.SIGTERM if end.code == signal.SIGTERM else end.code) from None
    finally:
        signal.signal(signal.SIGTERM, before)
