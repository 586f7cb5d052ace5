"""The ways from the strings of a corpus to their labels, each ready in a process of its own.

    python benchmarks/scoring_ways.py WAY GIVEN

Two frameworks in one process would fight over the threads; a process that waits for its turn takes
nothing from the others. Owns how those processes are asked; each way has a module of its own.
"""

import hashlib
import importlib
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from importlib.util import find_spec
from itertools import islice
from pathlib import Path
from typing import Any

import in_node
import scoring_inputs
from process import FOLDER, FailedError

TOKENIZING, INFERENCE = "tokenizing alone", "inference alone"
STRINGS = "Gatewise, strings to labels"
TO_CSV, TO_PARQUET = "Gatewise, csv.gz to csv", "Gatewise, csv.gz to Parquet"
ONE_CALL = "gatewise.score_texts, one call"
BATCHES = "gatewise.score_texts, 10,000 a call, one worker"
TFIDF, FASTTEXT = "TF-IDF and LinearSVC, predict", "fastText, predict"
PYTORCH, KERAS = "PyTorch, by length", "Keras, predict"
NODE = "Transformers.js in Node"

WAYS = {
    TOKENIZING: ("scoring_gatewise", "tokenizing"),
    INFERENCE: ("scoring_gatewise", "inference"),
    STRINGS: ("scoring_gatewise", "strings"),
    TO_CSV: ("scoring_gatewise", "to_csv"),
    TO_PARQUET: ("scoring_gatewise", "to_parquet"),
    ONE_CALL: ("scoring_gatewise", "one_call"),
    BATCHES: ("scoring_gatewise", "batches"),
    TFIDF: ("scoring_peers", "tfidf"),
    FASTTEXT: ("scoring_peers", "fasttext"),
    PYTORCH: ("scoring_peers", "pytorch"),
    KERAS: ("scoring_peers", "in_keras"),
    NODE: ("scoring_peers", "node"),
}
"""The module and function of each; a module is imported only where it is run."""

_NEEDS = {TFIDF: "sklearn", FASTTEXT: "fasttext", PYTORCH: "torch", KERAS: "keras"}
_EXTRAS = {"torch": "peers", "keras": "train"}
_THREADS = (
    "OMP_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "RAYON_NUM_THREADS",
    "TF_NUM_INTRAOP_THREADS",
    "TF_NUM_INTEROP_THREADS",
)


@dataclass(frozen=True)
class Given:
    """What the ways have in common.

    Attributes:
        file: The rows, `.csv.gz` with the columns text and label.
        model: Gatewise's model folder.
        cores: How many threads a way may use; it has no more cores.
        learnt: How many rows other classifiers learn from.
        peer_rows: Most rows that other classifiers are asked for.
        node_rows: Most rows that Transformers.js is asked for.
        node_modules: Where JavaScript's packages are.
    """

    file: str
    model: str
    cores: int
    learnt: int
    peer_rows: int
    node_rows: int
    node_modules: str

    def rows(self, most: int | None = None) -> tuple[list[str], list[str]]:
        """The first texts of the file, and their labels."""
        found = scoring_inputs.cells(Path(self.file))
        header = next(found)
        places = header.index("text"), header.index("label")
        rows = [tuple(row[place] for place in places) for row in islice(found, most)]
        texts, labels = (list(column) for column in zip(*rows, strict=True))
        return texts, labels


@dataclass(frozen=True)
class Turn:
    """What came of one turn.

    Attributes:
        seconds: How long it took.
        labels: What the rows with a token were given, in their order; None if that is not told.
    """

    seconds: float
    labels: Sequence[str] | None = None


@dataclass(frozen=True)
class Ready:
    """A way that waits for its turns.

    Attributes:
        rows: How many rows it answers in one.
        run: Takes a turn.
    """

    rows: int
    run: Callable[[], Turn]


Prepare = Callable[[Given], Ready]


