"""Scoring that is killed at random moments and gone on with, until it ends with the same bytes.

Runs `gatewise score` once undisturbed and once with kills, for every output format. Owns the
moments and the comparison; what is scored is a real corpus, some rows of which are spoilt.
"""

import hashlib
import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated

import scoring_inputs
import typer
from gatewise.vocab.corpus.record_stream import open_records
from gatewise.vocab.errors import GatewiseError
from process import FOLDER, FailedError

SUFFIXES = (".csv", ".jsonl.gz", ".parquet")
HEAD = (
    "| output | rows | undisturbed, s | kills | before the first commit | between commits | "
    "delivering | rows of earlier runs | output | rejects |\n"
    "|---|--:|--:|--:|--:|--:|--:|--:|---|---|"
)
_FORMER = b"former"
_FILE_ROWS = 50_000
_LOOK = 0.002  # seconds between two looks at whether a file is there


@dataclass(frozen=True)
class Killed:
    """What came of killing a run again and again.

    Attributes:
        suffix: Of the output.
        rows: Rows of the input.
        seconds: Of the undisturbed run, from its start to its end.
        kills: How often the other one was killed.
        early: How many of these came before anything was committed.
        delivering: How many came while the output was put together.
        resumed: Rows that the last run found done.
        same: Whether the output is, byte for byte, that of the undisturbed run.
        same_rejects: The same of the rejected rows.
        untouched: Whether the former output stood there after every kill.
    """

    suffix: str
    rows: int
    seconds: float
    kills: int
    early: int
    delivering: int
    resumed: int
    same: bool
    same_rejects: bool
    untouched: bool

    @property
    def good(self) -> bool:
        """Whether nothing was lost."""
        return self.same and self.same_rejects and self.untouched


class _Run:
    """`gatewise score --resume` into a folder."""

    def __init__(self, model: Path, source: Path, folder: Path, suffix: str) -> None:
        self.out = folder / f"out{suffix}"
        self.rejects = folder / "rejects.jsonl"
        self.partial = folder / f".out{suffix}.partial"
        self._folder = folder
        self._command = [sys.executable, "-m", "gatewise", "score", *map(str, (model, source))]
        self._command += ["--out", str(self.out), "--rejects", str(self.rejects)]
        self._command += ["--resume", "--json"]

    def start(self) -> "subprocess.Popen[str]":
        """Begins, or goes on."""
        path = [str(FOLDER.parent), *filter(None, [os.environ.get("PYTHONPATH")])]
        return subprocess.Popen(
            self._command,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env={**os.environ, "PYTHONPATH": os.pathsep.join(path)},
        )

    def committed(self) -> bool:
        """Whether anything is in the journal but its first line."""
        journal = self.partial / "journal"
        return journal.exists() and journal.read_bytes().count(b"\n") > 1

    def digests(self) -> tuple[str, str]:
        """Of the output, and of the rejected rows."""
        output, rejects = (
            hashlib.sha256(path.read_bytes()).hexdigest() for path in (self.out, self.rejects)
        )
        return output, rejects


def kill_and_resume(
    model: Path, given: scoring_inputs.Repeated, scratch: Path, suffix: str, kills: int, seed: int
) -> Killed:
    """Scores undisturbed, then with kills at random moments.

    Args:
        model: A model folder.
        given: The input.
        scratch: Where outputs are put.
        suffix: Of the output.
        kills: How often.
        seed: Of the moments.

    Raises:
        FailedError: If a run fails by itself, or ends before it was killed so often.
    """
    whole, other = scratch / f"whole{suffix}", scratch / f"killed{suffix}"
    whole.mkdir()
    other.mkdir()
    undisturbed = _Run(model, given.folder, whole, suffix)
    began = time.perf_counter()
    first = _ended(undisturbed.start())
    seconds = time.perf_counter() - began
    startup = max(0.0, seconds - first["seconds"])

    run, chance = _Run(model, given.folder, other, suffix), random.Random(f"{seed}{suffix}")
    run.out.write_bytes(_FORMER)
    # A run that is killed comes half as far on the mean, less the second that is not noted yet, so
    # that there is work left after all kills; and no single run may come to the end.
    span = startup + 1 + first["seconds"] * min(1.2 / kills, 0.5)
    counted = early = delivering = 0
    untouched, last = True, None
    while last is None:
        process = run.start()
        if counted < kills:
            last = _killed_after(process, chance.random() * span)
            if last is not None:
                raise FailedError(
                    f"{suffix}: expected {kills} kills before the end, managed {counted}: score "
                    "more rows"
                )
            counted += 1
        elif suffix == ".parquet" and not delivering:
            last = _killed_once(process, run.partial / "assembled")
            delivering += last is None
        else:
            last = _ended(process)
            break
        early += not run.committed()
        untouched &= last is not None or run.out.read_bytes() == _FORMER
    same, same_rejects = (a == b for a, b in zip(undisturbed.digests(), run.digests(), strict=True))
    return Killed(
        suffix=suffix,
        rows=given.rows,
        seconds=seconds,
        kills=counted + delivering,
        early=early,
        delivering=delivering,
        resumed=int(last["resumed"]),
        same=same,
        same_rejects=same_rejects,
        untouched=untouched,
    )


