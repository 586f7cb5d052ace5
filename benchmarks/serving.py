"""How many requests a second the service answers, how fast, and beside which others.

Each server is alone on the machine while it is measured: started, checked, asked, stopped, in
turns with the others. Owns the rounds; the servers are in `servers`, the load in
`wrk`, the tables in `serving_tables`.
"""

import json
import math
import os
import statistics
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import bodies
import process_tree
import servers
import typer
import wrk
from asked import ask
from gatewise.vocab.errors import GatewiseError
from process import FailedError
from server_process import Running
from servers import Server
from serving_tables import Round, Row, Served, costs, holdings, latencies, rates, told, trouble
from truth import same, truth
from wrk import Load

CONNECTIONS = (1, 8, 32, 128, 512)
SETS = ("trec6", "imdb")
SETTLED = 3
"""How often each connection must have been answered for the latency to be told: what still waits
when the time is up is in no percentile."""

LONGER = 4
"""Times the seconds that a load lasts at most, where a server is too slow for that."""

TOLERANCE = 1e-4
"""How far a peer's score may be from Gatewise's."""

_CHECKED = 50  # texts of each set that every answer is compared for
_PATIENCE = 60.0  # seconds for a server to be done with the load before
_LOOK = 0.3  # seconds for which it is looked at whether it is
_IDLE = 0.2  # processors that one uses at most that has nothing to do: Ray Serve is never idle
_WARM_UP = 1  # seconds of load before each that is measured


def check(
    server: Server, port: int, texts: Sequence[str], expected: Sequence[bodies.Scores]
) -> None:
    """Asks for texts one by one.

    Raises:
        FailedError: If an answer is not 200, or not what the model says.
    """
    for text, scores in zip(texts, expected, strict=True):
        status, answer = ask(port, server.path, server.shape.body(text))
        if status != 200:
            raise FailedError(f"{server.name} answered {status} for {text[:60]!r}")
        if not server.classifies:
            continue
        said = server.shape.scores(answer)
        if not same(said, scores, TOLERANCE):
            raise FailedError(
                f"{server.name} said {dict(said)} of {text[:60]!r}, expected {dict(scores)}"
            )


def one_round(
    server: Server,
    sets: Mapping[str, Sequence[str]],
    expected: Mapping[str, Sequence[bodies.Scores]],
    connections: Sequence[int],
    seconds: int,
) -> Round:
    """Starts a server, checks it, and asks it for every set over so many connections."""
    with server.started() as running:
        for name, scores in expected.items():
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
    rate = wrk.drive(running.port, requests, connections, _WARM_UP).rate
    _drain(running)
    # As long as it takes for every connection to be answered a few times, within reason.
    needed = math.ceil(2 * SETTLED * connections / max(1, rate))
    longer = min(max(seconds, needed), LONGER * seconds)
    before = process_tree.processor_seconds(running.pid)
    load = wrk.drive(running.port, requests, connections, longer)
    spent = process_tree.processor_seconds(running.pid) - before
    _drain(running)
    settled = load.answers >= SETTLED * connections
    return Served(load, 1000 * spent / max(1, load.answers), settled)


def _drain(running: Running) -> None:
    """Waits until a server is done with what it was asked by clients that have gone."""
    end = time.monotonic() + _PATIENCE
    while time.monotonic() < end:
        before = process_tree.processor_seconds(running.pid)
        time.sleep(_LOOK)
        if process_tree.processor_seconds(running.pid) - before < _IDLE * _LOOK:
            return


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
    processor_ms = statistics.median(each.processor_ms for each in served)
    return Served(load, processor_ms, all(each.settled for each in served))


def chosen(
    model: Path,
    pythons: Mapping[str, Path],
    only: Sequence[str] | None,
    replicas: Sequence[int] = (),
) -> tuple[list[Server], list[str]]:
    """The servers that can be measured, and a line on each that cannot."""
    ours = [servers.constant(), servers.echo(), servers.gatewise(model)]
    for haproxy in (False, True):
        ours += [servers.gatewise_on_ray(model, one, haproxy=haproxy) for one in replicas]
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
    replicas: Annotated[
        str, typer.Option(help="Have the service on Ray too, with so many replicas: 1,2.")
    ] = "",
    as_json: Annotated[bool, typer.Option("--json", help="Write one JSON object.")] = False,
) -> None:
    """Ask the service and its peers for real texts, and tell how fast they answer."""
    pythons = {servers.BENTOML: bentoml, servers.RAY: ray, servers.MLSERVER: mlserver}
    counts = [int(count) for count in connections.split(",")]
    busy = os.getloadavg()[0]
    try:
        wrk.check()
        texts = {name: bodies.texts(data / name, most) for name in sets.split(",")}
        expected = {name: truth(model, rows[:_CHECKED]) for name, rows in texts.items()}
        numbers = [int(number) for number in replicas.split(",") if number]
        compared, lines = chosen(model, pythons, only, numbers)
        measured: dict[str, list[Round]] = {server.name: [] for server in compared}
        for number in range(rounds):
            for place in range(len(compared)):
                server = compared[(number + place) % len(compared)]
                typer.echo(f"round {number + 1}: {server.name}", err=True)
                measured[server.name].append(one_round(server, texts, expected, counts, seconds))
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
                        "settled": served.settled,
                    }
                    for (name, count), served in row.loads.items()
                ],
            }
            for row in rows
        ],
    }


if __name__ == "__main__":
    typer.run(main)