def by_clock(
    rows: int, work: Callable[[], Any], labels: Callable[[Any], Sequence[str]] | None = None
) -> Ready:
    """A way that is timed by the clock of this process.

    Args:
        rows: How many rows it answers.
        work: What is timed.
        labels: The labels, from what that gave; not timed.
    """

    def run() -> Turn:
        began = time.perf_counter()
        given = work()
        seconds = time.perf_counter() - began
        return Turn(seconds, labels(given) if labels else None)

    return Ready(rows, run)


@contextmanager
def limited(cores: int) -> Iterator[int]:
    """Gives this process and those that it starts so many cores at the most.

    Yields:
        How many there are.
    """
    if not hasattr(os, "sched_setaffinity"):
        yield os.cpu_count() or 1
        return
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, sorted(before)[:cores])
    try:
        yield min(cores, len(before))
    finally:
        os.sched_setaffinity(0, before)


def missing(modules: Path) -> dict[str, str]:
    """Why a way has to be left out, for each that has."""
    absent = {
        way: f'{package} is missing: pip install "gatewise[{_EXTRAS.get(package, "benchmark")}]"'
        for way, package in _NEEDS.items()
        if find_spec(package) is None
    }
    reason = in_node.missing(modules)
    return {**absent, NODE: reason} if reason else absent


@dataclass(frozen=True)
class Waiting:
    """A way in a process of its own.

    Attributes:
        rows: How many rows it answers in a turn.
        turn: Has it take one: seconds, and a digest of its labels if it tells them.
    """

    rows: int
    turn: Callable[[], tuple[float, str | None]]


@contextmanager
def held(way: str, given: Given) -> Iterator[Waiting]:
    """A way that is ready, until the block ends.

    Args:
        way: One of `WAYS`.
        given: What it is to answer.

    Raises:
        FailedError: If its process failed.
    """
    path = [str(FOLDER.parent), *filter(None, [os.environ.get("PYTHONPATH")])]
    env = {**os.environ, "PYTHONPATH": os.pathsep.join(path)}
    env.update(dict.fromkeys(_THREADS, str(given.cores)))
    command = [sys.executable, __file__, way, json.dumps(asdict(given))]
    with (
        tempfile.TemporaryFile("w+") as said,
        subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=said,
            encoding="utf-8",
            env=env,
        ) as process,
    ):

        def told(turn: str) -> Mapping[str, Any]:
            if process.stdin is None or process.stdout is None:
                raise FailedError(f"{way}: cannot be spoken to")
            try:
                process.stdin.write(turn)
                process.stdin.flush()
            except BrokenPipeError:
                pass  # what it said before it ended is told below
            if line := process.stdout.readline():
                answer: Mapping[str, Any] = json.loads(line)
                return answer
            said.seek(0)
            last = said.read().strip().splitlines() or ["without a word"]
            raise FailedError(f"{way}: its process has ended: {last[-1]}")

        def turn() -> tuple[float, str | None]:
            answer = told("turn\n")
            return answer["seconds"], answer["digest"]

        try:
            yield Waiting(told("")["rows"], turn)
        finally:
            process.terminate()


def _digest(labels: Sequence[str]) -> str:
    return hashlib.sha256("\n".join(labels).encode()).hexdigest()


def main(way: str, given: str) -> None:
    """See the module."""
    # Frameworks print what they like; the answers go where nothing else does.
    answers = os.fdopen(os.dup(sys.stdout.fileno()), "w", encoding="utf-8")
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())

    def say(**answer: object) -> None:
        answers.write(f"{json.dumps(answer)}\n")
        answers.flush()

    module, function = WAYS[way]
    prepare: Prepare = getattr(importlib.import_module(module), function)
    ready = prepare(Given(**json.loads(given)))
    say(rows=ready.rows)
    for _ in sys.stdin:
        turn = ready.run()
        say(seconds=turn.seconds, digest=None if turn.labels is None else _digest(turn.labels))


if __name__ == "__main__":
    main(*sys.argv[1:])