def _ended(process: "subprocess.Popen[str]") -> dict[str, float]:
    """The summary of a run, once it has ended by itself."""
    told, said = process.communicate()
    if process.returncode:
        raise FailedError(said.strip().splitlines()[-1] if said.strip() else "no word of why")
    summary: dict[str, float] = json.loads(told)
    return summary


def _killed_after(process: "subprocess.Popen[str]", seconds: float) -> dict[str, float] | None:
    """Kills a run after a time; its summary if it has ended before that."""
    try:
        process.wait(seconds)
    except subprocess.TimeoutExpired:
        _kill(process)
        return None
    return _ended(process)


def _killed_once(process: "subprocess.Popen[str]", path: Path) -> dict[str, float] | None:
    """Kills a run once a file is there."""
    before = _stamp(path)
    while process.poll() is None:
        if _stamp(path) != before:
            _kill(process)
            return None
        time.sleep(_LOOK)
    return _ended(process)


def _stamp(path: Path) -> int | None:
    return path.stat().st_mtime_ns if path.exists() else None


def _kill(process: "subprocess.Popen[str]") -> None:
    process.send_signal(signal.SIGKILL)
    process.communicate()


def in_markdown(killed: Killed) -> str:
    """A row of the table."""
    between = killed.kills - killed.early - killed.delivering
    output, rejects = (
        "the same bytes" if same else "DIFFERENT" for same in (killed.same, killed.same_rejects)
    )
    return (
        f"| {killed.suffix} | {killed.rows:,} | {killed.seconds:.1f} | {killed.kills} | "
        f"{killed.early} | {between} | {killed.delivering} | {killed.resumed:,} | {output} | "
        f"{rejects} |"
    )


def main(
    model: Annotated[Path, typer.Argument(help="A model folder.")],
    folder: Annotated[Path, typer.Option("--set-folder", help="Whose rows.")] = Path(
        "../shared/data/nsmc"
    ),
    rows: Annotated[
        int, typer.Option(min=1, help="Rows at least: the set, again and again.")
    ] = 1_800_000,
    kills: Annotated[int, typer.Option(min=1, help="How often a run is killed.")] = 20,
    suffixes: Annotated[
        list[str] | None, typer.Option("--suffix", help="An output's; by default three.")
    ] = None,
    seed: Annotated[int, typer.Option(help="Of the moments.")] = 1,
    scratch: Annotated[
        Path | None, typer.Option(help="Where outputs and input are put meanwhile.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Write JSON Lines.")] = False,
) -> None:
    """Kill scoring again and again, and compare what it writes in the end."""
    found: list[Killed] = []
    try:
        with tempfile.TemporaryDirectory(dir=scratch) as name:
            spoilt = _spoilt(scoring_inputs.corpus_of(folder), Path(name), rows)
            given = scoring_inputs.repeated(spoilt, Path(name, "input"), rows)
            for suffix in suffixes or SUFFIXES:
                where = Path(name)
                found.append(kill_and_resume(model.resolve(), given, where, suffix, kills, seed))
    except (GatewiseError, FailedError, OSError) as error:
        typer.echo(f"Error: {error}", err=True)
        raise typer.Exit(1) from None
    _tell(found, as_json=as_json)
    if not all(killed.good for killed in found):
        raise typer.Exit(1)


def _spoilt(source: Path, folder: Path, most: int) -> list[Path]:
    """The rows of a set, some of them spoilt, in files of a size.

    A run that goes on reads again what it has done of its file, and small files keep that short.
    """
    every = min(most, sum(1 for _ in open_records(source)))
    return [
        scoring_inputs.cut(
            source,
            folder / f"{start}.csv.gz",
            min(_FILE_ROWS, every - start),
            start=start,
            bad=True,
        )
        for start in range(0, every, _FILE_ROWS)
    ]


def _tell(found: Sequence[Killed], *, as_json: bool) -> None:
    if as_json:
        for killed in found:
            typer.echo(json.dumps(asdict(killed)))
        return
    typer.echo(HEAD)
    for killed in found:
        typer.echo(in_markdown(killed))
    untouched = all(killed.untouched for killed in found)
    typer.echo(f"\nThe former output was {'' if untouched else 'NOT '}there after every kill.")


if __name__ == "__main__":
    typer.run(main)
