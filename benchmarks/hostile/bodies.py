"""Ten thousand hostile requests, after each kind of which the service must answer a good one."""

import asyncio
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated

import typer

from benchmarks.hostile import requests as hostile_requests
from benchmarks.hostile.client import EXTRA, HANGS, play_all
from benchmarks.lib import process_usage
from benchmarks.lib.command import AsJson, Model, ServiceSettings, command
from benchmarks.lib.http_client import send
from benchmarks.lib.process_usage import Usage
from benchmarks.lib.report import MIB, report
from benchmarks.lib.server_process import RunningServer
from benchmarks.serving import servers

_GOOD = b'{"inputs": "Who wrote Hamlet?"}'
_READ_SECONDS = 2  # the service's timeout, short so that requests without an end are soon ended
_GROWTH = 1.05  # times the memory of the third before: what a text needs varies with the text


@dataclass(frozen=True)
class Attack:
    """What came of the requests of one kind."""

    kind: str
    ended: Mapping[str, int]  # how many of them ended how
    alive: bool  # whether a good request was answered afterwards, as it was at first


def attack(
    server: RunningServer, counts: Mapping[str, int], first: int, clients: int, patience: float
) -> list[Attack]:
    """Sends so many requests of each kind, beginning with the number `first` of each."""
    good = send(server.port, hostile_requests.PATH, _GOOD)
    attacks = []
    for kind, count in counts.items():
        scripts = [hostile_requests.script(kind, first + number) for number in range(count)]
        # Requests without an end are as many at a time as the service accepts.
        together = count if any(each.forever for each in scripts) else clients
        ended = asyncio.run(play_all(server.port, scripts, together, patience))
        attacks.append(Attack(kind, dict(ended), _alive(server.port, good)))
    return attacks


def _alive(port: int, good: tuple[int, bytes]) -> bool:
    try:
        return good[0] == 200 and send(port, hostile_requests.PATH, _GOOD) == good
    except OSError:
        return False


def merge(rounds: Sequence[Sequence[Attack]]) -> list[Attack]:
    """The attacks of all rounds, those of a kind as one."""
    merged = []
    for attacks in zip(*rounds, strict=True):
        ended = sum((Counter(each.ended) for each in attacks), Counter[str]())
        merged.append(Attack(attacks[0].kind, dict(ended), all(each.alive for each in attacks)))
    return merged


def verdicts(attacks: Sequence[Attack], samples: Sequence[Usage], log: str) -> dict[str, bool]:
    """What was to be shown, and whether it was; samples are from before and after each round."""
    ended = {how for each in attacks for how in each.ended}
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
        "a good request is answered after each kind": all(each.alive for each in attacks),
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
    counts = hostile_requests.shares(max(1, requests // rounds), kinds)
    variables = servers.service_variables([f"READ_SECONDS={_READ_SECONDS}", *(settings or [])])
    done = []
    with servers.gatewise(model, variables).started() as server:
        samples = [process_usage.usage(server.pid)]
        for number in range(rounds):
            first = number * max(counts.values())
            done.append(attack(server, counts, first, clients, patience))
            samples.append(process_usage.usage(server.pid))
            typer.echo(f"round {number + 1}: {samples[-1].pss / MIB:.1f} MiB", err=True)
        log = server.log.read_text(encoding="utf-8", errors="replace")
    attacks = merge(done)
    endings = [
        {
            "kind": each.kind,
            "requests": sum(each.ended.values()),
            "how they ended": ", ".join(f"{how}: {n:,}" for how, n in sorted(each.ended.items())),
        }
        for each in attacks
    ]
    usage = [
        {"round": number, "PSS, MiB": each.pss / MIB, "descriptors": each.descriptors}
        for number, each in enumerate(samples)
    ]
    report(
        {"endings": endings, "usage": usage},
        facts={"requests": rounds * sum(counts.values()), "rounds": rounds},
        verdicts=verdicts(attacks, samples, log),
        as_json=as_json,
    )


if __name__ == "__main__":
    typer.run(main)
