"""A Ray cluster: one that is there already, or one that is started on this machine.

Owns how it is found or started, how quiet it is, and how it is left. Knows nothing of what is done
there.
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

import ray
import ray.exceptions
from gatewise.vocab.errors import GatewiseError

NAMESPACE = "gatewise"

_OBJECT_STORE_BYTES = 128 * 2**20
"""Memory for what is passed between processes; Ray's own default is a third of the machine's."""

_REACH_SECONDS = 5.0
"""Seconds that a cluster is given to take a connection: Ray itself would try for some minutes."""


class ClusterError(GatewiseError):
    """A cluster that cannot be had, or that has gone."""


@dataclass(frozen=True, slots=True)
class Cluster:
    """A cluster that this process is connected to.

    Attributes:
        is_ours: Whether it was started for this process, and ends with it.
        cpus: The processors that it has at the moment, as Ray counts them.
    """

    is_ours: bool
    cpus: int


@contextmanager
def connected(
    address: str | None,
    *,
    cpus: int | None = None,
    object_store_bytes: int = _OBJECT_STORE_BYTES,
    log_to_driver: bool = True,
    niceness: int | None = None,
) -> Iterator[Cluster]:
    """A cluster, for as long as it is used.

    Args:
        address: Where it is, as `ray.init` takes it; None starts one on this machine.
        cpus: Processors that the one which is started shall count; None is those that there are.
        object_store_bytes: Memory that the one which is started keeps for objects.
        log_to_driver: Whether what its processes print is printed here too.
        niceness: By how much processes of the one which is started stand back for others of the
            machine; None is Ray's own default, which is 15.

    Raises:
        ClusterError: If there is none at the address, or none can be started.
    """
    # Set before it is started: that it asks for a token is a warning to it.
    logging.getLogger("ray").setLevel(logging.ERROR)
    options: dict[str, Any] = {"address": address}
    if address is None:
        if niceness is not None:  # Ray reads it from there alone
            os.environ.setdefault("RAY_worker_niceness", str(niceness))
        options = {
            "address": "local",
            "num_cpus": cpus,
            "object_store_memory": object_store_bytes,
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
        reason = (str(error).strip().splitlines() or [type(error).__name__])[0]
        raise _missing(address, reason) from error
    try:
        yield Cluster(address is None, int(ray.cluster_resources().get("CPU", 0)))
    finally:
        ray.shutdown()


def processors() -> int:
    """Those of this machine that this process may use."""
    affinity = getattr(os, "sched_getaffinity", None)
    return len(affinity(0)) if affinity else os.cpu_count() or 1


def _reach(address: str) -> None:
    """Looks whether anything listens at an address of a host and a port.

    Raises:
        ClusterError: If nothing does.
    """
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
        "10.0.0.1:6379, on one of its nodes; without --address one is started on this machine)"
    )


@contextmanager
def _own_signals() -> Iterator[None]:
    """Keeps what this process does when it is told to end, which Ray changes for good."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.getsignal(signal.SIGTERM)
    try:
        yield
    except SystemExit as end:
        # Ray ends the process with the number of the signal itself, which no shell would.
        raise SystemExit(128 + signal.SIGTERM if end.code == signal.SIGTERM else end.code) from None
    finally:
        signal.signal(signal.SIGTERM, before)
