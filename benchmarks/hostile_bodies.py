"""Ten thousand hostile requests, after each kind of which the service must answer a good one.

Owns the blocks, the looks at the service and what is told of them. What is sent is in
`hostile_shapes`, how it is sent in `hostile_client`.
"""

import asyncio
import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Annotated

import hostile_shapes
import process_tree
import servers
import typer
from asked import ask
from gatewise.vocab.errors import GatewiseError
from hostile_client import EXTRA, HANGS, every
from options import AsJson, Model, Settings
from process import FailedError
from process_tree import Held
from server_process import Running

_GOOD = b'{"inputs": "Who wrote Hamlet?"}'
_READ_SECONDS = 2  # the service's timeout, short so that what never ends is told soon
_PATIENCE = 10.0  # seconds without an answer or an end that count as hanging
_GROWTH = 1.05  # times the memory of the third before: what a text needs varies with the text
_MIB = 2**20

HEAD = "| what is sent | requests | how it ended |\n|---|--:|---|"


@dataclass(frozen=True)
class Block:
    """What came of the requests of one kind.

    Attributes:
        kind: What is wrong with them.
        ended: How many of them were answered with which statuses, or ended how.
        alive: Whether a good request was answered afterwards, as it was at first.
    """

    kind: str
    ended: Mapping[str, int]
    alive: bool


def attack(
    server: Running, counts: Mapping[str, int], first: int, at_once: int, patience: float
) -> list[Block]:
    """Sends requests of every kind.

    Args:
        server: The service.
        counts: How many of each kind.
        first: The number of the first of each, by which no two rounds send the same.
        at_once: How many clients there are.
        patience: Seconds without an answer or an end that count as hanging.
    """
    good = ask(server.port, hostile_shapes.PATH, _GOOD)
    blocks = []
    for kind, count in counts.items():
        scripts = [hostile_shapes.script(kind, first + number) for number in range(count)]
        # Those that never come to an end are as many as the service will have.
        clients = count if any(each.forever for each in scripts) else at_once
        ended = asyncio.run(every(server.port, scripts, clients, patience))
        blocks.append(Block(kind, dict(ended), _answered(server.port, good)))
    return blocks


def _answered(port: int, good: tuple[int, bytes]) -> bool:
    try:
        return good[0] == 200 and ask(port, hostile_shapes.PATH, _GOOD) == good
    except OSError:
        return False


def together(rounds: Sequence[Sequence[Block]]) -> list[Block]:
    """The blocks of all rounds, those of a kind as one."""
    merged = []
    for blocks in zip(*rounds, strict=True):
        ended = sum((Counter(block.ended) for block in blocks), Counter[str]())
        merged.append(Block(blocks[0].kind, dict(ended), all(block.alive for block in blocks)))
    return merged


def verdicts(blocks: Sequence[Block], held: Sequence[Held], logged: str) -> dict[str, bool]:
    """What was to be shown, and whether it was.

    Args:
        blocks: What came of each kind.
        held: What the service held before the first round and after each one.
        logged: What it wrote.
    """
    ended = {how for block in blocks for how in block.ended}
    rounds = held[1:]
    third = max(1, len(rounds) // 3)
    last, before = rounds[-third:], rounds[-2 * third : -third] or held[:1]
    highest, earlier = (max(each.pss for each in some) for some in (last, before))
    open_now, open_before = (some[-1].descriptors for some in (last, before))
    return {
        "no status of 500 or more": not any(
            part.startswith("5") for how in ended for part in how.split()
        ),
        "nothing hangs": HANGS not in ended,
        "no answer to what was smuggled in": EXTRA not in ended,
        "a good request is answered after each kind": all(block.alive for block in blocks),
        "no growth of memory in the last third": highest <= _GROWTH * earlier,
        "no growth of descriptors in the last third": open_now <= open_before + 1,
        "no traceback in its log": "Traceback" not in logged,
    }


def main(
    model: Model,
    requests: Annotated[int, typer.Option(min=1, help="How many in all.")] = 10_000,
    rounds: Annotated[int, typer.Option(min=1, help="Rounds that they are sent in.")] = 10,
    only: Annotated[list[str] | None, typer.Option(help="These kinds only.")] = None,
    at_once: Annotated[int, typer.Option("--clients", min=1, help="How many at once.")] = 32,
    patience: Annotated[float, typer.Option(help="Seconds until it hangs.")] = _PATIENCE,
    settings: Settings = None,
    as_json: AsJson = False,
) -> None:
    """Send the service what nobody should, and tell how it answers."""
    kinds = [kind for kind in hostile_shapes.KINDS if not only or kind in only]
    counts = hostile_shapes.shares(max(1, requests // rounds), kinds)
    done: list[list[Block]] = []
    try:
        given = servers.settings([f"READ_SECONDS={_READ_SECONDS}", *(settings or [])])
        with servers.gatewise(model, given).started() as server:
            held = [process_tree.held(server.pid)]
            for number in range(rounds):
                first = number * max(counts.values())
                done.append(attack(server, counts, first, at_once, patience))
                held.append(process_tree.held(server.pid))
                typer.echo(f"round {number + 1}: {held[-1].pss / _MIB:.1f} MiB", err=True)
            logged = server.logged()
    except (GatewiseError, FailedError, OSError) as error:
        typer.echo(f"Error: {error}", err=True)
        raise typer.Exit(1) from None
    blocks = together(done)
    shown = verdicts(blocks, held, logged)
    if as_json:
        document = {
            "blocks": [asdict(block) for block in blocks],
            "held": [asdict(each) for each in held],
            "verdicts": shown,
        }
        typer.echo(json.dumps(document))
        return
    typer.echo(HEAD)
    for block in blocks:
        ended = ", ".join(f"{how}: {count:,}" for how, count in sorted(block.ended.items()))
        typer.echo(f"| {block.kind} | {sum(block.ended.values()):,} | {ended} |")
    sizes = ", ".join(f"{each.pss / _MIB:.1f}" for each in held)
    typer.echo(f"\nPSS before, and after each round, MiB: {sizes}")
    typer.echo(f"Descriptors: {', '.join(str(each.descriptors) for each in held)}\n")
    for what, met in shown.items():
        typer.echo(f"{what}: {'met' if met else 'not met'}")


if __name__ == "__main__":
    typer.run(main)
