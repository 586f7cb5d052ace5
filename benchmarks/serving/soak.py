"""Minutes of mixed load, and whether the service's memory, descriptors or threads grow."""

import asyncio
import random
import statistics
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import cycle, islice
from typing import Annotated

import typer

from benchmarks.lib import corpora, process_usage
from benchmarks.lib.command import DATA, AsJson, CorpusFolder, Model, ServiceSettings, command
from benchmarks.lib.http_client import Connection, connect, response_to
from benchmarks.lib.process_usage import Usage
from benchmarks.lib.report import MIB, report
from benchmarks.lib.request_formats import OPEN_INFERENCE, hugging_face_body, post
from benchmarks.serving import servers

BROKEN, DISCONNECTED = "broken", "disconnected"
"""In place of a status: the connection broke; the client itself disconnected."""

_WARM = 0.2  # share of the time that does not count as growth: caches fill, threads start
_GROWTH = 0.02  # share by which memory may grow from the first third of the rest to the last
_MORE = 2  # descriptors or threads that the last third may have more than the first
_DISCONNECT_AFTER = 0.002  # seconds, at most, until a client that disconnects does

_WRONG_SHAPES = [
    b'{"inputs": 1}',
    b'{"inputs": []}',
    b'{"inputs": ["a", null]}',
    b'{"inputs": ""}',
    b'{"inputs": "a", "parameters": {"top_k": 0}}',
    b'{"text": "a"}',
]


@dataclass(frozen=True)
class Kind:
    """A kind of request."""

    name: str
    requests: Sequence[bytes]  # complete; one of them is sent each time
    statuses: tuple[int, ...] = (200,)  # what may be answered
    aborted: bool = False  # whether the client disconnects before it is answered


