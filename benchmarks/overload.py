"""What becomes of the service at ten times the load that it can bear, and afterwards.

Measures the capacity with as many connections as it likes best, then asks at ten times that rate
without waiting for answers. Owns the phases and their table; the sending is in `open_loop`.
"""

import itertools
import json
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Annotated

import bodies
import numpy as np
import open_loop
import process_tree
import servers
import typer
import wrk
from gatewise.vocab.errors import GatewiseError
from open_loop import Answers, Plan
from options import TREC6, AsJson, Model, SetFolder, Settings
from process import FailedError
from server_process import Running

ACCEPTED = (200, 504)
REFUSED = (429, 503)
PATH = "/predict"

_OTHER = {open_loop.BROKEN: "broken", open_loop.SILENT: "silent", open_loop.HELD_BACK: "held back"}
_CALM = 0.2  # share of the capacity that is asked before and after
_CONNECTIONS = 32  # with which the capacity is measured
_REFUSED_MS = 50.0
_DEADLINES = 1.5
_AS_BEFORE = 1.5  # times the latency of before
_FLAT = 1.05  # times the memory of the first half
_SETTLE = 2.0  # seconds between the overload and the calm after it
_MIB = 2**20

HEAD = (
    "| phase | asked/s | 200/s | statuses | accepted p50 / p99, ms | refused p99, ms | "
    "sender late p99, ms | PSS, MiB |\n|---|--:|--:|---|--:|--:|--:|--:|"
)


@dataclass(frozen=True)
class Phase:
    """What came of some seconds at one rate.

    Attributes:
        name: Which phase it is.
        asked: Requests a second that were sent.
        answered: Answers of status 200 a second.
        statuses: How many requests there were of each status; by name where there was none.
        accepted_p50_ms: Median milliseconds to the answer of what was accepted.
        accepted_p99_ms: The same for the slowest of a hundred.
        refused_p99_ms: The same of what was refused; None if nothing was.
        late_p99_ms: How far behind the sender was.
        lowest: Least memory of the server meanwhile, in bytes (PSS).
        highest: Most of it.
        growth: Most of it in the second half, over most of it in the first.
    """

    name: str
    asked: float
    answered: float
    statuses: dict[str, int]
    accepted_p50_ms: float | None
    accepted_p99_ms: float | None
    refused_p99_ms: float | None
    late_p99_ms: float
    lowest: int
    highest: int
    growth: float


