"""What texts of megabytes cost: processor time and peak memory of each command.

The same corpus twice: whole, and each text cut by hand to the tokens that a model reads. What both
cost beyond that is the reading of the file.
"""

import csv
import io
import json
import os
import subprocess
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

import numpy as np
import psutil
import typer

from benchmarks.lib.command import AsJson, BenchmarkError, TrainingSettings, command
from benchmarks.lib.http_client import send
from benchmarks.lib.process_usage import processor_seconds, tree
from benchmarks.lib.report import MIB, Row, report
from benchmarks.lib.server_process import running
from benchmarks.lib.subprocesses import environment, gatewise_command

Script = Literal["latin", "korean"]

WORDS = 50_000
_HANGUL = 0xAC00  # the first of 11,172 syllables
_READ = 512  # tokens that the default model reads of a text


@dataclass(frozen=True)
class Usage:
    """What a process used from its start to its end."""

    processor: float  # seconds
    peak: int  # bytes


def texts(count: int, characters: int, script: Script) -> Iterator[tuple[str, str]]:
    """Texts of frequent and rare words, each with its label, which every ninth word tells.

    Made of few words at a time: the peak of a process counts what its parent held when it started.
    """
    random = np.random.default_rng(1)
    names = np.array([_name(number, script) for number in range(WORDS)])
    for number in range(count):
        label = ("first", "second")[number % 2]
        text = io.StringIO()
        while text.tell() < characters:
            words = names[np.minimum(random.zipf(1.3, 9_000) - 1, WORDS - 1)]
            words[::9] = names[-1 - number % 2]
            text.write(" ".join(words) + " ")
        yield text.getvalue()[:characters], label


def _name(number: int, script: Script) -> str:
    if script == "latin":
        return f"word{number}"
    return chr(_HANGUL + number // 11_172) + chr(_HANGUL + number % 11_172)


def write(folder: Path, count: int, characters: int, script: Script) -> dict[str, Path]:
    """The two corpora, as CSV."""
    paths = {name: folder / f"{name}.csv" for name in ("whole", "cut by hand")}
    with (
        paths["whole"].open("w", encoding="utf-8", newline="") as whole_file,
        paths["cut by hand"].open("w", encoding="utf-8", newline="") as cut_file,
    ):
        whole, cut = csv.writer(whole_file), csv.writer(cut_file)
        whole.writerow(["text", "label"])
        cut.writerow(["text", "label"])
        for text, label in texts(count, characters, script):
            whole.writerow([text, label])
            cut.writerow([" ".join(text[: 64 * _READ].split()[:_READ]), label])
    return paths


def usage_of(arguments: Sequence[str]) -> Usage:
    """Runs a command to its end.

    Raises:
        BenchmarkError: If it fails.
    """
    process = subprocess.Popen(
        arguments, env=environment(), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    _, status, used = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise BenchmarkError(f"{' '.join(arguments)} ended with {process.returncode}")
    return Usage(used.ru_utime + used.ru_stime, used.ru_maxrss * 1024)


def usage_of_service(model: Path, corpus: Path) -> Usage:
    """Sends each text to the service, one request each.

    Raises:
        BenchmarkError: If a request fails.
    """
    csv.field_size_limit(2**31 - 1)
    limits = environment(GATEWISE_MAX_BODY_BYTES=str(64 * MIB))
    with (
        running(
            lambda port: gatewise_command("serve", model, "--port", port), "/health/ready", limits
        ) as server,
        corpus.open(encoding="utf-8", newline="") as file,
    ):
        started = processor_seconds(server.pid)
        for row in csv.DictReader(file):
            body = json.dumps({"inputs": row["text"]}, ensure_ascii=False).encode()
            status, answer = send(server.port, "/predict", body)
            if status != 200:
                raise BenchmarkError(f"/predict answered {status}: {answer[:200]!r}")
        time.sleep(0.1)
        peak = max(_peak(process) for process in tree(server.pid))
        return Usage(processor_seconds(server.pid) - started, peak)


def _peak(process: psutil.Process) -> int:
    lines = Path(f"/proc/{process.pid}/status").read_text(encoding="utf-8").splitlines()
    return 1024 * int(next(line for line in lines if line.startswith("VmHWM:")).split()[1])


@command
def main(
    count: Annotated[int, typer.Option("--texts", help="Texts of the corpus.")] = 24,
    characters: Annotated[int, typer.Option(help="Characters of each.")] = 5_000_000,
    script: Annotated[Script, typer.Option(help="The script of the words.")] = "latin",
    settings: TrainingSettings = None,
    as_json: AsJson = False,
) -> None:
    """Print what each command takes for long texts, and for their beginnings."""
    with tempfile.TemporaryDirectory(dir=Path.cwd()) as scratch:
        folder = Path(scratch)
        assignments = [part for each in settings or () for part in ("--set", each)]
        rows: list[Row] = []
        for name, corpus in write(folder, count, characters, script).items():
            model, scores = folder / f"{corpus.stem} model", folder / f"{corpus.stem} scores.csv"
            checked = usage_of(gatewise_command("check", corpus, *assignments))
            trained = usage_of(gatewise_command("train", corpus, "--out", model, *assignments))
            scored = usage_of(gatewise_command("score", model, corpus, "--out", scores))
            served = usage_of_service(model, corpus)
            used = {"check": checked, "train": trained, "score": scored, "/predict": served}
            rows += [
                {
                    "command": each,
                    "texts": name,
                    "processor, s": usage.processor,
                    "peak, MiB": usage.peak / MIB,
                }
                for each, usage in used.items()
            ]
    facts = {"texts": count, "characters of each": characters, "script": script}
    report({"usage": rows}, facts=facts, as_json=as_json)


if __name__ == "__main__":
    typer.run(main)
