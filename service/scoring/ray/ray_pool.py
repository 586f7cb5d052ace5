"""The workers that score and the tasks that read, as Ray Data runs them.

Owns how many there are of each, and that some processors are left for reading: workers that held
every one of them would wait forever for something to do. How much is read ahead of the workers is
Ray Data's to say, which also puts others in the place of those that die, and gives them the same to
do. Knows nothing of what a worker does.
"""

import copy
import logging
import pickle
import time
from collections.abc import Generator, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field

import ray
import ray.data
import ray.exceptions
from gatewise.service import ray_cluster
from gatewise.service.ray_cluster import ClusterError
from gatewise.service.scoring.ray.input_splits import InputSplits, Place, SplitSizes
from gatewise.service.scoring.ray.split_scorer import Outcome, Scorer, SplitJob
from gatewise.vocab.corpus.record_stream import Table
from ray.data import ActorPoolStrategy, DataContext
from ray.data.exceptions import ExecutionTimeoutError

_WORKERS_A_READER = 7
"""Workers that one process which reads keeps busy, with some to spare."""

_READER_BYTES = 256 * 2**20
"""Memory that one that reads is given; what it has read of a stretch is in there."""

_PATIENCE_SECONDS = 5.0

_OBJECT_BYTES = 128 * 2**20
"""Memory for stretches on their way, a worker, on a cluster that is started here."""


@dataclass(frozen=True, slots=True)
class Cluster:
    """Where an input is scored, and by how many.

    Attributes:
        address: The cluster; None for the one that this process is connected to, or else for one
            that is started on this machine.
        workers: Processes that score, each with a model of its own; None for as many as there are
            processors beside those that read.
        sizes: How the input is cut. A run that was broken off is gone on with by the same.
    """

    address: str | None = None
    workers: int | None = None
    sizes: SplitSizes = field(default_factory=SplitSizes)


@dataclass(frozen=True, slots=True)
class Pool:
    """How many there are; each takes one processor.

    Attributes:
        workers: Those that score.
        readers: Those that read.
    """

    workers: int
    readers: int

    @classmethod
    def among(cls, cpus: int, workers: int | None, files: int) -> "Pool":
        """Divides processors.

        >>> Pool.among(16, None, 100)
        Pool(workers=14, readers=2)

        Args:
            cpus: How many there are.
            workers: Workers that are asked for; None for the most.
            files: Files that can be read side by side.

        Raises:
            ClusterError: If there are too few.
        """
        most = cpus - 1
        if most < 1 or (workers is not None and workers > most):
            asked = "" if workers is None else f" for {workers} workers"
            raise ClusterError(
                f"the cluster has {cpus} free processors: expected {(workers or 1) + 1} at "
                f"least{asked}, for a worker takes one, and one is left to read. Give "
                f"{f'--workers {most} at most' if most > 0 else 'another --address'}"
            )
        readers = min(files, -(-cpus // (1 + _WORKERS_A_READER)))
        if workers is not None:
            return cls(workers, min(readers, cpus - workers))
        return cls(cpus - readers, readers)


@contextmanager
def opened(cluster: Cluster, files: int) -> Iterator[Pool]:
    """A connection to a cluster, and how many workers and readers there shall be.

    Args:
        cluster: What is asked for.
        files: Files that can be read side by side.

    Raises:
        ClusterError: If there is no such cluster, or no room on it.
    """
    if ray.is_initialized() and cluster.address is None:
        yield Pool.among(_free(cluster.workers), cluster.workers, files)
        return
    # One that is started here counts as many processors as are needed: reading takes little of one.
    cpus = max(ray_cluster.processors(), (cluster.workers or 1) + 1)
    memory = _OBJECT_BYTES * (1 + (cluster.workers or cpus))
    with ray_cluster.connected(
        cluster.address, cpus=cpus, object_store_bytes=memory, log_to_driver=False, niceness=0
    ) as found:
        cpus = found.cpus if found.is_ours else _free(cluster.workers)
        yield Pool.among(cpus, cluster.workers, files)


def _free(workers: int | None) -> int:
    """The processors that nothing else has; those of a run that has just ended come free soon."""
    wanted = workers + 1 if workers else ray.cluster_resources().get("CPU", 0)
    until = time.monotonic() + _PATIENCE_SECONDS
    while (free := ray.available_resources().get("CPU", 0)) < wanted and time.monotonic() < until:
        time.sleep(0.1)
    return int(free)


def outcomes(
    pool: Pool,
    job: SplitJob,
    files: Sequence[tuple[Table, ...]],
    sizes: SplitSizes,
    done: Iterable[Place],
) -> Generator[Outcome, None, None]:
    """Has an input read and scored.

    Args:
        pool: How many read and score.
        job: What each worker is given.
        files: The input; see `gatewise.service.scoring.ray.input_splits.shares`.
        sizes: How it is cut.
        done: InputSplits that are not wanted.

    Yields:
        What became of each stretch, in any order.

    Raises:
        ClusterError: If the cluster has failed.
    """
    logging.getLogger("ray.data").setLevel(logging.CRITICAL)
    with DataContext.current(_context()):
        read = ray.data.read_datasource(
            InputSplits(files, sizes, done, name_node=job.name_node),
            override_num_blocks=len(files),
            concurrency=pool.readers,
            num_cpus=1,
            # Asked for the same as a worker, it could become part of one, and leave others idle.
            memory=_READER_BYTES,
        )
        scored = read.map_batches(
            Scorer,
            fn_constructor_args=(ray.put(job),),
            batch_size=None,
            batch_format="pyarrow",
            compute=ActorPoolStrategy(size=pool.workers),
            num_cpus=1,
        )
    try:
        batches = scored.iter_batches(batch_size=None, batch_format="pyarrow", prefetch_batches=0)
        for batch in batches:
            for outcome in batch["outcome"]:
                yield pickle.loads(outcome.as_py())  # noqa: S301  # a worker of this run wrote it
    except (ray.exceptions.RayError, ExecutionTimeoutError) as error:
        raise ClusterError(f"Ray cannot score the input: {_reason(error)}") from error


def _context() -> DataContext:
    context = copy.deepcopy(DataContext.get_current())
    context.enable_progress_bars = False
    context.enable_operator_progress_bars = False
    # Each stretch is a block of its own, or one worker would be given several while others wait.
    context.target_max_block_size = 1
    return context


def _reason(error: Exception) -> str:
    """What Ray says, in one line: of a traceback the last one, which says most."""
    text = str(error).strip() or type(error).__name__
    lines = text.splitlines()
    return lines[-1] if "ray::" in text else lines[0]
