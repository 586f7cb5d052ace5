"""Threads or processes: the same windows of a file scored by so many of either, file to file.

    python benchmarks/scoring_engines.py MODEL INPUT [--workers 1,2,4,8,16] [--rounds 3] [--json]

Needs numpy, onnxruntime, tokenizers, pyarrow and pydantic, the folders `service` and `vocab`, and
this file: so it can be taken to any machine. Each figure is of a process of its own, which may use
as many cores as it has workers, and whose output must be that of all others, byte for byte.
"""

import argparse
import hashlib
import json
import multiprocessing
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections import deque
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from contextlib import closing
from dataclasses import asdict, dataclass
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import Any

_ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(_ROOT))

from gatewise.service.model.classifier import Classifier  # noqa: E402 — found by the path above
from gatewise.service.scoring.chunks import CHUNK_ROWS, Chunk, Position, chunks  # noqa: E402
from gatewise.service.scoring.destination import Destination  # noqa: E402
from gatewise.service.scoring.journaled_output import Progress  # noqa: E402
from gatewise.service.scoring.options import ScoringOptions, ScoringPlan  # noqa: E402
from gatewise.service.scoring.ordered_pool import in_order  # noqa: E402
from gatewise.service.scoring.score_chunk import ScoredChunk, score_records  # noqa: E402
from gatewise.service.threads import available_cpus  # noqa: E402
from gatewise.vocab.corpus.record_stream import open_records  # noqa: E402
from gatewise.vocab.errors import GatewiseError  # noqa: E402

READING, THREADS, ALONE, PROCESSES = (
    "reading alone",
    "threads",
    "threads, each tokenizing by itself",
    "processes",
)
ENGINES = (READING, THREADS, ALONE, PROCESSES)
HEAD = (
    "| engine | workers | rows/s | lowest–highest | to one thread | processor, µs a row | "
    "ready, s | memory at most, MiB |\n|---|--:|--:|--:|--:|--:|--:|--:|"
)
_PACKAGES = ("numpy", "onnxruntime", "tokenizers", "pyarrow")
_COMMIT_SECONDS = 1.0
_PATIENCE = 600.0  # seconds until every process has its model

Part = tuple[Position, ScoredChunk]
_held: dict[str, Any] = {}


@dataclass(frozen=True)
class Measured:
    """What one run gave.

    Attributes:
        rows: Rows read.
        ready: Seconds until model and workers were ready.
        seconds: Seconds from there to the whole output.
        processor: Seconds of the processor of all that, its cores added up.
        memory: The most bytes that its processes can have held together.
        digest: Of the output.
    """

    rows: int
    ready: float
    seconds: float
    processor: float
    memory: int
    digest: str


def by_processes(
    pool: ProcessPoolExecutor, cut: Iterator[Chunk], workers: int
) -> Generator[Part, None, None]:
    """The engine of Gatewise with processes in the place of its threads."""
    waiting: deque[tuple[Position, Future[ScoredChunk]]] = deque()
    for window in cut:
        waiting.append((window.end, pool.submit(_score, window)))
        if len(waiting) > 2 * workers:
            end, future = waiting.popleft()
            yield end, future.result()
    while waiting:
        end, future = waiting.popleft()
        yield end, future.result()


def by_threads(
    classifier: Classifier, plan: ScoringPlan, cut: Iterator[Chunk], workers: int
) -> Generator[Part, None, None]:
    """The engine of Gatewise."""

    def work(window: Chunk) -> Part:
        return window.end, score_records(classifier, plan, window.items)

    return in_order(work, cut, workers)


def _begin(model: str, plan: ScoringPlan, together: Any) -> None:
    _held.update(classifier=Classifier.load(model), plan=plan)
    together.wait(_PATIENCE)


def _score(window: Chunk) -> ScoredChunk:
    return score_records(_held["classifier"], _held["plan"], window.items)


def _nothing() -> None:
    """What a process is started for that has no window yet."""