def summed_up(name: str, seconds: float, answers: Answers, memory: Sequence[int]) -> Phase:
    """A phase; `memory` is the server's in bytes, at several moments of it."""
    counted = Counter(answers.status.tolist())
    sent = len(answers.status) - counted[open_loop.HELD_BACK]
    accepted = answers.of(*ACCEPTED)
    half = max(1, len(memory) // 2)
    return Phase(
        name,
        asked=sent / seconds,
        answered=counted[200] / seconds,
        statuses={_OTHER.get(status, str(status)): n for status, n in sorted(counted.items())},
        accepted_p50_ms=_ms(accepted, 50),
        accepted_p99_ms=_ms(accepted, 99),
        refused_p99_ms=_ms(answers.of(*REFUSED), 99),
        late_p99_ms=_ms(answers.late, 99) or 0.0,
        lowest=min(memory),
        highest=max(memory),
        growth=max(memory[half:] or memory) / max(memory[:half]),
    )


def in_markdown(phase: Phase) -> str:
    """A row of the table."""
    statuses = ", ".join(f"{status}: {count:,}" for status, count in phase.statuses.items())
    memory = f"{phase.lowest / _MIB:,.0f}–{phase.highest / _MIB:,.0f}"
    return (
        f"| {phase.name} | {phase.asked:,.0f} | {phase.answered:,.0f} | {statuses} | "
        f"{_digits(phase.accepted_p50_ms)} / {_digits(phase.accepted_p99_ms)} | "
        f"{_digits(phase.refused_p99_ms)} | {_digits(phase.late_p99_ms)} | {memory} |"
    )


def verdicts(before: Phase, over: Phase, after: Phase, deadline: float) -> dict[str, bool]:
    """What was to be shown, and whether it was."""
    held_back = _OTHER[open_loop.HELD_BACK]
    allowed = {*map(str, (*ACCEPTED, *REFUSED)), held_back}
    p99, refused = over.accepted_p99_ms, over.refused_p99_ms
    return {
        "every request was sent": held_back not in over.statuses,
        f"accepted within {_DEADLINES} deadlines (p99)": p99 is not None
        and p99 <= 1000 * _DEADLINES * deadline,
        f"refused within {_REFUSED_MS:.0f} ms (p99)": refused is not None
        and refused <= _REFUSED_MS,
        "what was sent was answered by 200, 429, 503 or 504": not set(over.statuses) - allowed,
        "nothing refused before and after": set(before.statuses) == set(after.statuses) == {"200"},
        "memory flat in the second half of the overload": over.growth <= _FLAT,
        "latency afterwards as before": _within(after.accepted_p50_ms, before.accepted_p50_ms)
        and _within(after.accepted_p99_ms, before.accepted_p99_ms),
    }


def phase(
    name: str, server: Running, requests: Sequence[bytes], rate: float, seconds: float, **more: int
) -> Phase:
    """Asks at a rate for some seconds; `more` are the plan's connections and the processes."""
    processes = more.pop("processes", 1)
    plan = Plan(server.port, requests, rate, seconds, **more)
    with process_tree.watched(server.pid) as watch:
        answers = open_loop.drive(plan, processes)
    return summed_up(name, seconds, answers, [held.pss for held in watch.held])


def requests_of(port: int, texts: Sequence[str], each: int) -> list[bytes]:
    """Whole requests for so many texts each."""
    turns = itertools.cycle(texts)
    groups = [list(itertools.islice(turns, each)) for _ in range(max(1, len(texts) // each))]
    asked = [bodies.hugging_face(group if each > 1 else group[0]) for group in groups]
    return [bodies.request(port, PATH, body) for body in asked]


def _ms(seconds: np.ndarray, percentile: float) -> float | None:
    return 1000 * float(np.percentile(seconds, percentile)) if len(seconds) else None


def _within(after: float | None, before: float | None) -> bool:
    return after is not None and before is not None and after <= max(1.0, _AS_BEFORE * before)


def _digits(milliseconds: float | None) -> str:
    if milliseconds is None:
        return "–"
    return f"{milliseconds:.2f}" if milliseconds < 10 else f"{milliseconds:,.0f}"


def main(  # noqa: PLR0913, PLR0917 — an argument for each option
    model: Model,
    folder: SetFolder = TREC6,
    seconds: Annotated[float, typer.Option(min=1, help="Seconds of overload.")] = 60,
    calm: Annotated[float, typer.Option(min=1, help="Seconds before and after.")] = 10,
    times: Annotated[float, typer.Option(min=1, help="Times the capacity.")] = 10,
    each: Annotated[int, typer.Option("--texts", min=1, help="Texts of a request.")] = 1,
    deadline: Annotated[float, typer.Option(help="The service's deadline, in seconds.")] = 1,
    settings: Settings = None,
    connections: Annotated[int, typer.Option(min=1, help="Most that are open.")] = 2000,
    processes: Annotated[int, typer.Option(min=1, help="Processes that send.")] = 1,
    capacity: Annotated[float | None, typer.Option(help="Requests/s; measured if absent.")] = None,
    as_json: AsJson = False,
) -> None:
    """Ask for more than the service can do, and tell what it does."""
    given = servers.settings([f"DEADLINE_SECONDS={deadline:g}", *(settings or [])])
    try:
        texts = bodies.texts(folder, 2000)
        with servers.gatewise(model, given).started() as server:
            requests = requests_of(server.port, texts, each)
            if capacity is None:
                wrk.check()
                wrk.drive(server.port, requests, _CONNECTIONS, 1)
                capacity = wrk.drive(server.port, requests, _CONNECTIONS, 5).rate
            quiet = _CALM * capacity
            before = phase("before", server, requests, quiet, calm)
            over = phase(
                f"{times:g} times",
                server,
                requests,
                times * capacity,
                seconds,
                connections=connections,
                processes=processes,
            )
            time.sleep(_SETTLE)
            after = phase("after", server, requests, quiet, calm)
    except (GatewiseError, FailedError, OSError) as error:
        typer.echo(f"Error: {error}", err=True)
        raise typer.Exit(1) from None
    shown = verdicts(before, over, after, deadline)
    phases = (before, over, after)
    if as_json:
        document = {
            "capacity": capacity,
            "texts": each,
            "deadline": deadline,
            "phases": [asdict(each) for each in phases],
            "verdicts": shown,
        }
        typer.echo(json.dumps(document))
        return
    typer.echo(f"Capacity: {capacity:,.0f} requests/s of {each} texts.\n\n{HEAD}")
    typer.echo("\n".join(map(in_markdown, phases)) + "\n")
    for what, met in shown.items():
        typer.echo(f"{what}: {'met' if met else 'not met'}")


if __name__ == "__main__":
    typer.run(main)
