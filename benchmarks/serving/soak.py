"""Minutes of mixed load, and whether the service's memory, descriptors or threads grow."""

import random
import statistics
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import cycle, islice
from typing import Annotated

import typer

from benchmarks.lib import corpora, process_usage
from benchmarks.lib.command import DATA, AsJson, CorpusFolder, Model, ServiceSettings, command
from benchmarks.lib.process_usage import Usage
from benchmarks.lib.report import MIB, report
from benchmarks.lib.request_formats import OPEN_INFERENCE, hugging_face_body, post
from benchmarks.serving import servers
from benchmarks.serving.closed_loop import driving

BROKEN, DISCONNECTED = "broken", "disconnected"
"""In place of a status: the connection broke; the client itself disconnected."""

_WARM = 0.2  # share of the time that does not count as growth: caches fill, threads start
_GROWTH = 0.02  # share by which memory may grow from the first third of the rest to the last
_MORE = 2  # descriptors or threads that the last third may have more than the first
_REQUESTS = 20_000  # after which the same ones follow again

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


def thirds(samples: Sequence[Usage], name: str) -> tuple[float, float]:
    """One field of `Usage` after the warm-up: its medians in the first third and in the last."""
    warm = samples[-1].seconds * _WARM
    values = [getattr(each, name) for each in samples if each.seconds >= warm]
    third = max(1, len(values) // 3)
    return statistics.median(values[:third]), statistics.median(values[-third:])


def verdicts(
    answers: Mapping[tuple[str, str], int],
    mixture: Sequence[Kind],
    usage: Mapping[str, tuple[float, float]],
) -> dict[str, bool]:
    """What was to be shown, and whether it was; `answers` are counted by kind and status."""
    allowed = {
        (kind.name, status)
        for kind in mixture
        for status in ([DISCONNECTED] if kind.aborted else map(str, kind.statuses))
    }
    before, after = usage["pss"]
    return {
        "no status of 500 or more, no broken connection": not any(
            status == BROKEN or status.startswith("5") for _, status in answers
        ),
        "every answer as expected": answers.keys() <= allowed,
        "no growth of memory": after <= before * (1 + _GROWTH),
        **{
            f"no growth of {name}": usage[name][1] <= usage[name][0] + _MORE
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
        chance = random.Random(1)
        sent = [chance.choice(mixture) for _ in range(_REQUESTS)]

        def judge(number: int, status: int | None, _: bytes) -> tuple[str, str]:
            ended = BROKEN if status is None else str(status)
            return sent[number].name, DISCONNECTED if sent[number].aborted else ended

        with (
            process_usage.sampled(server.pid, max(0.2, seconds / 300)) as samples,
            driving(
                server.port,
                [chance.choice(kind.requests) for kind in sent],
                connections,
                judge,
                aborts=lambda number: sent[number].aborted,
                pause=pause,
            ) as found,
        ):
            time.sleep(seconds)
    # The last sample is taken after the clients have gone, and would count as less.
    names = ("pss", "rss", "descriptors", "threads")
    usage = {name: thirds(samples[:-1], name) for name in names}
    answers = [
        {"request": name, "status": status, "answers": count}
        for (name, status), count in sorted(found.counts.items())
    ]
    units = {"pss": MIB, "rss": MIB}
    report(
        {
            "answers": answers,
            "usage": [
                {
                    "usage": f"{name.upper()}, MiB" if name in units else name,
                    "first third": first / units.get(name, 1),
                    "last third": last / units.get(name, 1),
                }
                for name, (first, last) in usage.items()
            ],
        },
        facts={"minutes": minutes, "connections": connections},
        verdicts=verdicts(found.counts, mixture, usage),
        as_json=as_json,
    )


if __name__ == "__main__":
    typer.run(main)