def score(engine: str, model: Path, source: Path, out: Path, workers: int) -> Measured:
    """Scores a file by one engine, in this process.

    Args:
        engine: One of `ENGINES`.
        model: A model folder.
        source: The input.
        out: The output.
        workers: How many threads or processes.
    """
    began = time.perf_counter()
    records = open_records(source)
    if engine == READING:
        rows = sum(len(window.items) for window in chunks(records.tables))
        seconds = time.perf_counter() - began
        return Measured(rows, 0.0, seconds, _processor(), _memory(0), "")
    classifier = Classifier.load(model)
    destination = Destination.named(out, out.with_name("rejects.jsonl"))
    plan = ScoringPlan.of(classifier, records, destination.file, ScoringOptions())
    cut = chunks(records.tables)
    if engine != PROCESSES:
        walk: Callable[[], Generator[Part, None, None]] = partial(
            by_threads, classifier, plan, cut, workers
        )
        ready = time.perf_counter() - began
        rows, seconds = _written(walk, destination, plan)
        return Measured(rows, ready, seconds, _processor(), _memory(0), _digest(out))
    context = multiprocessing.get_context("spawn")
    together = context.Barrier(workers + 1)
    with ProcessPoolExecutor(
        workers, mp_context=context, initializer=_begin, initargs=(str(model), plan, together)
    ) as pool:
        started = [pool.submit(_nothing) for _ in range(workers)]
        together.wait(_PATIENCE)
        for future in started:
            future.result()
        ready = time.perf_counter() - began
        rows, seconds = _written(partial(by_processes, pool, cut, workers), destination, plan)
    return Measured(rows, ready, seconds, _processor(), _memory(workers), _digest(out))


def _written(
    walk: Callable[[], Generator[Part, None, None]], destination: Destination, plan: ScoringPlan
) -> tuple[int, float]:
    """Writes what an engine gives, as `gatewise.service.scoring.score_file` does."""
    began = time.perf_counter()
    with destination.open({}, resume=False) as output, closing(walk()) as parts:
        output.write(plan.row_format.header(), b"")
        progress, committed = Progress(), began
        for end, done in parts:
            output.write(done.contents, done.rejected)
            progress = Progress(end, progress.counts.plus(done))
            if (now := time.perf_counter()) - committed >= _COMMIT_SECONDS:
                output.commit(progress)
                committed = now
        output.commit(progress)
        destination.deliver(output, plan.row_format)
    return progress.counts.rows, time.perf_counter() - began


