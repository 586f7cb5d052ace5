"""Load by wrk, an HTTP load generator in C, each of whose connections waits for its answer.

wrk adds to its percentiles what a client at a steady pace would have waited behind each slow answer
(its correction of coordinated omission), so tails come out longer than they were. A connection that
is closed without an answer is no error to it, so `wrk.lua` counts requests as they are sent.
"""

import json
import shutil
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from benchmarks.lib.command import BenchmarkError

_SCRIPT = Path(__file__).parent / "scripts" / "wrk.lua"
_TIMEOUT = "30s"  # what takes longer counts as failed, and in no percentile


@dataclass(frozen=True)
class Load:
    """What came of some seconds of load."""

    rate: float  # answers a second
    p50_ms: float  # from a request to its answer
    p99_ms: float
    answers: int
    refused: int  # answers of status 400 and more
    failed: int  # requests that were not answered within 30 s


def require_wrk() -> None:
    """Raises `BenchmarkError` if wrk is missing."""
    if shutil.which("wrk") is None:
        raise BenchmarkError("wrk is missing: apt-get install wrk")


def drive(port: int, requests: Sequence[bytes], connections: int, seconds: int) -> Load:
    """Sends complete requests in turn for some seconds, over so many connections."""
    with TemporaryDirectory() as scratch:
        file = Path(scratch) / "requests"
        file.write_bytes(b"".join(b"%d\n%b" % (len(each), each) for each in requests))
        command = ["wrk", "-t1", f"-c{connections}", f"-d{seconds}s", "--timeout", _TIMEOUT]
        command += ["-s", str(_SCRIPT), f"http://127.0.0.1:{port}/", "--", str(file)]
        ended = subprocess.run(command, capture_output=True, text=True, check=False)
    lines = ended.stdout.strip().splitlines()
    if ended.returncode or not lines or not lines[-1].startswith("{"):
        raise BenchmarkError(f"wrk: {ended.stderr.strip() or ended.stdout.strip()}")
    found = json.loads(lines[-1])
    # wrk makes one request to test the script, and each connection may be waiting at the end.
    unanswered = max(0, found["sent"] - 1 - found["answers"] - connections)
    errors = found["connect_errors"] + found["read_errors"] + found["write_errors"]
    return Load(
        rate=found["answers"] / found["seconds"],
        p50_ms=found["p50_us"] / 1000,
        p99_ms=found["p99_us"] / 1000,
        answers=found["answers"],
        refused=found["refused"],
        failed=unanswered + errors + found["late"],
    )
