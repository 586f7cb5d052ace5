"""What was measured of the servers, as Markdown.

Knows rows; not how they were measured.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import servers
from process_tree import Held
from wrk import Load

_MIB = 2**20

Place = tuple[str, int]
"""A set and a number of connections."""


@dataclass(frozen=True)
class Served:
    """What a server made of some seconds of load.

    Attributes:
        load: What came of it.
        processor_ms: Milliseconds of the processor that the server had for each answer, all its
            processes and threads added up: other work on the machine hardly moves it.
        settled: Whether each connection was answered a few times, in every round.
    """

    load: Load
    processor_ms: float
    settled: bool


@dataclass(frozen=True)
class Round:
    """What was measured of one server, from its start to its end.

    Attributes:
        ready_seconds: From the start of its process to the first 200 of its readiness.
        idle: What it held when it had answered the texts that are checked.
        loaded: What it held after the last load.
        loads: What came of each load.
    """

    ready_seconds: float
    idle: Held
    loaded: Held
    loads: Mapping[Place, Served]


@dataclass(frozen=True)
class Row:
    """A server over all rounds; medians, but for what was refused and what failed.

    Attributes:
        name: The server.
        ready_seconds: From the start of its process to the first 200 of its readiness.
        idle: What it held before the load, in the first round.
        loaded: What it held after it, in the last round.
        loads: What came of each load.
    """

    name: str
    ready_seconds: float
    idle: Held
    loaded: Held
    loads: Mapping[Place, Served]


def rates(rows: Sequence[Row], name: str, connections: Sequence[int]) -> str:
    """Requests a second of a set, in Markdown: a column for each number of connections."""
    lines = _head(f"{name}, requests/s", connections)
    for row in rows:
        cells = [f"{row.loads[name, count].load.rate:,.0f}" for count in connections]
        lines.append(_line([row.name, *cells]))
    return "\n".join(lines)


def latencies(rows: Sequence[Row], name: str, connections: Sequence[int]) -> str:
    """The median and the 99th percentile of a set, in Markdown."""
    lines = _head(f"{name}, p50 / p99, ms", connections)
    for row in rows:
        cells = [_latency(row.loads[name, count]) for count in connections]
        lines.append(_line([row.name, *cells]))
    return "\n".join(lines)


def costs(rows: Sequence[Row], name: str, connections: Sequence[int]) -> str:
    """The processor's time for a request of a set, in Markdown."""
    lines = _head(f"{name}, processor, ms a request", connections)
    for row in rows:
        cells = [f"{row.loads[name, count].processor_ms:.3f}" for count in connections]
        lines.append(_line([row.name, *cells]))
    return "\n".join(lines)


def holdings(rows: Sequence[Row]) -> str:
    """How long each server takes to be ready and what it holds, in Markdown."""
    heads = ["what", "ready, s", "PSS, MiB", "PSS after load, MiB", "RSS after load, MiB"]
    lines = [_line([*heads, "processes", "threads"]), _line(["---", *["--:"] * 6])]
    for row in rows:
        memory = [row.idle.pss / _MIB, row.loaded.pss / _MIB, row.loaded.rss / _MIB]
        cells = [f"{row.ready_seconds:.2f}", *(f"{size:,.0f}" for size in memory)]
        lines.append(_line([row.name, *cells, str(row.loaded.processes), str(row.loaded.threads)]))
    return "\n".join(lines)


def told(rows: Sequence[Row], name: str, connections: int) -> str:
    """Gatewise beside each other server, at one number of connections."""
    by_name = {
        row.name: row.loads[name, connections] for row in rows if row.name != servers.CONSTANT
    }
    ours = by_name.pop(servers.GATEWISE, None)
    if ours is None:
        return ""
    return "\n".join(
        f"{name}, {connections} connections: {ours.load.rate / served.load.rate:.2f} times the "
        f"rate of {peer}; p50 / p99 {_latency(ours)} ms beside {_latency(served)}."
        for peer, served in by_name.items()
        if served.load.rate
    )


def trouble(rows: Sequence[Row]) -> str:
    """Every load in which something was not answered, or with a status of 400 and more."""
    loads = [(row, place, row.loads[place].load) for row in rows for place in row.loads]
    lines = [
        f"{row.name}, {name}, {count} connections: of {load.answers:,} answers {load.refused:,} "
        f"had a status of 400 or more; {load.failed:,} requests were not answered."
        for row, (name, count), load in loads
        if load.refused or load.failed
    ]
    return "\n".join(lines or ["Every request was answered, none with a status of 400 or more."])


def _head(what: str, connections: Sequence[int]) -> list[str]:
    return [_line([what, *map(str, connections)]), _line(["---", *["--:"] * len(connections)])]


def _latency(served: Served) -> str:
    load = served.load
    return f"{_digits(load.p50_ms)} / {_digits(load.p99_ms)}" if served.settled else "–"


def _digits(milliseconds: float) -> str:
    return f"{milliseconds:.2f}" if milliseconds < 10 else f"{milliseconds:,.0f}"


def _line(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"
