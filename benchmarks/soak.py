"""Minutes of mixed load, and whether the service grows by it: memory, descriptors, threads.

Owns the clients, the looks at the service and what is told of them; what is asked is in
`mixture`.
"""

import asyncio
import json
import random
import statistics
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Annotated

import bodies
import process_tree
import servers
import typer
from gatewise.vocab.errors import GatewiseError
from mixture import Kind, kinds
from options import TREC6, AsJson, Model, SetFolder, Settings
from process import FailedError
from process_tree import Held
from wire import Connection, asking, connected

BROKEN = "broken"
GONE = "gone"
"""What stands for a status where a connection broke, and where the client itself has gone."""

_WARM = 0.2  # share of the time that is not counted as growth: caches fill, threads start
_GROWTH = 0.02  # share by which memory may grow from the first third of the rest to the last
_MORE = 2  # descriptors or threads that the last third may have more than the first
_MIB = 2**20
_GONE_AFTER = 0.002  # seconds, at most, until a client that goes away has gone

Counts = Mapping[str, Mapping[str, int]]
"""How many answers of each status there were, by the kind of request."""


@dataclass(frozen=True)
class Growth:
    """How one figure went, after the warm-up.

    Attributes:
        first: Median of the first third.
        last: Median of the last third.
        slope: How much it rose in a minute, by least squares.
    """

    first: float
    last: float
    slope: float


def growth(held: Sequence[Held], name: str) -> Growth:
    """How one figure of what the service held went; `name` is the field of `Held`."""
    warm = held[-1].seconds * _WARM
    points = [(each.seconds, float(getattr(each, name))) for each in held if each.seconds >= warm]
    third = max(1, len(points) // 3)
    minutes = [seconds / 60 for seconds, _ in points]
    values = [value for _, value in points]
    slope = statistics.linear_regression(minutes, values).slope if len(points) > 1 else 0.0
    return Growth(statistics.median(values[:third]), statistics.median(values[-third:]), slope)


def soak(
    port: int, asked: Sequence[Kind], connections: int, seconds: float, pause: float
) -> Counts:
    """Asks for everything, by chance, over so many connections.

    Args:
        port: Where, on this machine.
        asked: What to ask.
        connections: How many clients there are.
        seconds: How long.
        pause: Mean seconds that a client waits between two requests.

    Returns:
        What was answered.
    """
    counts: dict[str, Counter[str]] = {kind.name: Counter() for kind in asked}
    end = time.monotonic() + seconds

    async def client(number: int) -> None:
        chance = random.Random(number)
        connection: Connection | None = None
        while time.monotonic() < end:
            kind = chance.choice(asked)
            if connection is None or not connection.usable:
                try:
                    connection = await connected(port)
                except OSError:
                    counts[kind.name][BROKEN] += 1
                    await asyncio.sleep(0.1)
                    continue
            answered = asking(connection, chance.choice(kind.requests))
            if kind.aborted:
                await asyncio.sleep(chance.random() * _GONE_AFTER)
                connection.abort()
            status, _ = await answered
            ended = BROKEN if status is None else str(status)
            counts[kind.name][GONE if kind.aborted else ended] += 1
            await asyncio.sleep(chance.expovariate(1 / pause) if pause else 0)
        if connection is not None:
            connection.abort()

    async def clients() -> None:
        await asyncio.gather(*map(client, range(connections)))

    asyncio.run(clients())
    return counts


def verdicts(
    counts: Counts, asked: Sequence[Kind], growths: Mapping[str, Growth]
) -> dict[str, bool]:
    """What was to be shown, and whether it was."""
    seen = {status for statuses in counts.values() for status in statuses}
    expected = all(
        set(counts[kind.name]) <= ({GONE} if kind.aborted else set(map(str, kind.statuses)))
        for kind in asked
    )
    memory = growths["pss"]
    return {
        "no status of 500 or more, no broken connection": not any(
            status == BROKEN or status.startswith("5") for status in seen
        ),
        "every answer as expected": expected,
        "no growth of memory": memory.last <= memory.first * (1 + _GROWTH),
        "no growth of descriptors": _steady(growths["descriptors"]),
        "no growth of threads": _steady(growths["threads"]),
    }


def _steady(counted: Growth) -> bool:
    return counted.last <= counted.first + _MORE


def main(
    model: Model,
    folder: SetFolder = TREC6,
    minutes: Annotated[float, typer.Option(help="How long.")] = 10,
    connections: Annotated[int, typer.Option(min=1, help="Clients.")] = 32,
    pause: Annotated[float, typer.Option(min=0, help="Mean seconds between requests.")] = 0.02,
    settings: Settings = None,
    as_json: AsJson = False,
) -> None:
    """Ask for everything for minutes, and tell whether the service grows."""
    seconds = 60 * minutes
    try:
        texts = bodies.texts(folder, 500)
        with servers.gatewise(model, servers.settings(settings or [])).started() as server:
            asked = kinds(server.port, model.resolve().name, texts)
            with process_tree.watched(server.pid, max(0.2, seconds / 300)) as watch:
                counts = soak(server.port, asked, connections, seconds, pause)
    except (GatewiseError, FailedError, OSError) as error:
        typer.echo(f"Error: {error}", err=True)
        raise typer.Exit(1) from None
    # The last look is after the clients have gone, and would count as less.
    held = watch.held[:-1]
    growths = {name: growth(held, name) for name in ("pss", "rss", "descriptors", "threads")}
    shown = verdicts(counts, asked, growths)
    if as_json:
        document = {
            "counts": {name: dict(statuses) for name, statuses in counts.items()},
            "growth": {name: asdict(each) for name, each in growths.items()},
            "held": [asdict(each) for each in watch.held],
            "verdicts": shown,
        }
        typer.echo(json.dumps(document))
        return
    typer.echo("| asked | answers |\n|---|---|")
    for name, statuses in counts.items():
        found = ", ".join(f"{status}: {count:,}" for status, count in sorted(statuses.items()))
        typer.echo(f"| {name} | {found} |")
    typer.echo("\n| held | first third | last third | a minute |\n|---|--:|--:|--:|")
    for name, each in growths.items():
        unit, title = (_MIB, f"{name.upper()}, MiB") if name in ("pss", "rss") else (1, name)
        cells = [f"{value / unit:,.1f}" for value in (each.first, each.last)]
        typer.echo(f"| {title} | {' | '.join(cells)} | {each.slope / unit:+.2f} |")
    typer.echo("")
    for what, met in shown.items():
        typer.echo(f"{what}: {'met' if met else 'not met'}")


if __name__ == "__main__":
    typer.run(main)
