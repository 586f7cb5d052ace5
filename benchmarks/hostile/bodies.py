"""Ten thousand hostile requests, after each kind of which the service must answer a good one."""

import asyncio
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Annotated

import typer

from benchmarks.hostile import requests as hostile_requests
from benchmarks.hostile.client import EXTRA, HANGS, play_all
from benchmarks.lib import process_usage
from benchmarks.lib.command import AsJson, Model, ServiceSettings, command
from benchmarks.lib.http_client import send
from benchmarks.lib.process_usage import Usage
from benchmarks.lib.report import MIB, report
from benchmarks.serving import servers

_GOOD = b'{"inputs": "Who wrote Hamlet?"}'
_READ_SECONDS = 2  # the service's timeout, short so that requests without an end are soon ended
_GROWTH = 1.05  # times the memory of the third before: what a text needs varies with the text


def attack(
    port: int, kind: str, numbers: Iterable[int], clients: int, patience: float
) -> Counter[str]:
    """Sends the requests of a kind that have these numbers; counts how they ended."""
    scripts = [hostile_requests.script(kind, number) for number in numbers]
    # Requests without an end are as many at a time as the service accepts.
    together = len(scripts) if any(each.forever for each in scripts) else clients
    return asyncio.run(play_all(port, scripts, together, patience))


def good_answer(port: int) -> bytes | None:
    """What the service answers to a good request; None if it does not answer with 200."""
    try:
        status, body = send(port, hostile_requests.PATH, _GOOD)
    except OSError:
        return None
    return body if status == 200 else None


def verdicts(
    endings: Mapping[str, Counter[str]], samples: Sequence[Usage], log: str, *, alive: bool
) -> dict[str, bool]:
    """What was to be shown, and whether it was; samples are from before and after each round."""
    ended = {how for of_kind in endings.values() for how in of_kind}
    rounds = samples[1:]
    third = max(1, len(rounds) // 3)
    last, before = rounds[-third:], rounds[-2 * third : -third] or samples[:1]
    highest, earlier = (max(each.pss for each in some) for some in (last, before))
    return {
        "no status of 500 or more": not any(
            part.startswith("5") for how in ended for part in how.split()
        ),
        "nothing hangs": HANGS not in ended,
        "no answer to a smuggled request": EXTRA not in ended,
        "a good request is answered after each kind": alive,
        "no growth of memory in the last third": highest <= _GROWTH * earlier,
        "no growth of descriptors in the last third": (
            last[-1].descriptors <= before[-1].descriptors + 1
        ),
        "no traceback in the log": "Traceback" not in log,
    }


@command
def main(
    model: Model,
    requests: Annotated[int, typer.Option(min=1, help="How many in all.")] = 10_000,
    rounds: Annotated[int, typer.Option(min=1, help="Rounds that they are sent in.")] = 10,
    only: Annotated[list[str] | None, typer.Option(help="These kinds only.")] = None,
    clients: Annotated[int, typer.Option(min=1, help="How many at a time.")] = 32,
    patience: Annotated[float, typer.Option(help="Seconds without an end that hang.")] = 10,
    settings: ServiceSettings = None,
    as_json: AsJson = False,
) -> None:
    """Send the service hostile requests, and print how it answers."""
    kinds = [kind for kind in hostile_requests.KINDS if not only or kind in only]
    count = max(1, requests // rounds // len(kinds))  # of each kind in a round
    variables = servers.service_variables([f"READ_SECONDS={_READ_SECONDS}", *(settings or [])])
    endings = {kind: Counter[str]() for kind in kinds}
    alive = True
    with servers.gatewise(model, variables).started() as server:
        samples = [process_usage.usage(server.pid)]
        good = good_answer(server.port)
        for number in range(rounds):
            for kind in kinds:
                numbers = range(number * count, (number + 1) * count)
                endings[kind] += attack(server.port, kind, numbers, clients, patience)
                alive &= good is not None and good_answer(server.port) == good
            samples.append(process_usage.usage(server.pid))
            typer.echo(f"round {number + 1}: {samples[-1].pss / MIB:.1f} MiB", err=True)
        log = server.log.read_text(encoding="utf-8", errors="replace")
    table = [
        {
            "kind": kind,
            "requests": ended.total(),
            "how they ended": ", ".join(f"{how}: {n:,}" for how, n in sorted(ended.items())),
        }
        for kind, ended in endings.items()
    ]
    usage = [
        {"round": number, "PSS, MiB": each.pss / MIB, "descriptors": each.descriptors}
        for number, each in enumerate(samples)
    ]
    report(
        {"endings": table, "usage": usage},
        facts={"requests": rounds * count * len(kinds), "rounds": rounds},
        verdicts=verdicts(endings, samples, log, alive=alive),
        as_json=as_json,
    )


if __name__ == "__main__":
    typer.run(main)
