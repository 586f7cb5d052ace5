"""`gatewise score` killed at random moments and resumed, until it ends with the same bytes.

Runs once undisturbed and once with kills, for every output format, on rows some of which are bad.
"""

import hashlib
import json
import math
import random
import subprocess
import tempfile
import time
from pathlib import Path
from typing import Annotated

import typer

from benchmarks.lib import corpora
from benchmarks.lib.command import DATA, AsJson, BenchmarkError, CorpusFolder, Model, command
from benchmarks.lib.report import Row, report
from benchmarks.lib.subprocesses import environment, gatewise_command
from gatewise.vocab.corpus.record_stream import open_records

SUFFIXES = (".csv", ".jsonl.gz", ".parquet")
_FORMER = b"former"
_FILE_ROWS = 50_000  # a run that resumes reads its file from the start, and small ones are short
_BETWEEN = 0.002  # seconds between two looks at a run that is to be killed


class _Run:
    """`gatewise score --resume` into a folder."""

    def __init__(self, model: Path, source: Path, folder: Path, suffix: str) -> None:
        folder.mkdir()
        self.out, self.rejects = folder / f"out{suffix}", folder / "rejects.jsonl"
        self.partial = folder / f".out{suffix}.partial"
        files = ("--out", self.out, "--rejects", self.rejects)
        self._command = gatewise_command("score", model, source, *files, "--resume", "--json")

    def start(self) -> "subprocess.Popen[str]":
        """Begins, or resumes."""
        pipe = subprocess.PIPE
        return subprocess.Popen(
            self._command, stdout=pipe, stderr=pipe, text=True, env=environment()
        )

    def has_committed(self) -> bool:
        """Whether anything is in the journal but its first line."""
        journal = self.partial / "journal"
        return journal.exists() and journal.read_bytes().count(b"\n") > 1

    def digests(self) -> list[str]:
        """Of the output, and of the rejected rows."""
        files = (self.out, self.rejects)
        return [hashlib.sha256(path.read_bytes()).hexdigest() for path in files]


def kill_and_resume(
    model: Path, source: tuple[Path, int], scratch: Path, suffix: str, kills: int, seed: int
) -> Row:
    """Scores a source, with its number of rows, undisturbed and then with kills at random moments.

    Parquet is killed once more, while it is put together.

    Raises:
        BenchmarkError: If a run fails by itself, or ends before it was killed so often.
    """
    undisturbed = _Run(model, source[0], scratch / f"undisturbed{suffix}", suffix)
    start = time.perf_counter()
    first = _summary(undisturbed.start())
    seconds = time.perf_counter() - start

    run = _Run(model, source[0], scratch / f"killed{suffix}", suffix)
    run.out.write_bytes(_FORMER)
    chance = random.Random(f"{seed}{suffix}")
    # A run that is killed comes half as far on average, less the second that is not committed yet,
    # so that there is work left after all kills; and no single run may come to the end.
    scoring = first["seconds"]
    span = seconds - scoring + scoring * min(1 / scoring + 1.2 / kills, 0.5)
    early, untouched = 0, True
    for killed in range(kills):
        process = run.start()
        if not _killed(process, time.monotonic() + chance.random() * span):
            _summary(process)
            raise BenchmarkError(
                f"{suffix}: expected {kills} kills before the end, managed {killed}: score more "
                "rows"
            )
        early += not run.has_committed()
        untouched &= run.out.read_bytes() == _FORMER
    process = run.start()
    delivering = suffix == ".parquet" and _killed(process, written=run.partial / "assembled")
    if delivering:
        untouched &= run.out.read_bytes() == _FORMER
        process = run.start()
    last = _summary(process)
    same, same_rejects = (a == b for a, b in zip(undisturbed.digests(), run.digests(), strict=True))
    return {
        "output": suffix,
        "rows": source[1],
        "undisturbed, s": seconds,
        "kills": kills + delivering,
        "before the first commit": early,
        "while delivering": int(delivering),
        "rows of earlier runs": int(last["resumed"]),
        "same output": same,
        "same rejects": same_rejects,
        "former output kept": untouched,
    }


def _summary(process: "subprocess.Popen[str]") -> dict[str, float]:
    """The summary of a run, once it has ended by itself."""
    output, errors = process.communicate()
    if process.returncode:
        raise BenchmarkError((errors.strip().splitlines() or ["gatewise score failed"])[-1])
    summary: dict[str, float] = json.loads(output)
    return summary


def _killed(
    process: "subprocess.Popen[str]", due: float = math.inf, written: Path | None = None
) -> bool:
    """Kills a run at a moment, or once it writes a file; False if it has ended before that."""
    before = _modified(written)
    while process.poll() is None:
        if time.monotonic() >= due or _modified(written) != before:
            process.kill()
            process.communicate()
            return True
        time.sleep(_BETWEEN)
    return False


def _modified(path: Path | None) -> int | None:
    return path.stat().st_mtime_ns if path and path.exists() else None


def with_bad_rows(source: Path, folder: Path, rows: int) -> list[Path]:
    """The first rows of a file, some of them bad, in files of 50,000 rows."""
    count = min(rows, sum(1 for _ in open_records(source)))
    files = []
    for start in range(0, count, _FILE_ROWS):
        file, size = folder / f"{start}.csv.gz", min(_FILE_ROWS, count - start)
        files.append(corpora.cut(source, file, size, start=start, bad=True))
    return files


@command
def main(
    model: Model,
    folder: CorpusFolder = DATA / "nsmc",
    rows: Annotated[
        int, typer.Option(min=1, help="Rows at least: the corpus, again and again.")
    ] = 1_800_000,
    kills: Annotated[int, typer.Option(min=1, help="How often a run is killed.")] = 20,
    suffixes: Annotated[
        list[str] | None, typer.Option("--suffix", help="An output's; by default three.")
    ] = None,
    seed: Annotated[int, typer.Option(help="Of the moments.")] = 1,
    as_json: AsJson = False,
) -> None:
    """Kill scoring again and again; exit with 1 if what it writes in the end differs."""
    with tempfile.TemporaryDirectory() as name:
        files = with_bad_rows(corpora.find(folder, "all", "test", "train"), Path(name), rows)
        source = Path(name, "input"), corpora.repeat(files, Path(name, "input"), rows)
        found = [
            kill_and_resume(model.resolve(), source, Path(name), suffix, kills, seed)
            for suffix in suffixes or SUFFIXES
        ]
    goals = ("same output", "same rejects", "former output kept")
    verdicts = {goal: all(bool(row[goal]) for row in found) for goal in goals}
    facts = {"corpus": folder.name, "seed": seed}
    report({"kills": found}, facts=facts, verdicts=verdicts, as_json=as_json)
    if not all(verdicts.values()):
        raise typer.Exit(1)


if __name__ == "__main__":
    typer.run(main)