def _processor() -> float:
    used = (resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    return sum(each.ru_utime + each.ru_stime for each in used)


def _memory(processes: int) -> int:
    """This process's peak, and the largest of its processes' for each of them, in bytes."""
    largest = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss if processes else 0
    return 1024 * (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss + processes * largest)


def _digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def run(engine: str, workers: int, given: Sequence[str], *, pinned: bool) -> Measured:
    """Scores in a process of its own, on as many cores as there are workers."""
    command = [sys.executable, __file__, *given, "--engine", engine, "--workers", str(workers)]
    if not pinned:
        command.append("--unpinned")
    env = dict(os.environ)
    if engine in (ALONE, PROCESSES):
        # The tokenizer has threads of its own, which all who call it share.
        env["TOKENIZERS_PARALLELISM"] = "false"
    ended = subprocess.run(command, capture_output=True, text=True, env=env, check=False)
    if ended.returncode:
        said = ended.stderr.strip().splitlines() or [f"ended with {ended.returncode}"]
        raise GatewiseError(f"{engine}, {workers}: {said[-1]}")
    return Measured(**json.loads(ended.stdout.splitlines()[-1]))


def measure(
    given: Sequence[str], workers: Sequence[int], rounds: int, *, pinned: bool
) -> dict[tuple[str, int], list[Measured]]:
    """Every engine with every number of workers once a round, each round beginning with another.

    Raises:
        GatewiseError: If a run fails, or two outputs differ.
    """
    asked = [(READING, 1)]
    asked += [(engine, count) for count in workers for engine in (THREADS, ALONE, PROCESSES)]
    found: dict[tuple[str, int], list[Measured]] = {each: [] for each in asked}
    for number in range(rounds):
        for place in range(len(asked)):
            engine, count = each = asked[(number + place) % len(asked)]
            found[each].append(run(engine, count, given, pinned=pinned))
    digests = {
        one.digest for (engine, _), runs in found.items() if engine != READING for one in runs
    }
    if len(digests) > 1:
        raise GatewiseError("expected one output of all engines, received several")
    return found


def in_markdown(key: tuple[str, int], runs: Sequence[Measured], first: float) -> str:
    """A row of the table; `first` is the rate of one thread."""
    rates = [each.rows / each.seconds for each in runs]
    processor = statistics.median(1e6 * each.processor / each.rows for each in runs)
    ready = statistics.median(each.ready for each in runs)
    memory = max(each.memory for each in runs) / 2**20
    return (
        f"| {key[0]} | {key[1]} | {statistics.median(rates):,.0f} | {min(rates):,.0f}–"
        f"{max(rates):,.0f} | {statistics.median(rates) / first:.2f} | {processor:.1f} | "
        f"{ready:.2f} | {memory:,.0f} |"
    )


def tell(found: Mapping[tuple[str, int], Sequence[Measured]], load: float, *, lines: bool) -> None:
    """Writes the table, or a line of JSON for each of its rows."""
    if lines:
        facts = {
            "cores": available_cpus(),
            "python": sys.version.split()[0],
            "load_before": load,
            "versions": {name: version(name) for name in _PACKAGES},
        }
        for (engine, workers), runs in found.items():
            row = {"engine": engine, "workers": workers, "runs": list(map(asdict, runs)), **facts}
            sys.stdout.write(f"{json.dumps(row)}\n")
        return
    (least, runs), *_ = (item for item in found.items() if item[0][0] == THREADS)
    first = statistics.median(each.rows / each.seconds for each in runs) / least[1]
    sys.stdout.write(
        f"{runs[0].rows:,} rows in windows of {CHUNK_ROWS:,}, {len(runs)} rounds, {available_cpus()} "
        f"cores, a load of {load:.1f} before the first.\n\n{HEAD}\n"
    )
    for key, each in found.items():
        sys.stdout.write(f"{in_markdown(key, each, first)}\n")


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Score a file by threads and by processes.")
    parser.add_argument("model", type=Path, help="A model folder.")
    parser.add_argument("source", metavar="input", type=Path, help="A data file or a folder.")
    parser.add_argument("--suffix", default=".csv", help="Of the output.")
    parser.add_argument("--workers", default="1,2,4,8,16", help="How many, by commas.")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument(
        "--unpinned", action="store_true", help="Let every run use all cores, whatever it has."
    )
    parser.add_argument("--json", action="store_true", help="Write JSON Lines.")
    parser.add_argument("--engine", choices=ENGINES, help=argparse.SUPPRESS)
    return parser.parse_args()


def main() -> None:
    """See the module."""
    given = _arguments()
    counts = [int(count) for count in given.workers.split(",")]
    load = os.getloadavg()[0]
    try:
        if given.engine is not None:
            if not given.unpinned and hasattr(os, "sched_setaffinity"):
                os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[: counts[0]])
            with tempfile.TemporaryDirectory(prefix="scoring-") as folder:
                out = Path(folder, f"out{given.suffix}")
                one = score(given.engine, given.model, given.source, out, counts[0])
            sys.stdout.write(f"{json.dumps(asdict(one))}\n")
            return
        passed = [str(given.model), str(given.source), "--suffix", given.suffix]
        found = measure(passed, counts, given.rounds, pinned=not given.unpinned)
    except (GatewiseError, OSError) as error:
        sys.exit(f"Error: {error}")
    tell(found, load, lines=given.json)


if __name__ == "__main__":
    main()
