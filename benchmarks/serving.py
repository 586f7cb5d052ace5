"""How many requests a second the service answers, how fast, and beside which others.

Each server is alone on the machine while it is measured: started, checked, asked, stopped, in
turns with the others. Owns the rounds and the tables; the servers are in `servers`, the load in
`wrk`.
"""

import json
import os
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated, Any

import bodies
import process_tree
import servers
import typer
import wrk
from asked import ask
from process import FailedError
from process_tree import Held
from server_process import Running
from servers import Server
from wrk import Load

import gatewise
from vocab.errors import GatewiseError

CONNECTIONS = (1, 8, 32, 128, 512)
SETS = ("trec6", "imdb")
TOLERANCE = 1e-4
"""How far a peer's score may be from Gatewise's."""

_CHECKED = 50  # texts of each set that every answer is compared for
_WARM_UP = 1  # seconds of load before each that is measured
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
    """

    load: Load
    processor_ms: float


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


def expected(model: Path, texts: Sequence[str]) -> list[bodies.Scores]:
    """What the model says of texts, asked without any server."""
    classifier = gatewise.load(model)
    rows = classifier.predict_proba(list(texts)).tolist()
    return [dict(zip(classifier.classes_, row, strict=True)) for row in rows]


def check(server: Server, port: int, texts: Sequence[str], truth: Sequence[bodies.Scores]) -> None:
    """Asks for texts one by one.

    Raises:
        FailedError: If an answer is not 200, or not what the model says.
    """
    for text, scores in zip(texts, truth, strict=True):
        status, answer = ask(port, server.path, server.shape.body(text))
        if status != 200:
            raise FailedError(f"{server.name} answered {status} for {text[:60]!r}")
        if not server.classifies:
            continue
        said = server.shape.scores(answer)
        apart = max((abs(said.get(label, 2) - scores[label]) for label in scores), default=2)
        best = max(said, key=said.__getitem__)
        if apart > TOLERANCE or best != max(scores, key=scores.__getitem__):
            raise FailedError(
                f"{server.name} said {dict(said)} of {text[:60]!r}, expected {dict(scores)}"
            )


def one_round(
    server: Server,
    sets: Mapping[str, Sequence[str]],
    truth: Mapping[str, Sequence[bodies.Scores]],
    connections: Sequence[int],
    seconds: int,
) -> Round:
    """Starts a server, checks it, and asks it for every set over so many connections."""
    with server.started() as running:
        for name, scores in truth.items():
            check(server, running.port, sets[name][: len(scores)], scores)
        idle = process_tree.held(running.pid)
        loads = {
            (name, count): _load(server, running, texts, count, seconds)
            for name, texts in sets.items()
            for count in connections
        }
        loaded = process_tree.held(running.pid)
        return Round(running.ready_seconds, idle, loaded, loads)


def _load(
    server: Server, running: Running, texts: Sequence[str], connections: int, seconds: int
) -> Served:
    requests = [server.request(running.port, text) for text in texts]
    wrk.drive(running.port, requests, connections, _WARM_UP)
    before = process_tree.processor_seconds(running.pid)
    load = wrk.drive(running.port, requests, connections, seconds)
    spent = process_tree.processor_seconds(running.pid) - before
    return Served(load, 1000 * spent / max(1, load.answers))


def summed_up(name: str, rounds: Sequence[Round]) -> Row:
    """The rounds of one server."""
    return Row(
        name,
        ready_seconds=statistics.median(each.ready_seconds for each in rounds),
        idle=rounds[0].idle,
        loaded=rounds[-1].loaded,
        loads={place: _median([each.loads[place] for each in rounds]) for place in rounds[0].loads},
    )


def _median(served: Sequence[Served]) -> Served:
    loads = [each.load for each in served]
    load = Load(
        rate=statistics.median(load.rate for load in loads),
        p50_ms=statistics.median(load.p50_ms for load in loads),
        p99_ms=statistics.median(load.p99_ms for load in loads),
        answers=sum(load.answers for load in loads),
        refused=sum(load.refused for load in loads),
        failed=sum(load.failed for load in loads),
    )
    return Served(load, statistics.median(each.processor_ms for each in served))


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
        found = [row.loads[name, count].load for count in connections]
        cells = [f"{_digits(load.p50_ms)} / {_digits(load.p99_ms)}" for load in found]
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
        row.name: row.loads[name, connections].load for row in rows if row.name != servers.CONSTANT
    }
    ours = by_name.pop(servers.GATEWISE, None)
    if ours is None:
        return ""
    return "\n".join(
        f"{name}, {connections} connections: {ours.rate / load.rate:.2f} times the rate of "
        f"{peer}; p99 {_digits(ours.p99_ms)} ms beside {_digits(load.p99_ms)}."
        for peer, load in by_name.items()
        if load.rate
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


def _digits(milliseconds: float) -> str:
    return f"{milliseconds:.2f}" if milliseconds < 10 else f"{milliseconds:,.0f}"


def _line(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"


def chosen(
    model: Path, pythons: Mapping[str, Path], only: Sequence[str] | None
) -> tuple[list[Server], list[str]]:
    """The servers that can be measured, and a line on each that cannot."""
    ours = [servers.constant(), servers.echo(), servers.gatewise(model)]
    makers = {
        servers.BENTOML: servers.bentoml,
        servers.RAY: servers.ray_serve,
        servers.MLSERVER: servers.mlserver,
    }
    found, missing = ours, []
    for name, make in makers.items():
        python = pythons[name]
        if python.is_file():
            found.append(make(model, python))
        elif not only or name in only:
            missing.append(f"{name} is left out: there is no {python}")
    return [server for server in found if not only or server.name in only], missing


def main(  # noqa: PLR0913, PLR0917 — an argument for each option
    model: Annotated[Path, typer.Argument(help="The model folder that all of them serve.")],
    data: Annotated[Path, typer.Option(help="Folder with a folder for each set.")] = Path(
        "../shared/data"
    ),
    sets: Annotated[str, typer.Option(help="Whose test texts are asked for.")] = ",".join(SETS),
    connections: Annotated[str, typer.Option(help="How many at a time.")] = ",".join(
        map(str, CONNECTIONS)
    ),
    rounds: Annotated[int, typer.Option(min=1, help="Rounds.")] = 3,
    seconds: Annotated[int, typer.Option(min=1, help="Seconds of each load.")] = 5,
    most: Annotated[int, typer.Option("--texts", min=1, help="Most texts of a set.")] = 1000,
    only: Annotated[list[str] | None, typer.Option(help="These servers only.")] = None,
    bentoml: Annotated[Path, typer.Option(help="Python with BentoML.")] = Path(
        "../peers/bentoml/bin/python"
    ),
    ray: Annotated[Path, typer.Option(help="Python with Ray Serve.")] = Path(
        "../peers/ray/bin/python"
    ),
    mlserver: Annotated[Path, typer.Option(help="Python with MLServer.")] = Path(
        "../peers/mlserver/bin/python"
    ),
    as_json: Annotated[bool, typer.Option("--json", help="Write one JSON object.")] = False,
) -> None:
    """Ask the service and its peers for real texts, and tell how fast they answer."""
    pythons = {servers.BENTOML: bentoml, servers.RAY: ray, servers.MLSERVER: mlserver}
    counts = [int(count) for count in connections.split(",")]
    busy = os.getloadavg()[0]
    try:
        wrk.check()
        texts = {name: bodies.texts(data / name, most) for name in sets.split(",")}
        truth = {name: expected(model, rows[:_CHECKED]) for name, rows in texts.items()}
        compared, lines = chosen(model, pythons, only)
        measured: dict[str, list[Round]] = {server.name: [] for server in compared}
        for number in range(rounds):
            for place in range(len(compared)):
                server = compared[(number + place) % len(compared)]
                typer.echo(f"round {number + 1}: {server.name}", err=True)
                measured[server.name].append(one_round(server, texts, truth, counts, seconds))
    except (GatewiseError, FailedError, OSError) as error:
        typer.echo(f"Error: {error}", err=True)
        raise typer.Exit(1) from None
    rows = [summed_up(name, each) for name, each in measured.items()]
    if as_json:
        typer.echo(json.dumps({"load_before": busy, **_document(rows, rounds, seconds, lines)}))
        return
    tables = [table(rows, name, counts) for name in texts for table in (rates, latencies, costs)]
    typer.echo(f"{rounds} rounds of {seconds} s; the load of the machine before: {busy:.1f}.\n")
    typer.echo("\n\n".join([*tables, holdings(rows), trouble(rows), *lines]))
    for name in texts:
        typer.echo(told(rows, name, 32 if 32 in counts else counts[-1]))


def _document(
    rows: Sequence[Row], rounds: int, seconds: int, missing: Sequence[str]
) -> dict[str, Any]:
    return {
        "rounds": rounds,
        "seconds": seconds,
        "missing": list(missing),
        "servers": [
            {
                "name": row.name,
                "ready_seconds": row.ready_seconds,
                "idle": asdict(row.idle),
                "loaded": asdict(row.loaded),
                "loads": [
                    {
                        "set": name,
                        "connections": count,
                        **asdict(served.load),
                        "processor_ms": served.processor_ms,
                    }
                    for (name, count), served in row.loads.items()
                ],
            }
            for row in rows
        ],
    }


if __name__ == "__main__":
    typer.run(main)
