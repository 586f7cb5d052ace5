"""The hostile requests are the same every time, and what is wrong with an answer is told."""

import asyncio
import json
from pathlib import Path

import pytest
from typer import Typer
from typer.testing import CliRunner

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n[]"


@pytest.fixture(scope="module")
def shapes(benchmark_module):
    return benchmark_module("hostile_shapes")


@pytest.fixture(scope="module")
def client(benchmark_module):
    return benchmark_module("hostile_client")


@pytest.fixture(scope="module")
def hostile(benchmark_module):
    return benchmark_module("hostile_bodies")


def played(client, script, answer, patience=1.0):
    """How a script ends at a server that answers with these bytes; None closes at once."""

    async def serve(reader, writer):
        if answer is not None:
            await reader.read(1)
            writer.write(answer)
            await writer.drain()
            await reader.read()
        writer.close()

    async def run():
        async with await asyncio.start_server(serve, "127.0.0.1", 0) as server:
            port = server.sockets[0].getsockname()[1]
            return await client.play(port, script, patience)

    return asyncio.run(run())


@pytest.mark.parametrize(
    ("answer", "ended"),
    [
        (OK, "200"),
        (OK + OK, "more answers than requests"),
        (b"", "hangs"),
        (OK[:-1], "hangs"),
        (None, "closed"),
    ],
)
def test_an_end_is_called_what_it_is(client, shapes, answer, ended):
    assert played(client, shapes.Script((b"x",)), answer, patience=0.3) == ended


def test_pipelined_answers_are_counted(client, shapes):
    bad = OK.replace(b"200 OK", b"400 No")
    assert played(client, shapes.Script((b"x",), answers=3), OK + bad + OK) == "200 400"


def test_a_client_that_goes_away_is_told(client, shapes):
    assert played(client, shapes.Script((b"x",), abort=True), OK) == "gone"


def test_requests_are_the_same_every_time_and_differ(shapes):
    for kind in shapes.KINDS:
        made = [shapes.script(kind, number) for number in range(40)]
        assert made == [shapes.script(kind, number) for number in range(40)]
        assert len({script.steps for script in made}) > 5, kind
        assert all(script.answers >= 1 for script in made)


def test_shares_make_up_the_whole(shapes):
    shares = shapes.shares(100, list(shapes.KINDS))
    assert sum(shares.values()) == 100
    assert max(shares.values()) - min(shares.values()) <= 1


def test_the_command_counts_how_everything_ended(hostile, shapes, model_folder):
    kinds = [kind for kind in shapes.KINDS if kind != "never done"]
    app = Typer()
    app.command()(hostile.main)
    arguments = [str(model_folder), "--requests", "192", "--rounds", "2", "--json"]
    for kind in kinds:
        arguments += ["--only", kind]
    result = CliRunner().invoke(app, arguments, catch_exceptions=False)
    assert result.exit_code == 0, result.output
    document = json.loads(result.stdout)
    assert [block["kind"] for block in document["blocks"]] == kinds
    assert all(sum(block["ended"].values()) == 12 for block in document["blocks"])
    assert len(document["held"]) == 3
    shown = document["verdicts"]
    for what in (
        "no status of 500 or more",
        "nothing hangs",
        "no answer to what was smuggled in",
        "a good request is answered after each kind",
        "no traceback in its log",
    ):
        assert shown[what], document["blocks"]


@pytest.mark.parametrize(
    ("ended", "alive", "log", "failing"),
    [
        ("500", True, "", "no status of 500 or more"),
        ("200 503", True, "", "no status of 500 or more"),
        ("hangs", True, "", "nothing hangs"),
        ("more answers than requests", True, "", "no answer to what was smuggled in"),
        ("400", False, "", "a good request is answered after each kind"),
        ("400", True, "Traceback (most", "no traceback in its log"),
    ],
)
def test_what_must_not_be_is_told(benchmark_module, hostile, ended, alive, log, failing):
    held = benchmark_module("process_tree").Held(0.0, 1, 200, 100, 20, 6)
    shown = hostile.verdicts([hostile.Block("any", {ended: 1}, alive)], [held, held], log)
    assert [what for what, met in shown.items() if not met] == [failing]


def test_growth_in_the_last_third_is_told(benchmark_module, hostile):
    entry = benchmark_module("process_tree").Held
    looks = [entry(0.0, 1, 200, size, 20, 6) for size in (100, 150, 150, 150, 150, 155, 160)]
    shown = hostile.verdicts([], looks, "")
    assert [what for what, met in shown.items() if not met] == [
        "no growth of memory in the last third"
    ]


def test_memory_that_comes_to_rest_is_no_growth(benchmark_module, hostile):
    entry = benchmark_module("process_tree").Held
    looks = [entry(0.0, 1, 200, size, 20, 6) for size in (100, 120, 140, 149, 144, 146, 150)]
    assert all(hostile.verdicts([], looks, "").values())


def test_the_page_explains_every_kind(shapes):
    page = (Path(__file__).parents[2] / "benchmarks" / "README.md").read_text(encoding="utf-8")
    own = page[page.index("## Hostile requests") :]
    for kind in shapes.KINDS:
        assert f"| {kind} |" in own
