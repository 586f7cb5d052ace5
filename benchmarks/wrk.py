"""Load by wrk, an HTTP load generator in C that one core is more than enough for.

Owns wrk's command line and what is read from it. Knows no server.

wrk's connections each ask as soon as they are answered. Two things of it are to be known: before
it tells percentiles it adds what a client at a steady pace would have waited for behind each slow
answer (its "correction" of coordinated omission), so tails come out longer than they were; and a
connection that is closed without an answer is opened again and counts as no error, which is why
requests are counted here as they are sent.
"""

import json
import shutil
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from process import FOLDER, FailedError

_SCRIPT = FOLDER / "serving" / "rotate.lua"
_TIMEOUT = "30s"  # what takes longer counts as late, and in no percentile


@dataclass(frozen=True)
class Load:
    """What came of some seconds of load.

    Attributes:
        rate: Answers a second, those that refuse included.
        p50_ms: Median milliseconds from a request to its answer.
        p99_ms: The same for the slowest of a hundred.
        answers: Answers.
        refused: Answers of status 400 and more.
        failed: Requests that were never answered, or too late.
    """

    rate: float
    p50_ms: float
    p99_ms: float
    answers: int
    refused: int
    failed: int


def check() -> None:
    """Looks for wrk.

    Raises:
        FailedError: If it is not there.
    """
    if shutil.which("wrk") is None:
        raise FailedError("wrk is missing: apt-get install wrk")


def drive(port: int, requests: Sequence[bytes], connections: int, seconds: int) -> Load:
    """Asks for some seconds, over so many connections, one request after another.

    Args:
        port: Where the server listens on this machine.
        requests: Whole requests, which are asked in turn.
        connections: How many there are at a time.
        seconds: How long, in whole seconds.

    Raises:
        FailedError: If wrk fails.
    """
    with TemporaryDirectory() as scratch:
        file = Path(scratch) / "requests"
        file.write_bytes(b"".join(b"%d\n%b" % (len(each), each) for each in requests))
        command = ["wrk", "-t1", f"-c{connections}", f"-d{seconds}s", "--timeout", _TIMEOUT]
        command += ["-s", str(_SCRIPT), f"http://127.0.0.1:{port}/", "--", str(file)]
        ended = subprocess.run(command, capture_output=True, text=True, check=False)
    lines = ended.stdout.strip().splitlines()
    if ended.returncode or not lines or not lines[-1].startswith("{"):
        raise FailedError(f"wrk: {ended.stderr.strip() or ended.stdout.strip()}")
    told = json.loads(lines[-1])
    # One is made to see whether the script works, and each connection is within one at the end.
    unanswered = max(0, told["asked"] - 1 - told["answers"] - connections)
    broken = told["connect_errors"] + told["read_errors"] + told["write_errors"]
    return Load(
        rate=told["answers"] / told["seconds"],
        p50_ms=told["p50_us"] / 1000,
        p99_ms=told["p99_us"] / 1000,
        answers=told["answers"],
        refused=told["refused"],
        failed=unanswered + broken + told["late"],
    )
