"""The service at ten times the load that it can bear, and afterwards.

Measures the capacity with wrk, then sends ten times as many requests without waiting for answers;
before and after, a fifth of the capacity.
"""

import itertools
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated

import numpy as np
import typer

from benchmarks.lib import corpora, process_usage, request_formats, wrk
from benchmarks.lib.command import DATA, AsJson, CorpusFolder, Model, ServiceSettings, command
from benchmarks.lib.report import MIB, Row, report
from benchmarks.lib.server_process import RunningServer
from benchmarks.serving import open_loop, servers
from benchmarks.serving.open_loop import Outcomes, Plan

ACCEPTED = (200, 504)
REFUSED = (429, 503)

_NAMES = {
    open_loop.BROKEN: "broken",
    open_loop.NO_ANSWER: "no answer",
    open_loop.NOT_SENT: "not sent",
}
_CALM = 0.2  # share of the capacity that is asked for before and after
_CONNECTIONS = 32  # with which the capacity is measured
_SETTLE = 2.0  # seconds between the overload and the calm after it

# What is expected, see `verdicts`.
_REFUSED_MS = 50.0
_DEADLINES = 1.5
_AS_BEFORE = 1.5  # times the latency of before
_FLAT = 1.05  # times the memory of the first half


@dataclass(frozen=True)
class Phase:
    """What came of some seconds at one rate; `memory` is the service's, in bytes (PSS)."""

    name: str
    seconds: float
    outcomes: Outcomes
    memory: Sequence[int]

    @property
    def statuses(self) -> dict[str, int]:
        """How many requests there were of each status, or of each name in its place."""
        counts = sorted(Counter(self.outcomes.status.tolist()).items())
        return {_NAMES.get(status, str(status)): count for status, count in counts}

    def accepted_ms(self, percentile: float) -> float:
        """A percentile of the milliseconds to the answer of accepted requests."""
        return _percentile_ms(self.outcomes.seconds_of(*ACCEPTED), percentile)

    @property
    def refused_ms(self) -> float:
        """The 99th percentile of the milliseconds to the answer of refused requests."""
        return _percentile_ms(self.outcomes.seconds_of(*REFUSED), 99)

    @property
    def growth(self) -> float:
        """The most memory in the second half, over the most in the first."""
        half = max(1, len(self.memory) // 2)
        return max(self.memory[half:] or self.memory) / max(self.memory[:half])

    def row(self) -> Row:
        """The phase in the table."""
        statuses = self.statuses
        sent = len(self.outcomes.status) - statuses.get("not sent", 0)
        return {
            "phase": self.name,
            "sent/s": sent / self.seconds,
            "200/s": statuses.get("200", 0) / self.seconds,
            "statuses": ", ".join(f"{status}: {count:,}" for status, count in statuses.items()),
            "accepted p50, ms": self.accepted_ms(50),
            "accepted p99, ms": self.accepted_ms(99),
            "refused p99, ms": self.refused_ms if "429" in statuses or "503" in statuses else None,
            "sender late p99, ms": _percentile_ms(self.outcomes.late, 99),
            "least PSS, MiB": min(self.memory) / MIB,
            "most PSS, MiB": max(self.memory) / MIB,
        }


def _percentile_ms(seconds: np.ndarray, percentile: float) -> float:
    return 1000 * float(np.percentile(seconds, percentile)) if len(seconds) else float("inf")


def verdicts(before: Phase, over: Phase, after: Phase, deadline: float) -> dict[str, bool]:
    """What was to be shown, and whether it was."""
    allowed = {*map(str, (*ACCEPTED, *REFUSED)), "not sent"}
    return {
        "every request was sent": "not sent" not in over.statuses,
        f"accepted within {_DEADLINES} deadlines (p99)": over.accepted_ms(99)
        <= 1000 * _DEADLINES * deadline,
        f"refused within {_REFUSED_MS:.0f} ms (p99)": over.refused_ms <= _REFUSED_MS,
        "what was sent was answered by 200, 429, 503 or 504": not set(over.statuses) - allowed,
        "nothing refused before and after": set(before.statuses) == set(after.statuses) == {"200"},
        "memory flat in the second half of the overload": over.growth <= _FLAT,
        "latency afterwards as before": all(
            after.accepted_ms(each) <= max(1.0, _AS_BEFORE * before.accepted_ms(each))
            for each in (50, 99)
        ),
    }


def measure(name: str, server: RunningServer, plan: Plan) -> Phase:
    """Sends as planned, and samples the service's memory meanwhile."""
    with process_usage.sampled(server.pid) as samples:
        outcomes = open_loop.drive(plan)
    return Phase(name, plan.seconds, outcomes, [sample.pss for sample in samples])


def requests_of(port: int, texts: Sequence[str], each: int) -> list[bytes]:
    """Complete requests for so many texts each."""
    endless = itertools.cycle(texts)
    groups = [list(itertools.islice(endless, each)) for _ in range(max(1, len(texts) // each))]
    bodies = (
        request_formats.hugging_face_body(group if each > 1 else group[0]) for group in groups
    )
    return [request_formats.post(port, "/predict", body) for body in bodies]


@command
def main(  # noqa: PLR0913, PLR0917 — an argument for each option
    model: Model,
    corpus: CorpusFolder = DATA / "trec6",
    seconds: Annotated[float, typer.Option(min=1, help="Seconds of overload.")] = 60,
    calm: Annotated[float, typer.Option(min=1, help="Seconds before and after.")] = 10,
    times: Annotated[float, typer.Option(min=1, help="Times the capacity.")] = 10,
    each: Annotated[int, typer.Option("--texts", min=1, help="Texts of a request.")] = 1,
    deadline: Annotated[float, typer.Option(help="The service's deadline, in seconds.")] = 1,
    settings: ServiceSettings = None,
    connections: Annotated[int, typer.Option(min=1, help="Most that are open.")] = 2000,
    capacity: Annotated[float | None, typer.Option(help="Requests/s; measured if absent.")] = None,
    as_json: AsJson = False,
) -> None:
    """Ask for more than the service can do, and print what it does."""
    variables = servers.service_variables([f"DEADLINE_SECONDS={deadline:g}", *(settings or [])])
    texts = corpora.test_texts(corpus, 2000)
    with servers.gatewise(model, variables).started() as server:
        requests = requests_of(server.port, texts, each)
        if capacity is None:
            wrk.require_wrk()
            wrk.drive(server.port, requests, _CONNECTIONS, 1)
            capacity = wrk.drive(server.port, requests, _CONNECTIONS, 5).rate
        quiet = Plan(server.port, requests, _CALM * capacity, calm)
        loud = Plan(server.port, requests, times * capacity, seconds, connections)
        before = measure("before", server, quiet)
        over = measure(f"{times:g} times", server, loud)
        time.sleep(_SETTLE)
        after = measure("after", server, quiet)
    report(
        {"phases": [phase.row() for phase in (before, over, after)]},
        facts={"capacity, requests/s": capacity, "texts a request": each, "deadline, s": deadline},
        verdicts=verdicts(before, over, after, deadline),
        as_json=as_json,
    )


if __name__ == "__main__":
    typer.run(main)