def kinds(port: int, model: str, texts: Sequence[str]) -> list[Kind]:
    """The requests of many different clients, for a service on a port."""
    endless = cycle(texts)
    groups = [list(islice(endless, 1 + number % 16)) for number in range(50)]

    def posts(path: str, bodies: Sequence[bytes]) -> list[bytes]:
        return [post(port, path, body) for body in bodies]

    def get(path: str) -> list[bytes]:
        return [f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\n\r\n".encode()]

    one = [hugging_face_body(text) for text in texts]
    best = [hugging_face_body(text, top_k=1) for text in texts]
    tensors = [OPEN_INFERENCE.body(text) for text in texts]
    predict = posts("/predict", one)
    return [
        Kind("one text", predict),
        Kind("one text, top_k", posts("/predict", best)),
        Kind("several texts", posts("/predict", [hugging_face_body(group) for group in groups])),
        # An explanation takes many texts, of which only so many may wait.
        Kind("explain", posts("/explain", one), (200, 429)),
        Kind("v2", posts(f"/v2/models/{model}/infer", tensors)),
        Kind("health", get("/health/ready")),
        Kind("metrics", get("/metrics")),
        Kind("no JSON", posts("/predict", [b"{", b"", b"\xff", b'{"inputs": "a"']), (400,)),
        Kind("wrong shape", posts("/predict", _WRONG_SHAPES), (422,)),
        Kind("no route", get("/nowhere"), (404,)),
        Kind("disconnected before the answer", predict, (), aborted=True),
        Kind(
            "disconnected within the body",
            [each[: len(each) // 2 + 40] for each in predict],
            (),
            aborted=True,
        ),
    ]


@dataclass(frozen=True)
class Growth:
    """How one figure went after the warm-up: medians of two thirds, and the rise in a minute."""

    first: float
    last: float
    slope: float


def growth(samples: Sequence[Usage], name: str) -> Growth:
    """How one field of `Usage` went."""
    warm = samples[-1].seconds * _WARM
    points = [
        (each.seconds / 60, float(getattr(each, name))) for each in samples if each.seconds >= warm
    ]
    minutes, values = ([point[axis] for point in points] for axis in (0, 1))
    third = max(1, len(points) // 3)
    slope = statistics.linear_regression(minutes, values).slope if len(points) > 1 else 0.0
    return Growth(statistics.median(values[:third]), statistics.median(values[-third:]), slope)


def soak(
    port: int, mixture: Sequence[Kind], connections: int, seconds: float, pause: float
) -> dict[str, dict[str, int]]:
    """Sends requests of random kinds; each client pauses for `pause` seconds on average.

    Returns:
        How many answers of each status there were, by the kind of request.
    """
    counts: dict[str, Counter[str]] = {kind.name: Counter() for kind in mixture}
    end = time.monotonic() + seconds

    async def client(number: int) -> None:
        chance = random.Random(number)
        connection: Connection | None = None
        while time.monotonic() < end:
            kind = chance.choice(mixture)
            if connection is None or not connection.usable:
                try:
                    connection = await connect(port)
                except OSError:
                    counts[kind.name][BROKEN] += 1
                    await asyncio.sleep(0.1)
                    continue
            response = response_to(connection, chance.choice(kind.requests))
            if kind.aborted:
                await asyncio.sleep(chance.random() * _DISCONNECT_AFTER)
                connection.abort()
            status, _ = await response
            ended = BROKEN if status is None else str(status)
            counts[kind.name][DISCONNECTED if kind.aborted else ended] += 1
            await asyncio.sleep(chance.expovariate(1 / pause) if pause else 0)
        if connection is not None:
            connection.abort()

    async def clients() -> None:
        await asyncio.gather(*map(client, range(connections)))

    asyncio.run(clients())
    return {name: dict(statuses) for name, statuses in counts.items()}


def verdicts(
    counts: Mapping[str, Mapping[str, int]], mixture: Sequence[Kind], growths: Mapping[str, Growth]
) -> dict[str, bool]:
    """What was to be shown, and whether it was."""
    statuses = {status for of_kind in counts.values() for status in of_kind}
    allowed = {
        kind.name: {DISCONNECTED} if kind.aborted else set(map(str, kind.statuses))
        for kind in mixture
    }
    memory = growths["pss"]
    return {
        "no status of 500 or more, no broken connection": not any(
            status == BROKEN or status.startswith("5") for status in statuses
        ),
        "every answer as expected": all(set(counts[name]) <= allowed[name] for name in allowed),
        "no growth of memory": memory.last <= memory.first * (1 + _GROWTH),
        **{
            f"no growth of {name}": growths[name].last <= growths[name].first + _MORE
            for name in ("descriptors", "threads")
        },
    }


@command
def main(
    model: Model,
    corpus: CorpusFolder = DATA / "trec6",
    minutes: Annotated[float, typer.Option(help="How long.")] = 10,
    connections: Annotated[int, typer.Option(min=1, help="Clients.")] = 32,
    pause: Annotated[float, typer.Option(min=0, help="Mean seconds between requests.")] = 0.02,
    settings: ServiceSettings = None,
    as_json: AsJson = False,
) -> None:
    """Send a mixture of requests for minutes, and print whether the service grows."""
    seconds = 60 * minutes
    texts = corpora.test_texts(corpus, 500)
    variables = servers.service_variables(settings or [])
    with servers.gatewise(model, variables).started() as server:
        mixture = kinds(server.port, model.resolve().name, texts)
        with process_usage.sampled(server.pid, max(0.2, seconds / 300)) as samples:
            counts = soak(server.port, mixture, connections, seconds, pause)
    # The last sample is taken after the clients have gone, and would count as less.
    names = ("pss", "rss", "descriptors", "threads")
    growths = {name: growth(samples[:-1], name) for name in names}
    usage = []
    for name, each in growths.items():
        unit, title = (MIB, f"{name.upper()}, MiB") if name in ("pss", "rss") else (1, name)
        first, last, slope = (value / unit for value in (each.first, each.last, each.slope))
        usage.append({"usage": title, "first third": first, "last third": last, "a minute": slope})
    answers = [
        {"request": name, "status": status, "answers": count}
        for name, statuses in counts.items()
        for status, count in sorted(statuses.items())
    ]
    report(
        {"answers": answers, "usage": usage},
        facts={"minutes": minutes, "connections": connections},
        verdicts=verdicts(counts, mixture, growths),
        as_json=as_json,
    )


if __name__ == "__main__":
    typer.run(main)
