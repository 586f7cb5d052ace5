"""Requests a second and latency of the service, beside an echo and other servers of models.

Each server is alone on the machine while it is measured: in each round every one is started,
checked, loaded by wrk and stopped, each round beginning with another.
"""

import math
import os
import statistics
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer

from benchmarks.lib import corpora, process_usage, wrk
from benchmarks.lib.command import DATA, AsJson, BenchmarkError, Model, command
from benchmarks.lib.http_client import send
from benchmarks.lib.process_usage import Usage
from benchmarks.lib.report import MIB, Row, report
from benchmarks.lib.request_formats import Scores, agree, expected_scores
from benchmarks.lib.server_process import RunningServer
from benchmarks.lib.timing import rotated
from benchmarks.lib.wrk import Load
from benchmarks.serving import servers
from benchmarks.serving.servers import Server

SETTLED = 3
"""Answers that each connection must have had for its latency to be told: what still waits when
the time is up is in no percentile."""

LONGER = 4
"""Times the seconds that a load lasts at most, where a server is too slow for that."""

TOLERANCE = 1e-4
"""How far a peer's score may be from Gatewise's."""

_CHECKED = 50  # texts of each corpus for which every answer is compared
_PATIENCE = 60.0  # seconds for a server to finish the load before
_INTERVAL = 0.3  # seconds over which that is observed
_IDLE = 0.2  # processors that an idle server uses at most: Ray Serve is never idle
_WARM_UP = 1  # seconds of load before each that is measured


@dataclass(frozen=True)
class Round:
    """A server in one round."""

    ready_seconds: float
    idle: Usage  # before the load
    after: Usage
    loads: Mapping[tuple[str, int], tuple[Load, float]]  # with the seconds of processor time


def check(server: Server, port: int, texts: Sequence[str], expected: Sequence[Scores]) -> None:
    """Raises `BenchmarkError` if an answer is not 200, or not the model's."""
    for text, scores in zip(texts, expected, strict=True):
        status, answer = send(port, server.path, server.format.body(text))
        if status != 200:
            raise BenchmarkError(f"{server.name} answered {status} for {text[:60]!r}")
        if not server.classifies:
            continue
        if not agree(found := server.format.scores(answer), scores, TOLERANCE):
            raise BenchmarkError(
                f"{server.name}, {text[:60]!r}: expected {dict(scores)}, received {dict(found)}"
            )


def one_round(
    server: Server,
    texts: Mapping[str, Sequence[str]],
    expected: Mapping[str, Sequence[Scores]],
    connections: Sequence[int],
    seconds: int,
) -> Round:
    """Starts a server, checks it, and loads it with every corpus over so many connections."""
    with server.started() as running:
        for name, scores in expected.items():
            check(server, running.port, texts[name][: len(scores)], scores)
        idle = process_usage.usage(running.pid)
        loads = {}
        for name, corpus in texts.items():
            requests = [server.request(running.port, text) for text in corpus]
            for count in connections:
                loads[name, count] = _load(running, requests, count, seconds)
        return Round(running.ready_seconds, idle, process_usage.usage(running.pid), loads)


def _load(
    running: RunningServer, requests: Sequence[bytes], connections: int, seconds: int
) -> tuple[Load, float]:
    rate = wrk.drive(running.port, requests, connections, _WARM_UP).rate
    _wait_until_idle(running)
    # As long as it takes for every connection to be answered a few times, within reason.
    needed = math.ceil(2 * SETTLED * connections / max(1, rate))
    longer = min(max(seconds, needed), LONGER * seconds)
    before = process_usage.processor_seconds(running.pid)
    load = wrk.drive(running.port, requests, connections, longer)
    spent = process_usage.processor_seconds(running.pid) - before
    _wait_until_idle(running)
    return load, spent


def _wait_until_idle(running: RunningServer) -> None:
    """Waits until a server has finished the requests of clients that have disconnected."""
    end = time.monotonic() + _PATIENCE
    while time.monotonic() < end:
        before = process_usage.processor_seconds(running.pid)
        time.sleep(_INTERVAL)
        if process_usage.processor_seconds(running.pid) - before < _IDLE * _INTERVAL:
            return


