"""The pool of scoring workers on a Ray cluster, and the schedule of splits.

A worker is an actor with one CPU, which reads and scores one split per call. Ray restarts a worker
that is lost, and repeats its call.
"""

import time
from collections import Counter, deque
from collections.abc import Collection, Generator, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import count
from math import inf
from typing import Any

import ray
from ray.exceptions import RayActorError, RayError

from gatewise.service import ray_cluster
from gatewise.service.ray_cluster import ClusterError
from gatewise.service.scoring.ray.input_splits import Group, Split, SplitSizes
from gatewise.service.scoring.ray.split_scorer import Outcome, Scorer, SplitJob
from gatewise.service.scoring.summary import RowCounts
from gatewise.service.threads import available_cpus
from gatewise.vocab.corpus.bad_row_policy import BadRowsError
from gatewise.vocab.errors import GatewiseError

_ATTEMPTS = 4
"""Workers that are lost over one split before the split is taken to be the cause."""

_PATIENCE_SECONDS = 5.0


@dataclass(frozen=True, slots=True)
class Cluster:
    """Where an input is scored, and by how many workers."""

    # The cluster; None for the one that this process is connected to, or else for one that is
    # started on this machine.
    address: str | None = None
    # Processes that score, each with its own copy of the model; None for as many as there are
    # free CPUs.
    workers: int | None = None
    # How the input is divided. Resuming requires the same sizes.
    sizes: SplitSizes = field(default_factory=SplitSizes)


@contextmanager
def opened(cluster: Cluster) -> Iterator[int]:
    """Connects to a cluster, and gives the number of workers that it has room for."""
    requested = cluster.workers
    if ray.is_initialized() and cluster.address is None:
        yield _workers(_free(requested), requested)
        return
    cpus = max(available_cpus(), requested or 1)
    with ray_cluster.connected(
        cluster.address, cpus=cpus, log_to_driver=False, niceness=0
    ) as found:
        yield _workers(found.cpus if found.is_ours else _free(requested), requested)


def _free(workers: int | None) -> int:
    """The free CPUs. Those of a run that has just ended are free after a moment."""
    requested = workers or ray.cluster_resources().get("CPU", 0)
    until = time.monotonic() + _PATIENCE_SECONDS
    while (
        free := ray.available_resources().get("CPU", 0)
    ) < requested and time.monotonic() < until:
        time.sleep(0.1)
    return int(free)


def _workers(free: int, requested: int | None) -> int:
    """The number of workers."""
    if free < (requested or 1):
        raise ClusterError(
            f"the cluster has {free} free CPUs: expected {requested or 1} at least, one for "
            f"each worker. {f'Ask for {free} workers or fewer' if free else 'Use another cluster'}"
        )
    return requested or free


def outcomes(
    workers: int, job: SplitJob, groups: Sequence[Group], complete: Mapping[Split, RowCounts]
) -> Generator[Outcome, None, None]:
    """Has an input scored.

    Yields:
        The outcome of every other split, in any order.
    """
    schedule = Schedule(len(groups), job.sizes.split, complete)
    actor = ray.remote(num_cpus=1, max_restarts=-1, max_task_retries=_ATTEMPTS - 1)(Scorer)
    shared = ray.put(job)
    running: dict[Any, tuple[Any, Split]] = {}  # call → worker, and what it scores
    failed: Outcome | None = None

    def assign(worker: Any, previous: Split | None) -> None:
        others = [split for _, split in running.values()]
        if failed is None and (split := schedule.take(previous, others)) is not None:
            running[worker.score.remote(shared, groups[split.group], split)] = worker, split

    actors = [actor.remote() for _ in range(workers)]
    try:
        for worker in actors:
            assign(worker, None)
        while any(schedule.is_needed(split, failed) for _, split in running.values()):
            (call,), _ = ray.wait(list(running), num_returns=1)
            worker, split = running.pop(call)
            outcome = _result(call, split)
            if not outcome.has_failed:
                schedule.finish(split, outcome.counts)
                yield outcome
            elif failed is None or split < failed.split:
                failed = outcome
            assign(worker, split)
    finally:
        for worker in actors:
            ray.kill(worker)
    if failed is not None:
        if failed.bad_rows:
            # There may be more bad rows in the splits that were not read.
            raise BadRowsError(failed.bad_rows, all_named=False)
        raise GatewiseError(str(failed.failure))


def _result(call: Any, split: Split) -> Outcome:
    try:
        outcome: Outcome = ray.get(call)
    except RayError as error:
        if isinstance(error, RayActorError) and not error.actor_init_failed:
            raise ClusterError(
                f"{_ATTEMPTS} workers were lost, one after another, while they scored part "
                f"{split} of the input: expected enough memory for each"
            ) from error
        # Of a traceback, the last line.
        reason = (str(error).strip() or type(error).__name__).splitlines()
        message = reason[-1 if "ray::" in str(error) else 0]
        raise ClusterError(f"Ray cannot score the input: {message}") from error
    return outcome


class Schedule:
    """Which split a worker scores next.

    The number of splits of a group is not known before one is found to be short. Until then it is
    taken for endless; a split beyond the end has no rows.
    """

    def __init__(self, groups: int, rows: int, complete: Mapping[Split, RowCounts]) -> None:
        self._rows = rows
        self._complete = frozenset(complete)
        self._ends: dict[int, int] = {}  # group → number of its splits
        self._closed = deque(range(groups))
        self._open: dict[int, Iterator[Split]] = {}
        for split, counts in complete.items():
            self.finish(split, counts)

    def take(self, previous: Split | None, others: Collection[Split]) -> Split | None:
        """The next split for a worker; None if there is nothing left to begin.

        A worker stays with its group of files, then begins another. If all have been begun, it
        shares the one that the fewest are reading.
        """
        group = None if previous is None else previous.group
        while self._closed or self._open:
            if group not in self._open and self._closed:
                group = self._closed.popleft()
                self._open[group] = self._splits(group)
            elif group not in self._open:
                readers = Counter(split.group for split in others)
                group = min(self._open, key=readers.__getitem__)
            if (split := next(self._open[group], None)) is not None:
                return split
            del self._open[group]
        return None

    def finish(self, split: Split, counts: RowCounts) -> None:
        """Notes that a split is complete."""
        if counts.rows < self._rows:
            end = split.number + 1
            self._ends[split.group] = min(end, self._ends.get(split.group, end))

    def is_needed(self, split: Split, failed: Outcome | None) -> bool:
        """Whether to wait for a split: it has rows, and may hold an error before the known one."""
        if failed is not None and (split.group != failed.split.group or split > failed.split):
            return False
        return split.number < self._ends.get(split.group, inf)

    def _splits(self, group: int) -> Iterator[Split]:
        for number in count():
            if number >= self._ends.get(group, inf):
                return
            if (split := Split(group, number)) not in self._complete:
                yield split
