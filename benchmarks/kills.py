"""A worker process of a server that is killed under load: what its clients lose, and for how long.

Knows workers as the children of the server's process; nothing of what they serve.
"""

import os
import signal
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import process_tree
from closed_loop import Judge, driving
from process import FailedError
from server_process import Running, status
from truth import LOST

_PATIENCE = 30.0  # seconds for a worker to be replaced


@dataclass(frozen=True)
class Killed:
    """What came of a worker's end.

    Attributes:
        counts: How many answers there were of which kind.
        connected: Clients that were connected to that worker, each with one request at most.
        lost: Requests without an answer.
        spread_seconds: From the kill to the last of them.
        replaced_seconds: From the kill until there were as many workers as before, and ready.
        unopened: How often a client could not connect.
    """

    counts: Mapping[str, int]
    connected: int
    lost: int
    spread_seconds: float
    replaced_seconds: float
    unopened: int


def killing(
    server: Running,
    ready: str,
    requests: Sequence[bytes],
    judge: Judge,
    connections: int,
    seconds: float,
) -> Killed:
    """Kills the worker that has the most clients, and waits until there is another.

    Args:
        server: The server.
        ready: The path that answers 200 where it is ready.
        requests: What the clients ask.
        judge: What an answer is called.
        connections: How many clients there are.
        seconds: How long they ask before the kill, and after the worker was replaced.

    Raises:
        FailedError: If there is no worker with clients, or if it is not replaced.
    """
    with driving(server.port, requests, connections, judge) as seen:
        time.sleep(seconds)
        workers = process_tree.children(server.pid)
        clients = {pid: process_tree.connections(pid, server.port) for pid in workers}
        worker = max(clients, key=clients.__getitem__, default=0)
        if not clients.get(worker):
            raise FailedError(f"expected workers with clients below {server.pid}, found {clients}")
        before, start = seen.counts[LOST], time.perf_counter()
        os.kill(worker, signal.SIGKILL)
        while _lacks(server, worker, len(workers)) or status(server.port, ready) != 200:
            if time.perf_counter() - start > _PATIENCE:
                raise FailedError(f"the worker was not replaced within {_PATIENCE:.0f} s")
            time.sleep(0.01)
        replaced = time.perf_counter() - start
        time.sleep(seconds)
    last = seen.moments.get(LOST, (start, start))[1]
    return Killed(
        counts=dict(seen.counts),
        connected=clients[worker],
        lost=seen.counts[LOST] - before,
        spread_seconds=max(0.0, last - start),
        replaced_seconds=replaced,
        unopened=seen.unopened,
    )


def _lacks(server: Running, killed: int, workers: int) -> bool:
    left = set(process_tree.children(server.pid)) - {killed}
    return len(left) < workers