def load_row(name: str, connections: int, loads: Sequence[tuple[Load, float]]) -> Row:
    """A server under one load: medians of the rounds, but the sum of requests that failed."""
    settled = all(load.answers >= SETTLED * connections for load, _ in loads)
    processor = [1000 * spent / max(1, load.answers) for load, spent in loads]
    return {
        "server": name,
        "connections": connections,
        "requests/s": statistics.median(load.rate for load, _ in loads),
        "p50, ms": statistics.median(load.p50_ms for load, _ in loads) if settled else None,
        "p99, ms": statistics.median(load.p99_ms for load, _ in loads) if settled else None,
        "processor, ms a request": statistics.median(processor),
        "status of 400 or more": sum(load.refused for load, _ in loads),
        "not answered": sum(load.failed for load, _ in loads),
    }


def usage_row(name: str, rounds: Sequence[Round]) -> Row:
    """How long a server takes to be ready, and what it uses."""
    idle, after = rounds[0].idle, rounds[-1].after
    return {
        "server": name,
        "ready, s": statistics.median(each.ready_seconds for each in rounds),
        "PSS, MiB": idle.pss / MIB,
        "PSS after load, MiB": after.pss / MIB,
        "RSS after load, MiB": after.rss / MIB,
        "processes": after.processes,
        "threads": after.threads,
    }


def choose(
    model: Path, peers: Path, only: Sequence[str] | None, replicas: Sequence[int] = ()
) -> list[Server]:
    """The servers that are asked for and can be measured; reports the peers that are missing."""
    found = [servers.constant(), servers.echo(), servers.gatewise(model)]
    for haproxy in (False, True):
        found += [servers.gatewise_on_ray(model, count, haproxy=haproxy) for count in replicas]
    for folder, make in servers.PEERS.items():
        python = peers / folder / "bin" / "python"
        server = make(model, python)
        if python.is_file():
            found.append(server)
        elif not only or server.name in only:
            typer.echo(f"{server.name} is left out: there is no {python}", err=True)
    return [server for server in found if not only or server.name in only]


@command
def main(  # noqa: PLR0913, PLR0917 — an argument for each option
    model: Model,
    data: Annotated[Path, typer.Option(help="Folder with a folder for each corpus.")] = DATA,
    names: Annotated[str, typer.Option("--corpora", help="Whose test texts.")] = "trec6,imdb",
    connections: Annotated[str, typer.Option(help="How many at a time.")] = "1,8,32,128,512",
    rounds: Annotated[int, typer.Option(min=1, help="Rounds.")] = 3,
    seconds: Annotated[int, typer.Option(min=1, help="Seconds of each load.")] = 5,
    limit: Annotated[int, typer.Option("--texts", min=1, help="Most texts of a corpus.")] = 1000,
    only: Annotated[list[str] | None, typer.Option(help="These servers only.")] = None,
    peers: Annotated[
        Path, typer.Option(help="Folder with an environment of each peer: bentoml, ray, mlserver.")
    ] = Path("../peers"),
    replicas: Annotated[
        str, typer.Option(help="Measure the service on Ray too, with so many replicas: 1,2.")
    ] = "",
    as_json: AsJson = False,
) -> None:
    """Ask the service and its peers for real texts, and print how fast they answer."""
    counts = [int(count) for count in connections.split(",")]
    facts = {"rounds": rounds, "seconds": seconds, "load before": os.getloadavg()[0]}
    wrk.require_wrk()
    texts = {name: corpora.test_texts(data / name, limit) for name in names.split(",")}
    expected = {name: expected_scores(model, rows[:_CHECKED]) for name, rows in texts.items()}
    numbers = [int(number) for number in replicas.split(",") if number]
    compared = choose(model, peers, only, numbers)
    measured: dict[str, list[Round]] = {server.name: [] for server in compared}
    for server in rotated(compared, rounds):
        typer.echo(server.name, err=True)
        measured[server.name].append(one_round(server, texts, expected, counts, seconds))
    tables = {
        corpus: [
            load_row(name, count, [each.loads[corpus, count] for each in of_server])
            for count in counts
            for name, of_server in measured.items()
        ]
        for corpus in texts
    }
    usage = [usage_row(name, of_server) for name, of_server in measured.items()]
    report({**tables, "usage": usage}, facts=facts, as_json=as_json)


if __name__ == "__main__":
    typer.run(main)
